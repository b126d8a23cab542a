"""Inventory of encrypted columns: every value is decrypted and counted, nothing is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import is_
from typing import Any

from app.backfill import KeyRange, Table
from app.encryption import FieldCipher, State

KEPT = 20
_PAGE_ROWS = 1000
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
        are_texts = {*map(type, values)} == {str} and all(values)  # nearly every page
        numbers = [*range(len(values))] if are_texts else [n for n, v in enumerate(values) if v and isinstance(v, str)]
        has_keys, opened = bool(cipher.keyring.keys), set[int]()
        if has_keys:
            keys = cipher.open_page(values if are_texts else [values[number] for number in numbers]).keys
            for key in cipher.keyring.keys:
                self.keys[key.id] += sum(map(partial(is_, key), keys))
            opened = {number for number, key in zip(numbers, keys, strict=True) if key is not None}
        for number in range(len(values)) if len(opened) < len(values) else ():
            if number in opened:
                continue
            value = values[number]
            state = cipher.state(value) if value is None or isinstance(value, str) else State.MALFORMED
            name = str(state) if state is not State.ENCRYPTED else "unreadable" if has_keys else "no_key"
            setattr(self, name, getattr(self, name) + 1)
            if name in ("malformed", "unreadable") and len(self.bad) < KEPT:
                self.bad.append((row_keys[number], name))


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
    width, at_once = len(table.key), _STOP_ROWS if cipher.format.salt_bytes else _PAGE_ROWS
    while key_range is not None:
        page = table.read(key_range, _PAGE_ROWS)
        for start in range(0, len(page), at_once):
            if stopped():
                return columns
            rows = page[start : start + at_once]
            keys = [table.shown(tuple(row[:width])) for row in rows]
            for column, values in zip(columns, [*zip(*rows, strict=True)][width:], strict=True):
                column.count(cipher, values, keys)
        progress(columns[0].rows)
        key_range = KeyRange(tuple(page[-1][:width]), key_range.high) if len(page) == _PAGE_ROWS else None
    return columns
