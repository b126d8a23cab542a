"""The formats, keys and ciphers."""

import base64
import copy
import hashlib
import json
import pickle
import re
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.encryption import (
    ENC,
    TOKEN,
    CipherError,
    Ciphertext,
    DecryptionError,
    FieldCipher,
    KeyConfigurationError,
    Keyring,
    MalformedCiphertext,
    Opened,
    PassphraseKey,
    PlaintextRefused,
    RawKey,
    State,
    WeakKeyWarning,
)
from app.encryption.keys import Key
from tests.support.environment import ROOT
from tests.support.known_keys import one_by_one, under_writing_key
from tests.support.stored_texts import (
    ENC_CIPHER,
    FORMATS,
    MAKERS,
    PASSPHRASE,
    RAW,
    SEALED,
    SECRET,
    TOKEN_CIPHER,
    cipher,
    hostile,
)

VECTORS = ROOT / "tests" / "vectors"
RAW_ID = "b3912b91"


class Vector(NamedTuple):
    format: str
    key: str
    text: str
    expected: str


def vectors(name: str, text: str, expected: str) -> list[Any]:
    entries = json.loads((VECTORS / f"vectors_{name}.json").read_text(encoding="utf-8"))
    return [
        pytest.param(
            Vector(entry.get("format", name), entry["key"], entry[text], entry[expected]), id=f"{name}{number}"
        )
        for number, entry in enumerate(entries)
    ]


ENCRYPT: dict[FieldCipher, Callable[[str], str]] = {
    ENC_CIPHER: ENC_CIPHER.encrypt,
    TOKEN_CIPHER: one_by_one(TOKEN_CIPHER),
}
both = pytest.mark.parametrize("field", [ENC_CIPHER, TOKEN_CIPHER], ids=["enc", "token"])
KNOWN = vectors("enc", "ciphertext", "plaintext") + vectors("token", "ciphertext", "plaintext")


@pytest.mark.parametrize("vector", KNOWN)
def test_reads_what_the_running_services_wrote(vector: Vector) -> None:
    assert cipher(vector.format, vector.key).decrypt(vector.text) == vector.expected


