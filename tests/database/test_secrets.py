"""Encrypting and decrypting what a table holds, counting what is left, and the guard for SQL scripts."""

from collections.abc import Iterable, Iterator
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from app import revision_api, secrets
from app.backfill import BackfillError, Report
from app.backfill.report import Tally
from app.encryption import (
    ENC,
    TOKEN,
    CipherError,
    FieldCipher,
    KeyConfigurationError,
    Keyring,
    PassphraseKey,
    RawKey,
    State,
)
from app.encryption.formats import Format
from app.secrets import key_check
from tests.support.database_access import autocommit
from tests.support.known_keys import ENC_CIPHER, KEY, PASSPHRASE, TOKEN_CIPHER, one_by_one, under_writing_key

pytestmark = pytest.mark.in_turn

SECRET, OTHER = "sk-live-do-not-show-me", "sk:live:nor:me"
OTHER_PASSPHRASE = "another passphrase, as long as the first"
MALFORMED = {
    ENC: "enc:do-not-show-me",
    TOKEN: f"{'A' * 43}=:{'A' * 22}==:{'A' * 22}==:do-not-show-me",
}
as_often = hypothesis.settings(
    deadline=None, max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)


def with_keys(format_: Format, writing: str | None, *previous: str) -> FieldCipher:
    """A cipher of the format with other keys than the ones that tests share."""
    if format_ is ENC:
        return FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, writing, previous))
    return FieldCipher(TOKEN, Keyring.parse("GITHUB_TOKEN_ENCRYPTION_KEY", PassphraseKey, writing, previous))


def another_key(format_: Format) -> str:
    return RawKey.generate() if format_ is ENC else OTHER_PASSPHRASE


@pytest.fixture(params=[ENC_CIPHER, TOKEN_CIPHER], ids=["enc", "token"])
def cipher(request: pytest.FixtureRequest) -> FieldCipher:
    """A cipher of each format in turn."""
    assert isinstance(request.param, FieldCipher)
    return request.param


