"""Keyed hashes: their spelling, and the keys that make and recognise them."""

import base64
import hashlib
import hmac

import pytest
import sqlalchemy as sa

from app.encryption import HashedColumn, KeyConfigurationError, Keyring, LookupHash, RawKey, hashed_columns
from app.models import Base
from app.models.keys import CLIENT_KEY_HASHES

SECRET = "sk-client-do-not-show-me-ü"
KEY, OTHER = RawKey.generate(), RawKey.generate()


def hashes(writing: str | None, *previous: str) -> LookupHash:
    return LookupHash(Keyring.parse("HASH_KEY", RawKey.from_base64, writing, previous))


def test_a_hash_is_a_mark_the_id_of_the_key_and_an_hmac() -> None:
    digest = hmac.new(base64.urlsafe_b64decode(KEY), SECRET.encode(), hashlib.sha256).digest()
    key_id = RawKey.from_base64(KEY).id
    expected = f"h1:{key_id}:{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
    assert hashes(KEY, OTHER).hash(SECRET) == expected
    assert len(expected) == 55


def test_previous_keys_recognise_and_never_write() -> None:
    both, previous, old = hashes(KEY, OTHER), hashes(None, OTHER), hashes(OTHER).hash(SECRET)
    assert both.candidates(SECRET) == [both.hash(SECRET), old]
    assert (previous.hash(SECRET), previous.candidates(SECRET)) == (None, [old])
    assert old is not None
    assert (both.is_known(old), hashes(KEY).is_known(old), both.is_known("h1:"), both.is_known(SECRET)) == (
        True,
        False,
        False,
        False,
    )


@pytest.mark.parametrize("text", ["", "do-not-show-me\ud800"])
def test_what_cannot_be_looked_up_has_no_hash(text: str) -> None:
    assert (hashes(KEY).hash(text), hashes(KEY).candidates(text)) == (None, [])


def test_without_a_key_there_is_no_hash_and_none_is_invented() -> None:
    assert (CLIENT_KEY_HASHES.hash(SECRET), CLIENT_KEY_HASHES.candidates(SECRET)) == (None, [])


@pytest.mark.parametrize("previous", [False, True])
def test_a_setting_that_is_no_key_is_an_error_without_it(monkeypatch: pytest.MonkeyPatch, *, previous: bool) -> None:
    name = "API_KEY_HASH_KEY" + "_PREVIOUS" * previous
    monkeypatch.setenv(name, "do-not-show-me")
    CLIENT_KEY_HASHES.forget()
    for use in (CLIENT_KEY_HASHES.hash, CLIENT_KEY_HASHES.candidates):
        with pytest.raises(KeyConfigurationError, match=f"^Invalid {name}") as caught:
            use(SECRET)
        assert "do-not-show-me" not in f"{caught.value!r} {caught.value.__context__}"


def test_the_models_declare_what_is_hashed() -> None:
    assert [*hashed_columns(Base.metadata)] == [HashedColumn("api_keys", "key_value", "key_hash", CLIENT_KEY_HASHES)]
    assert [*hashed_columns(sa.MetaData())] == []