@pytest.mark.parametrize("vector", KNOWN)
def test_writes_what_the_running_services_would_have_written(vector: Vector, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = FORMATS[vector.format].parse(vector.text)
    assert parts
    field = cipher(vector.format, vector.key)
    drawn = iter(part for part in (parts.salt, parts.nonce) if part)
    monkeypatch.setattr("app.encryption.cipher.urandom", lambda _size: next(drawn))
    assert str(field.encrypt(vector.expected)) == vector.text


@pytest.mark.parametrize("vector", vectors("reject", "stored", "want"))
def test_judges_damaged_and_foreign_values(vector: Vector) -> None:
    field = cipher(vector.format, vector.key)
    if vector.expected == "plaintext":
        assert field.state(vector.text) is State.PLAINTEXT
        assert field.decrypt(vector.text) == vector.text
        return
    assert field.state(vector.text) is (State.MALFORMED if vector.expected == "malformed" else State.ENCRYPTED)
    with pytest.raises(DecryptionError) as error:
        field.decrypt(vector.text)
    assert isinstance(error.value, MalformedCiphertext) == (vector.expected == "malformed")


def test_an_api_key_opens_with_nothing_but_its_documented_format() -> None:
    data = base64.urlsafe_b64decode(ENC_CIPHER.encrypt(SECRET).removeprefix("enc:"))
    assert AESGCM(bytes(range(32))).decrypt(data[:12], data[12:], None) == SECRET.encode()


def test_a_token_opens_with_nothing_but_its_documented_format() -> None:
    salt, nonce, tag, text = map(base64.b64decode, TOKEN_CIPHER.encrypt(SECRET).split(":"))
    key = hashlib.pbkdf2_hmac("sha256", PASSPHRASE.encode(), salt, 100_000)
    assert [len(salt), len(nonce), len(tag)] == [32, 16, 16]
    assert AESGCM(key).decrypt(nonce, text + tag, None) == SECRET.encode()


@both
@given(plaintext=st.text(st.characters(exclude_categories=["Cs"])))
@example("enc:" + "A" * 40)
@example(SEALED[1])
@settings(deadline=None)
def test_decrypting_returns_the_plaintext(field: FieldCipher, plaintext: str) -> None:
    stored = ENCRYPT[field](plaintext)
    assert field.state(stored) is State.ENCRYPTED
    assert field.decrypt(stored) == plaintext
    assert under_writing_key(field, stored)
    parts = field.format.parse(stored)
    assert parts
    assert field.format.spell(*parts) == stored


@pytest.mark.exhaustive
@both
@given(stored=hostile)
@settings(deadline=None, max_examples=300)
def test_a_hostile_string_is_plaintext_or_an_error(field: FieldCipher, stored: str) -> None:
    state = field.state(stored)
    try:
        read = field.decrypt(stored)
    except CipherError:
        assert state in (State.MALFORMED, State.ENCRYPTED)
    else:
        assert read == (SECRET if stored in SEALED[:2] else "") if state is State.ENCRYPTED else read == stored
        assert state is not State.MALFORMED
    refusing = FieldCipher(field.format, field.keyring, "refuse")
    if state is State.PLAINTEXT:
        with pytest.raises(PlaintextRefused):
            refusing.decrypt(stored)
        with pytest.raises(MalformedCiphertext, match=r"is not encrypted\.$"):
            field.open(stored)


def encoded(page: list[str]) -> list[bytes]:
    return [value.encode("utf-8", "surrogatepass") for value in page]


def as_lines(page: list[str]) -> bytes:
    return b"\n".join(encoded(page))


BATCHES = {field: field.batch() for field in (ENC_CIPHER, TOKEN_CIPHER)}  # of one salt for all examples


@both
@given(values=st.lists(hostile, max_size=6), whole=st.booleans(), texts=st.lists(st.text(), max_size=5))
@settings(deadline=None)
def test_a_page_is_what_its_values_are(field: FieldCipher, values: list[str], whole: bool, texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    fresh = BATCHES[field].encrypt(texts)
    assert [field.open(stored).plaintext for stored in fresh] == texts
    assert not fresh or field.decrypts_to(as_lines(fresh), encoded(texts))
    page = fresh if whole else fresh + values
    assert field.format.state_page(page) == [field.format.state(stored) for stored in page]
    lines = as_lines(page)
    parts = [field.format.parse(stored) for stored in ("\n".join(page)).split("\n")]
    if None in parts:
        assert field.format.parse_page(lines) is None
        assert not field.decrypts_to(lines, encoded(page))
    else:
        found = field.format.parse_page(lines)
        assert found
        assert [*zip(*found, strict=True)] == parts


ROTATED = {
    ENC_CIPHER: cipher("enc", RawKey.generate(), RAW),
    TOKEN_CIPHER: cipher("token", PASSPHRASE[::-1], PASSPHRASE),
}
LATER_BATCHES = {field: rotated.batch() for field, rotated in ROTATED.items()}


@both
@given(data=st.data())
@settings(deadline=None)
def test_a_page_opens_as_its_values_do(field: FieldCipher, data: st.DataObject) -> None:
    texts = st.text(max_size=5).map(lambda text: text.encode("utf-8", "replace").decode())
    fresh = BATCHES[field].encrypt(data.draw(st.lists(texts, max_size=4)))
    later = LATER_BATCHES[field].encrypt(data.draw(st.lists(texts, max_size=4)))
    page = data.draw(st.permutations(fresh + later + data.draw(st.lists(hostile, max_size=2))))
    opened = ROTATED[field].open_page(page)
    for stored, plaintext, key in zip(page, opened.plaintexts, opened.keys, strict=True):
        try:
            assert (plaintext, key) == ROTATED[field].open(stored)
        except DecryptionError:
            assert (plaintext, key) == (None, None)


@both
def test_an_altered_page_does_not_decrypt_to_its_texts(field: FieldCipher) -> None:
    texts = [b"one", b"two"]
    one, two = encoded(field.batch().encrypt(["one", "two"]))
    assert field.decrypts_to(one + b"\n" + two, texts)
    assert not field.decrypts_to(one + b"\n" + two, [b"one", b"tw0"])
    assert not field.decrypts_to(one + b"\n" + two, [b"one"])
    for altered in (two[:-4] + b"AAA=", b"two", two + b"\n", b"\n" + two, two + b"\n" + two, two[:9] + b"\n" + two[9:]):
        assert not field.decrypts_to(one + b"\n" + altered, texts)


@both
@given(data=st.data())
@settings(deadline=None)
def test_one_altered_character_is_an_error(field: FieldCipher, data: st.DataObject) -> None:
    stored = SEALED[0] if field.format is ENC else SEALED[1]
    at = data.draw(st.integers(0 if field.format is ENC else 45, len(stored) - 1))
    altered = stored[:at] + data.draw(st.characters().filter(lambda new: new != stored[at])) + stored[at + 1 :]
    if field.state(altered) is State.PLAINTEXT:
        assert at < len("enc:")
    else:
        with pytest.raises(DecryptionError):
            field.decrypt(altered)


def test_sql_for_another_database_is_refused() -> None:
    with pytest.raises(ValueError, match="mysql"):
        ENC.plaintext_sql("c", "mysql")


@both
def test_nothing_and_empty_are_empty(field: FieldCipher) -> None:
    assert field.state(None) is field.state("") is State.EMPTY
    assert FieldCipher(field.format, field.keyring, "refuse").decrypt("") == ""


@both
def test_equal_secrets_never_look_equal(field: FieldCipher) -> None:
    first, second = (field.format.parse(field.encrypt(SECRET)) for _ in range(2))
    assert first
    assert second
    assert first.nonce != second.nonce
    assert first.salt != second.salt or field.format is ENC


@both
@pytest.mark.parametrize("value", [None, 3, b"bytes", ["list"]])
def test_a_value_that_is_no_text_is_a_type_error_that_names_the_type_only(field: FieldCipher, value: Any) -> None:
    message = f"^User.token must be a str, not {type(value).__name__}$"
    for method in (field.encrypt, field.open):
        with pytest.raises(TypeError, match=message):
            method(value, label="User.token")
    if value is not None:
        with pytest.raises(TypeError, match=f"must be a str, not {type(value).__name__}$"):
            field.decrypt(value)


@both
def test_a_ciphertext_is_not_encrypted_again_by_mistake(field: FieldCipher) -> None:
    with pytest.raises(TypeError, match=r"^User\.token is encrypted already$"):
        field.encrypt(field.encrypt(SECRET), label="User.token")


@both
def test_half_a_surrogate_pair_is_refused_not_replaced(field: FieldCipher) -> None:
    with pytest.raises(CipherError, match=r"^Failed to encrypt X: the text can't be written as UTF-8\.$") as error:
        field.encrypt(SECRET + "\ud800", label="X")
    assert error.value.__context__ is None


@both
def test_bytes_that_are_not_text_are_an_error(field: FieldCipher) -> None:
    key = field.keyring.writing
    assert key
    salt, nonce = bytes(field.format.salt_bytes), bytes(field.format.nonce_bytes)
    stored = field.format.spell(salt, nonce, key.cipher(salt).encrypt(nonce, b"\xff" + SECRET.encode(), None))
    with pytest.raises(DecryptionError, match="is not UTF-8 text") as error:
        field.open(stored)
    assert error.value.__context__ is None


def test_a_key_can_be_replaced_without_a_pause() -> None:
    old, new = RawKey.generate(), RawKey.generate()
    before, during, after = (cipher("enc", *keys) for keys in ([old], [new, old], [new]))
    stored = before.encrypt(SECRET)
    opened = during.open(stored)
    assert opened.plaintext == SECRET
    assert opened.key == before.keyring.writing
    assert not under_writing_key(during, stored)
    assert after.decrypt(during.encrypt(opened.plaintext)) == SECRET
    assert not under_writing_key(after, stored)
    assert not under_writing_key(after, SECRET)
    with pytest.raises(DecryptionError):
        after.open(stored)


def test_a_keyring_may_only_read() -> None:
    field = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, None, [RAW]))
    assert field.decrypt(SEALED[0]) == SECRET
    assert not under_writing_key(field, SEALED[0])
    with pytest.raises(KeyConfigurationError, match=r"^ENCRYPTION_KEY is not set"):
        field.encrypt(SECRET)


