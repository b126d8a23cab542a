"""Inventory of encrypted columns: every value is decrypted and counted, nothing is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.backfill import KeyRange, Table
from app.encryption import FieldCipher, State

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

    def count(self, cipher: FieldCipher, values: Sequence[Any], row_keys: Sequence[Any]) -> None:
        """Counts the values of some rows."""
        self.rows += len(values)
        states = [str(cipher.state(v) if v is None or isinstance(v, str) else State.MALFORMED) for v in values]
        whole = [number for number, state in enumerate(states) if state == State.ENCRYPTED]
        if cipher.keyring.keys:
            for number, opened in zip(whole, cipher.open_page([values[number] for number in whole]), strict=True):
                states[number] = opened.key.id if opened is not None else "unreadable"
        else:
            states = ["no_key" if state == State.ENCRYPTED else state for state in states]
        for number, state in enumerate(states):
            if state in self.keys:
                self.keys[state] += 1
                continue
            setattr(self, state, getattr(self, state) + 1)
            if state in ("malformed", "unreadable") and len(self.bad) < KEPT:
                self.bad.append((row_keys[number], state))


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
        for start in range(0, len(page), _STOP_ROWS):
            if stopped():
                return columns
            rows = page[start : start + _STOP_ROWS]
            keys = [table.shown(tuple(row[:width])) for row in rows]
            for column, values in zip(columns, [*zip(*rows, strict=True)][width:], strict=True):
                column.count(cipher, values, keys)
        progress(columns[0].rows)
        key_range = KeyRange(tuple(page[-1][:width]), key_range.high) if len(page) == _PAGE_ROWS else None
    return columns