class Table:
    """A table `holders` with the secrets `a` and `b`."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        connection.execute(sa.text("CREATE TABLE holders (id integer PRIMARY KEY, a text, b text)"))

    def fill(self, *pairs: tuple[str | None, str | None]) -> None:
        """Stores pairs of values as they are, numbered from 1."""
        self.connection.execute(sa.text("DELETE FROM holders"))
        if pairs:
            records = [{"id": number, "a": a, "b": b} for number, (a, b) in enumerate(pairs, 1)]
            self.connection.execute(sa.text("INSERT INTO holders VALUES (:id, :a, :b)"), records)

    def read(self) -> list[tuple[str | None, str | None]]:
        return [(a, b) for a, b in self.connection.execute(sa.text("SELECT a, b FROM holders ORDER BY id"))]

    def encrypt(self, cipher: FieldCipher, **options: Any) -> Report:
        return secrets.encrypt(self.connection, "holders", ["a", "b"], cipher, **options)

    def decrypt(self, cipher: FieldCipher) -> Report:
        return secrets.decrypt(self.connection, "holders", ["a", "b"], cipher)

    def plaintext(self, cipher: FieldCipher) -> int:
        return secrets.count_plaintext(self.connection, "holders", ["a", "b"], cipher)


@pytest.fixture
def table(url: str) -> Iterator[Table]:
    """The table, empty."""
    with autocommit(url) as connection:
        yield Table(connection)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)  # PostgreSQL has no bytes in a column of text
def test_bytes_are_left_alone_both_ways(table: Table, cipher: FieldCipher) -> None:
    table.fill((SECRET, None))
    table.connection.exec_driver_sql("INSERT INTO holders VALUES (2, x'00ff', NULL)")
    for report in (table.encrypt(cipher), table.decrypt(cipher)):
        assert (report.changed, report.rejections) == (1, [("a", 2, "isn't text")])


def test_plaintext_is_encrypted_and_nothing_else_is_touched(table: Table, cipher: FieldCipher) -> None:
    sealed, broken = str(cipher.encrypt(OTHER)), MALFORMED[cipher.format]
    table.fill((SECRET, None), (sealed, ""), (broken, OTHER), (None, "zażółć gęślą jaźń 🔑"), ("", broken))
    report = table.encrypt(cipher)
    (first, none), (same, empty), (left, second), (nothing, third), (blank, left_too) = table.read()
    assert [cipher.open(str(value)).plaintext for value in (first, second, third)] == [
        SECRET,
        OTHER,
        "zażółć gęślą jaźń 🔑",
    ]
    assert (none, same, empty, left, nothing, blank, left_too) == (None, sealed, "", broken, None, "", broken)
    assert report.columns == {"a": Tally(2, 1, 1, 1), "b": Tally(2, 0, 2, 1)}
    reason = "looks encrypted but isn't a whole ciphertext"
    assert report.rejections == [("a", 3, reason), ("b", 5, reason)]


def test_a_second_run_changes_nothing(table: Table, cipher: FieldCipher) -> None:
    table.fill((SECRET, OTHER), (OTHER, None), (MALFORMED[cipher.format], ""))
    table.encrypt(cipher)
    before = table.read()
    again = table.encrypt(cipher)
    assert table.read() == before
    assert (again.changed, again.rejected) == (0, 1)


def test_equal_secrets_are_not_stored_alike(table: Table, cipher: FieldCipher) -> None:
    table.fill(*[(SECRET, SECRET)] * 3)
    table.encrypt(cipher)
    assert len({value for pair in table.read() for value in pair}) == 6


def test_a_dry_run_counts_and_writes_nothing(table: Table, cipher: FieldCipher) -> None:
    pairs = [(SECRET, None), (MALFORMED[cipher.format], OTHER)]
    table.fill(*pairs)
    report = table.encrypt(cipher, dry_run=True)
    assert table.read() == pairs
    assert report.columns == {"a": Tally(changed=1, rejected=1), "b": Tally(empty=1, changed=1)}


def test_no_key_is_needed_where_there_is_nothing_to_encrypt(table: Table, cipher: FieldCipher) -> None:
    pairs = [(None, ""), (str(cipher.encrypt(SECRET)), MALFORMED[cipher.format])]
    table.fill(*pairs)
    report = table.encrypt(with_keys(cipher.format, None))
    assert table.read() == pairs
    assert (report.changed, report.rejected) == (0, 1)


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_missing_key_is_refused_before_the_first_write(table: Table, cipher: FieldCipher, dry_run: bool) -> None:
    table.fill((SECRET, None))
    keyless = with_keys(cipher.format, None, another_key(cipher.format))
    with pytest.raises(KeyConfigurationError) as error:
        table.encrypt(keyless, dry_run=dry_run)
    name = keyless.keyring.name
    assert str(error.value).startswith(f"{name} is not set, so the plaintext in holders cannot be encrypted. Set it")
    assert table.read() == [(SECRET, None)]


@pytest.mark.parametrize("column", ["a", "b"])
def test_a_wrong_key_is_refused_before_the_first_write(table: Table, cipher: FieldCipher, column: str) -> None:
    sealed = str(cipher.encrypt(OTHER))
    pairs = [(SECRET, None), (None, SECRET), (sealed, SECRET) if column == "a" else (SECRET, sealed)]
    table.fill(*pairs)
    key = another_key(cipher.format)
    with pytest.raises(KeyConfigurationError) as error:
        table.encrypt(with_keys(cipher.format, key))
    assert str(error.value) == (
        f"None of the keys in {cipher.keyring.name} opens the values stored in holders.{column} (sampled 1). "
        "Refusing to write under a new key beside them."
    )
    assert table.read() == pairs


def test_a_new_key_may_write_where_a_previous_one_opens(table: Table, cipher: FieldCipher) -> None:
    table.fill((str(cipher.encrypt(OTHER)), SECRET))
    old = {ENC: KEY, TOKEN: PASSPHRASE}[cipher.format]
    rotated = with_keys(cipher.format, another_key(cipher.format), old)
    table.encrypt(rotated)
    [(a, b)] = table.read()
    assert (rotated.decrypt(str(a)), rotated.decrypt(str(b))) == (OTHER, SECRET)
    assert (under_writing_key(rotated, str(a)), under_writing_key(rotated, str(b))) == (False, True)


def test_a_ciphertext_that_does_not_decrypt_is_not_written(
    table: Table, cipher: FieldCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(cipher.format)
    spell = kind.spell_page

    def mix_up(self: Any, salt: bytes, nonces: Iterable[bytes], ciphertexts: Iterable[bytes]) -> bytes:
        return spell(self, salt, nonces, [*ciphertexts][::-1])

    monkeypatch.setattr(kind, "spell_page", mix_up)
    table.fill((SECRET, None), (OTHER, None))
    with pytest.raises(CipherError, match=r"^Failed to encrypt a value of holders: a fresh ciphertext didn't decrypt"):
        table.encrypt(cipher)
    assert table.read() == [(SECRET, None), (OTHER, None)]


def test_keys_are_tried_at_both_ends_of_the_table_wherever_its_rows_lie(table: Table, cipher: FieldCipher) -> None:
    seal, other = one_by_one(cipher), with_keys(cipher.format, another_key(cipher.format))
    for ours in ("first", "last"):
        table.fill(*[(str(seal(SECRET)), None)] * 60)
        number = 1 if ours == "first" else 60
        with pytest.raises(KeyConfigurationError, match=r"sampled 20\)\. Refusing"):
            secrets.check_keys(table.connection, "holders", ["a"], other)
        # What is written anew lies elsewhere than before on PostgreSQL.
        table.connection.execute(
            sa.text("UPDATE holders SET a = :a WHERE id = :id"), {"a": str(other.encrypt(SECRET)), "id": number}
        )
        secrets.check_keys(table.connection, "holders", ["a"], other)
        table.connection.execute(sa.text("UPDATE holders SET a = a WHERE id <> :id"), {"id": number})
        secrets.check_keys(table.connection, "holders", ["a"], other)


def test_before_anything_is_written_ciphertext_is_looked_for_everywhere(
    table: Table, cipher: FieldCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_check, "SAMPLED_ROWS", 1)
    monkeypatch.setattr(key_check, "_between", lambda *_: [])
    table.fill((None, None), (str(cipher.encrypt(SECRET)), None), (OTHER, None))
    stranger = with_keys(cipher.format, another_key(cipher.format))
    secrets.check_keys(table.connection, "holders", ["a"], stranger)
    with pytest.raises(KeyConfigurationError, match="Refusing to write under a new key"):
        table.encrypt(stranger)


def test_ciphertext_is_decrypted_and_nothing_else_is_touched(table: Table, cipher: FieldCipher) -> None:
    foreign = str(with_keys(cipher.format, another_key(cipher.format)).encrypt(SECRET))
    broken = MALFORMED[cipher.format]
    table.fill((str(cipher.encrypt(SECRET)), str(cipher.encrypt(OTHER))), (foreign, None), ("", broken), (OTHER, None))
    report = table.decrypt(cipher)
    assert table.read() == [(SECRET, OTHER), (foreign, None), ("", broken), (OTHER, None)]
    assert report.columns == {"a": Tally(1, 1, 1, 1), "b": Tally(2, 0, 1, 1)}
    assert {(column, key) for column, key, _ in report.rejections} == {("a", 2), ("b", 3)}


def test_plaintext_that_would_be_taken_for_ciphertext_stays_encrypted(table: Table, cipher: FieldCipher) -> None:
    alike = [str(cipher.encrypt(text)) for text in (str(cipher.encrypt(SECRET)), MALFORMED[cipher.format])]
    table.fill((alike[0], alike[1]))
    report = table.decrypt(cipher)
    assert table.read() == [(alike[0], alike[1])]
    assert {reason for _, _, reason in report.rejections} == {"its plaintext looks like a ciphertext"}


def test_decrypting_needs_a_key_only_where_there_is_ciphertext(table: Table, cipher: FieldCipher) -> None:
    keyless = with_keys(cipher.format, None)
    table.fill((SECRET, None), (OTHER, ""))
    assert table.decrypt(keyless).changed == 0
    sealed = str(cipher.encrypt(SECRET))
    table.fill((sealed, None))
    with pytest.raises(KeyConfigurationError, match="is not set"):
        table.decrypt(keyless)
    assert table.read() == [(sealed, None)]


# Text that begins like a ciphertext is never taken for a secret: `state` decides, and it is tested with the ciphers.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
stored = st.none() | st.just("") | texts | texts.map("enc:".__add__) | texts.map(f"{'A' * 43}=:".__add__)


@pytest.mark.exhaustive
@hypothesis.given(pairs=st.lists(st.tuples(stored, stored), max_size=6))
@as_often
def test_whatever_is_encrypted_comes_back(
    table: Table, cipher: FieldCipher, pairs: list[tuple[str | None, str | None]]
) -> None:
    table.fill(*pairs)
    expected = sum(any(cipher.state(value) is State.PLAINTEXT for value in pair) for pair in pairs)
    assert table.plaintext(cipher) == expected
    table.encrypt(cipher)
    assert table.plaintext(cipher) == 0
    for before, after in zip(pairs, table.read(), strict=True):
        for value, now in zip(before, after, strict=True):
            if cipher.state(value) is State.PLAINTEXT:
                assert cipher.state(now) is State.ENCRYPTED
            else:
                assert now == value
    table.decrypt(cipher)
    assert table.read() == pairs


@pytest.mark.exhaustive
@hypothesis.given(values=st.lists(stored, min_size=1, max_size=20))
@as_often
def test_the_check_constraint_lets_no_plaintext_in_and_no_ciphertext_out(
    table: Table, cipher: FieldCipher, values: list[str | None]
) -> None:
    sealed = [str(cipher.encrypt("x")), str(cipher.encrypt(""))]
    damaged = [sealed[0].replace("=", " "), f" {sealed[0]}", sealed[0].upper(), sealed[0][1:], "é" + sealed[0][1:]]
    tried = [*values, None, "", *sealed, *damaged, "=" * 200, ":" * 200, "A" * 43 + "=:" + "A" * 22]
    table.fill(*((value, None) for value in tried))
    condition = cipher.format.encrypted_sql("a")
    found = table.connection.exec_driver_sql(f"SELECT a, {condition} FROM holders ORDER BY id").all()
    for value, holds in found:
        state = cipher.state(value)
        assert holds if state in (State.EMPTY, State.ENCRYPTED) else not holds or state is State.MALFORMED, value


def test_plaintext_is_counted_by_row_and_without_a_key(table: Table, cipher: FieldCipher) -> None:
    sealed, broken = str(cipher.encrypt(OTHER)), MALFORMED[cipher.format]
    table.fill((SECRET, OTHER), (SECRET, None), (sealed, SECRET), (sealed, ""), (broken, None), (None, None))
    keyless = with_keys(cipher.format, None)
    assert table.plaintext(keyless) == 3
    assert secrets.count_plaintext(table.connection, "holders", ["b"], keyless) == 2


@pytest.mark.parametrize("as_text", [False, True], ids=["executed", "rendered"])
def test_the_guard_lets_nothing_pass_but_a_table_without_plaintext(
    table: Table, cipher: FieldCipher, as_text: bool
) -> None:
    connection = table.connection
    guard: Any = secrets.guard(connection.dialect, "holders", ["a", "b"], with_keys(cipher.format, None))
    rendered = str(guard.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True}))

    def check() -> None:
        connection.exec_driver_sql(rendered) if as_text else connection.execute(guard)

    sealed, broken = str(cipher.encrypt(SECRET)), MALFORMED[cipher.format]
    for pairs in ([], [(None, ""), (sealed, None), (broken, sealed)]):
        table.fill(*pairs)
        check()
    message = {
        "postgresql": "holders holds secrets in plaintext, which SQL cannot encrypt. Run: alembic upgrade head",
        "sqlite": "integer overflow",
    }[connection.dialect.name]
    for pair in ((SECRET, None), (sealed, OTHER)):
        table.fill((None, None), pair)
        with pytest.raises(sa.exc.DBAPIError, match=message):
            check()
        table.encrypt(cipher)
        check()


def test_values_that_were_left_alone_are_named_at_the_end(table: Table, cipher: FieldCipher) -> None:
    table.fill((MALFORMED[cipher.format], SECRET), (None, MALFORMED[cipher.format]))
    report = table.encrypt(cipher)
    with pytest.raises(BackfillError) as error:
        revision_api._refuse_unreadable(report)
    assert str(error.value) == (
        "holders: 2 of the stored secrets were left alone (looks encrypted but isn't a whole ciphertext): a of 1, "
        "b of 2. All others are done. Restore these from a backup, or set them to the plaintext or to NULL, and run "
        "the same command again."
    )


def test_only_the_first_of_many_values_are_named(table: Table, cipher: FieldCipher) -> None:
    table.fill(*[(MALFORMED[cipher.format], None)] * 30)
    report = table.encrypt(cipher)
    with pytest.raises(BackfillError, match=r"^holders: 30 of the .*: a of 1, .*, a of 20, …\. All others are done"):
        revision_api._refuse_unreadable(report)


@pytest.mark.parametrize("run", ["encrypt", "decrypt"])
def test_no_message_shows_a_secret(table: Table, cipher: FieldCipher, run: str) -> None:
    sealed, broken = str(cipher.encrypt(OTHER)), MALFORMED[cipher.format]
    table.fill((SECRET, sealed), (broken, None))
    stranger = with_keys(cipher.format, another_key(cipher.format))
    said = []
    for other in (stranger, with_keys(cipher.format, None)):
        try:
            said.append(repr(getattr(table, run)(other)))
        except (KeyConfigurationError, BackfillError) as error:
            said.append(repr(error))
    said.append(repr(getattr(table, run)(cipher)))
    for value in (SECRET, OTHER, sealed, broken, "do-not-show-me"):
        assert value not in " ".join(said)