def test_without_keys_plaintext_is_read_and_a_ciphertext_says_what_to_do() -> None:
    field = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, "", []))
    advice = (
        "Set it (or ENCRYPTION_KEY_FILE) to the key that wrote the existing rows; "
        "for a new database make one with: schema secrets keygen"
    )
    assert field.decrypt("plain") == "plain"
    with pytest.raises(KeyConfigurationError) as reading:
        field.decrypt(SEALED[0], label="P.api_key of 8")
    with pytest.raises(KeyConfigurationError) as writing:
        field.encrypt(SECRET, label="P.api_key")
    assert str(reading.value) == f"ENCRYPTION_KEY is not set, so P.api_key of 8 cannot be decrypted. {advice}"
    assert str(writing.value) == f"ENCRYPTION_KEY is not set, so P.api_key cannot be encrypted. {advice}"


def test_errors_say_whose_secret_and_what_to_do() -> None:
    other, another = (RawKey(bytes([n, *range(31)])) for n in (1, 2))
    field = FieldCipher(ENC, Keyring("ENCRYPTION_KEY", other, (another,)), "refuse")
    with pytest.raises(DecryptionError) as wrong_key:
        field.decrypt(SEALED[0], label="ServiceProvider.api_key of 8")
    assert str(wrong_key.value) == (
        f"Failed to decrypt ServiceProvider.api_key of 8: no configured key opens it (tried {other.id}, {another.id}). "
        "It was written under another key, or altered. "
        "If a key was rotated, put the old one in ENCRYPTION_KEY_PREVIOUS."
    )
    with pytest.raises(MalformedCiphertext) as malformed:
        field.decrypt("enc:abc", label="ServiceProvider.api_key of 7")
    assert str(malformed.value) == (
        "Failed to decrypt ServiceProvider.api_key of 7: the stored value starts like a ciphertext "
        "but is not a whole one (truncated or edited)."
    )
    with pytest.raises(PlaintextRefused) as refused:
        field.decrypt("sk-plain", label="ServiceProvider.api_key of 5")
    assert str(refused.value) == (
        "ServiceProvider.api_key of 5 is stored unencrypted and ENCRYPTION_PLAINTEXT=refuse. "
        "Run: schema secrets encrypt"
    )


