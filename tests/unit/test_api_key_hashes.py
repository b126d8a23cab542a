"""The hashes of the services' API keys."""

import functools

import bcrypt
import hypothesis
import pytest
from hypothesis import strategies as st

from app.models import ServiceRegistry

SECRET = "sk-live-do-not-show-me"


@pytest.mark.exhaustive
def test_an_api_key_is_kept_as_its_bcrypt_hash() -> None:
    registered = ServiceRegistry(service_identifier="mailer")
    registered.set_api_key(SECRET)
    assert registered.hashed_api_key.startswith("$2b$12$")
    assert len(registered.hashed_api_key) == 60
    assert registered.verify_api_key(SECRET)
    assert not registered.verify_api_key(SECRET + "!")


@pytest.mark.parametrize(
    ("key", "stored"),
    [
        ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
        ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
        ("abc", "$2b$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
    ],
)
def test_other_programs_hashes_are_verified(key: str, stored: str) -> None:
    registered = ServiceRegistry(hashed_api_key=stored)
    assert registered.verify_api_key(key)
    assert not registered.verify_api_key(key + "b")


@pytest.mark.parametrize(
    "key",
    ["", "\0", "nul\0inside", "x" * 73, "é" * 37, "lone \udc80 surrogate"],
    ids=["empty", "nul", "nul inside", "73 bytes", "74 bytes in 37 letters", "surrogate"],
)
def test_a_key_that_bcrypt_would_not_read_whole_is_refused(key: str) -> None:
    registered = ServiceRegistry(hashed_api_key="kept")
    with pytest.raises(
        ValueError, match=r"^an API key must have 1 to 72 bytes in UTF-8, and no NUL among them$"
    ) as error:
        registered.set_api_key(key)
    assert registered.hashed_api_key == "kept"
    assert type(error.value) is ValueError
    assert error.value.__context__ is None
    assert registered.verify_api_key(key) is False


def test_seventy_two_bytes_are_read_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bcrypt, "gensalt", functools.partial(bcrypt.gensalt, 4))
    key, registered = "x" * 70 + "é", ServiceRegistry()
    registered.set_api_key(key)
    assert registered.verify_api_key(key)
    assert not registered.verify_api_key("x" * 70 + "è")
    assert not registered.verify_api_key(key + "x")


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "junk",
        "$2b$12$",
        "$2b$99$" + "a" * 53,
        "$2b$04$" + "!" * 53,
        "$1$abc$def",
        SECRET,
        "\0",
        "ü" * 60,
        "$2b$04$\0" + "a" * 52,
    ],
)
def test_a_hash_that_is_none_verifies_nothing(stored: str) -> None:
    assert ServiceRegistry(hashed_api_key=stored).verify_api_key(SECRET) is False


@hypothesis.given(stored=st.text() | st.from_regex(r"\A\$2[abxy]\$04\$[./A-Za-z0-9]{0,60}\Z"), key=st.text(max_size=80))
@hypothesis.settings(deadline=None, max_examples=50)
def test_no_hash_and_no_key_is_an_error(stored: str, key: str) -> None:
    assert ServiceRegistry(hashed_api_key=stored).verify_api_key(key) is False
