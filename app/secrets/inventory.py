"""Inventory of encrypted columns: every value is decrypted and counted, nothing is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.backfill import KeyRange, Table
from app.encryption import CipherError, FieldCipher, State

KEPT = 20
_PAGE_ROWS = 500
_STOP_ROWS = 20  # tokens with a salt each take 20 ms each, and a stop should be noticed soon


@dataclass
class ColumnInventory:
    """Counts the values of one column by state.

    Attributes:
        keys: values that each key opens, by its id; the writing key is listed even if it opens none.
        writing: the id of the writing key.
        malformed: values that begin like a ciphertext and aren't whole, or aren't text.
        unreadable: whole ciphertexts that no configured key opens.
        no_key: whole ciphertexts while no key is set.
        bad: row key and state of the first of those.
    """

    table: str
    column: str
    rows: int = 0
    empty: int = 0
    plaintext: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    writing: str | None = None
    malformed: int = 0
    unreadable: int = 0
    no_key: int = 0
    bad: list[tuple[Any, str]] = field(default_factory=list)

    @property
    def under_previous_keys(self) -> int:
        """Returns the number of values under another key than the writing one."""
        return sum(count for key, count in self.keys.items() if key != self.writing)

    def add(self, other: "ColumnInventory") -> None:
        """Adds the counts of other rows."""
        for name in ("rows", "empty", "plaintext", "malformed", "unreadable", "no_key"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for key, count in other.keys.items():
            self.keys[key] = self.keys.get(key, 0) + count
        self.bad += other.bad[: KEPT - len(self.bad)]

    def count(self, cipher: FieldCipher, value: Any, row_key: Any) -> None:
        """Counts one value."""
        self.rows += 1
        state = str(cipher.state(value) if value is None or isinstance(value, str) else State.MALFORMED)
        if state == State.ENCRYPTED and not cipher.keyring.keys:
            state = "no_key"
        elif state == State.ENCRYPTED:
            try:
                self.keys[cipher.open(value).key.id] += 1
            except CipherError:
                state = "unreadable"
            else:
                return
        setattr(self, state, getattr(self, state) + 1)
        if state in ("malformed", "unreadable") and len(self.bad) < KEPT:
            self.bad.append((row_key, state))


def blank_inventory(table: str, columns: Sequence[str], cipher: FieldCipher) -> list[ColumnInventory]:
    """Returns an inventory without counts for each column."""
    ids, writing = [key.id for key in cipher.keyring.keys], cipher.keyring.writing
    writing_id = writing.id if writing else None
    return [ColumnInventory(table, name, keys=dict.fromkeys(ids, 0), writing=writing_id) for name in columns]


def take_inventory(
    table: Table,
    cipher: FieldCipher,
    key_range: KeyRange | None,
    progress: Callable[[int], None],
    stopped: Callable[[], bool],
) -> list[ColumnInventory]:
    """Decrypts and counts every value of a range; None is the range of an empty table."""
    columns = blank_inventory(table.name, table.columns, cipher)
    width = len(table.key)
    while key_range is not None:
        page = table.read(key_range, _PAGE_ROWS)
        for number, row in enumerate(page):
            if number % _STOP_ROWS == 0 and stopped():
                return columns
            for column, value in zip(columns, row[width:], strict=True):
                column.count(cipher, value, table.shown(tuple(row[:width])))
        progress(columns[0].rows)
        key_range = KeyRange(tuple(page[-1][:width]), key_range.high) if len(page) == _PAGE_ROWS else None
    return columns