@pytest.mark.parametrize(
    "text",
    [RAW, RAW.rstrip("="), f"\n {RAW}\t", RAW.replace("+", "-").replace("/", "_")],
    ids=["as made", "bare", "blanks", "url"],
)
def test_a_raw_key_is_read_however_it_is_spelt(text: str) -> None:
    key = RawKey.from_base64(text)
    assert key == RawKey(bytes(range(32)))
    assert key.id == RAW_ID == hashlib.sha256(b"key-id\0" + bytes(range(32))).hexdigest()[:8]


def test_both_alphabets_are_one_key() -> None:
    data = b"\xfb\xff" * 16
    assert RawKey.from_base64(base64.b64encode(data).decode()) == RawKey.from_base64(
        base64.urlsafe_b64encode(data).decode()
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("c2hvcnQ=", "Invalid K: it decodes to 5 bytes, 32 are needed."),
        ("A" * 22, "Invalid K: it decodes to 16 bytes, 32 are needed."),
        ("  ", "Invalid K: it decodes to 0 bytes, 32 are needed."),
        ("0f" * 32, "Invalid K: 64 hexadecimal digits were given; convert with: schema secrets keygen --from-hex"),
        *(
            (text, 'Invalid K: not URL-safe base64 (expected 44 characters of A-Z a-z 0-9 - _ ending in "=").')
            for text in ("A" * 45, RAW[:20] + "\n" + RAW[20:], RAW[:20] + "=" + RAW[20:], "ключ", "\ud800", RAW + "!")
        ),
    ],
)
def test_a_malformed_raw_key_is_refused(text: str, problem: str) -> None:
    with pytest.raises(KeyConfigurationError) as error:
        RawKey.from_base64(text, "K")
    assert str(error.value) == problem
    assert error.value.__context__ is None


def test_generated_keys_are_keys_and_differ() -> None:
    first, second = RawKey.generate(), RawKey.generate()
    assert re.fullmatch("[A-Za-z0-9_-]{43}=", first)
    assert RawKey.from_base64(first) != RawKey.from_base64(second)


def test_a_passphrase_is_measured_in_utf_16_and_taken_to_the_letter() -> None:
    with pytest.raises(KeyConfigurationError, match=r"^K must be at least 32 characters long \(current: 31\)\.$"):
        PassphraseKey("x" * 31, "K")
    with pytest.raises(KeyConfigurationError, match=r"\(current: 31\)"):
        PassphraseKey("😀" * 15 + "x", "K")
    assert PassphraseKey("😀" * 16, "K").id
    assert PassphraseKey(PASSPHRASE) != PassphraseKey(PASSPHRASE + "\n")
    with pytest.raises(KeyConfigurationError, match=r"^Invalid K: it can't be written as UTF-8\.$") as error:
        PassphraseKey(PASSPHRASE + "\udc80", "K")
    assert error.value.__context__ is None


def test_the_id_of_a_passphrase_costs_as_much_as_its_data() -> None:
    stretched = hashlib.pbkdf2_hmac("sha256", PASSPHRASE.encode(), b"key-id", 100_000)
    assert PassphraseKey(PASSPHRASE).id == hashlib.sha256(b"key-id\0" + stretched).hexdigest()[:8]


@pytest.mark.parametrize(
    ("make", "writing", "previous", "problem"),
    [
        (RawKey.from_base64, "x", [], "Invalid K: not URL-safe base64"),
        (RawKey.from_base64, RAW, [RawKey.generate(), "abcd"], "Invalid K_PREVIOUS, entry 2: it decodes to 3 bytes"),
        (
            RawKey.from_base64,
            RAW,
            [RawKey.generate(), RAW[:-1]],
            rf"K_PREVIOUS repeats the current key \(id {RAW_ID}\).",
        ),
        (PassphraseKey, None, ["short"], r"K_PREVIOUS, entry 1 must be at least 32 characters long \(current: 5\)."),
    ],
)
def test_a_keyring_says_which_key_is_wrong(
    make: Callable[[str, str], Key], writing: str | None, previous: list[str], problem: str
) -> None:
    with pytest.raises(KeyConfigurationError, match=f"^{problem}"):
        Keyring.parse("K", make, writing, previous)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (RawKey.from_base64, base64.b64encode(bytes(32)).decode()),
        (RawKey.from_base64, "HVx9vVfo5y-kkR39gDXiRIi3Mu-A1q8DGqGyrMjsAQs="),
        (PassphraseKey, "passwords" * 4),
    ],
)
def test_a_weak_key_is_warned_of_where_it_writes_and_still_reads(make: Callable[[str, str], Key], text: str) -> None:
    with pytest.warns(
        WeakKeyWarning, match=r"^K .*: it can be guessed\. .*schema secrets keygen.*K_PREVIOUS\.$"
    ) as caught:
        assert Keyring.parse("K", make, text).writing
    assert text not in str(caught[0].message)
    strong = RawKey.generate() if make is not PassphraseKey else PASSPHRASE
    assert Keyring.parse("K", make, strong, [text]).previous


def test_the_source_of_keys_is_asked_once_and_late() -> None:
    calls: list[int] = []

    def source() -> Keyring:
        calls.append(1)
        if len(calls) == 1:
            raise KeyConfigurationError("not yet")
        return ENC_CIPHER.keyring

    field = FieldCipher(ENC, source)
    assert field.state(SEALED[0]) is State.ENCRYPTED
    assert field.decrypt("plain") == "plain"
    assert not calls
    with pytest.raises(KeyConfigurationError, match="not yet"):
        field.encrypt(SECRET)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(field.decrypt, SEALED[:1] * 100)) == {SECRET}
    assert len(calls) == 2
    field.forget()
    field.encrypt(SECRET)
    assert len(calls) == 3


def test_the_policy_is_asked_each_time() -> None:
    answers: Iterator[Literal["allow", "refuse"]] = iter(["allow", "refuse"])
    field = FieldCipher(ENC, ENC_CIPHER.keyring, lambda: next(answers))
    assert field.decrypt("plain") == "plain"
    with pytest.raises(PlaintextRefused):
        field.decrypt("plain")


def test_keys_are_overridden_here_and_not_in_other_threads() -> None:
    field, other = cipher("enc", RAW), cipher("enc", RawKey.generate()).keyring
    with ThreadPoolExecutor(1) as pool, field.override(other):
        stored = field.encrypt(SECRET)
        assert field.decrypt(stored) == SECRET
        with pytest.raises(DecryptionError):
            pool.submit(field.decrypt, stored).result()
    assert field.decrypt(SEALED[0]) == SECRET


def test_a_batch_shares_its_salt_among_4096_values_and_no_nonce() -> None:
    encrypt = one_by_one(TOKEN_CIPHER)
    parts = [TOKEN.parse(encrypt(f"token {n}")) for n in range(4097)]
    salts = [part.salt for part in parts if part]
    assert len(set(salts[:4096])) == 1
    assert salts[4096] != salts[0]
    assert len({part.nonce for part in parts if part}) == 4097
    other = TOKEN.parse(one_by_one(TOKEN_CIPHER)("another batch"))
    assert other
    assert other.salt not in salts


def test_a_batch_of_api_keys_is_like_any_other() -> None:
    assert {ENC_CIPHER.decrypt(stored) for stored in ENC_CIPHER.batch().encrypt(["a", "b"])} == {"a", "b"}


def test_threads_share_a_cipher() -> None:
    field = cipher("token", PASSPHRASE)
    encrypt = one_by_one(field)
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(encrypt, map(str, range(1000))))
        assert list(pool.map(field.decrypt, stored)) == [*map(str, range(1000))]


def test_derived_keys_are_kept_for_a_bounded_number_of_salts() -> None:
    key = PassphraseKey(PASSPHRASE)
    field = FieldCipher(TOKEN, Keyring("K", key))
    stored = field.encrypt(SECRET)
    for _ in range(3):
        field.decrypt(stored)
    info = key.cipher.cache_info()
    assert (info.misses, info.maxsize) == (1, 1024)


@pytest.mark.parametrize(("name", "secret"), [("enc", RAW), ("token", PASSPHRASE)])
def test_keys_show_their_id_only_and_stay_in_their_process(name: str, secret: str) -> None:
    key, same = (MAKERS[name](secret, "K") for _ in range(2))
    assert repr(key) == str(key) == f"<{type(key).__name__} {key.id}>"
    assert secret not in repr(Keyring("K", key, (key,)))
    assert len({key, same}) == 1
    assert key != secret
    assert not hasattr(key, "__dict__")
    for holder in (key, Keyring("K", key), Opened("x", key)):
        for duplicate in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="can't be copied or pickled"):
                duplicate(holder)


def test_reprs_show_no_secret_and_no_ciphertext() -> None:
    stored = ENC_CIPHER.encrypt(SECRET)
    shown = repr((stored, ENC_CIPHER.open(stored), ENC.parse(stored), [*vars(ENC_CIPHER).values()], ENC_CIPHER))
    assert SECRET not in shown
    assert RAW not in shown
    assert str(stored) not in shown
    assert repr(stored) == "<Ciphertext>"


def test_a_ciphertext_stays_one_when_pickled() -> None:
    stored = ENC_CIPHER.encrypt(SECRET)
    again = pickle.loads(pickle.dumps(stored))  # noqa: S301 - our own
    assert type(again) is Ciphertext
    assert again == stored
    assert Ciphertext.__module__ == DecryptionError.__module__ == "app.encryption"


FAILURES: dict[str, Callable[[], object]] = {
    "surrogate": lambda: ENC_CIPHER.encrypt(SECRET + "\udfff"),
    "another key": lambda: cipher("enc", RawKey.generate()).decrypt(SEALED[0]),
    "edited": lambda: ENC_CIPHER.decrypt(SEALED[0][:-1] + "!"),
    "refused": lambda: cipher("enc", RAW, plaintext="refuse").decrypt(SECRET),
    "not encrypted": lambda: ENC_CIPHER.open(SECRET),
    "another passphrase": lambda: cipher("token", PASSPHRASE[::-1]).decrypt(SEALED[1]),
    "edited token": lambda: TOKEN_CIPHER.decrypt(SEALED[1] + "\ud800"),
    "not a key": lambda: RawKey.from_base64(SECRET),
    "hexadecimal": lambda: RawKey.from_base64(SECRET.encode().hex().ljust(64, "0")),
    "short": lambda: PassphraseKey(SECRET),
    "surrogate in a passphrase": lambda: PassphraseKey(PASSPHRASE + SECRET + "\ud800"),
    "repeated": lambda: Keyring.parse("K", PassphraseKey, PASSPHRASE, [PASSPHRASE]),
    "not a previous key": lambda: Keyring.parse("K", RawKey.from_base64, RAW, [SECRET]),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_no_error_shows_a_secret_a_key_or_a_ciphertext(fail: Callable[[], object]) -> None:
    with pytest.raises(CipherError) as caught:
        fail()
    error: BaseException | None = caught.value
    assert pickle.loads(pickle.dumps(error)).args == caught.value.args  # noqa: S301 - our own
    while error:
        shown = "".join(traceback.format_exception_only(error)) + repr(error) + repr(vars(error)) + repr(error.args)
        for secret in (SECRET, RAW[:20], PASSPHRASE, PASSPHRASE[::-1], *SEALED):
            assert secret not in shown
        assert not isinstance(error, UnicodeError)
        error = error.__cause__ or error.__context__
