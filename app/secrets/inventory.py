"""Counts what a table's columns of secrets hold, and under which keys; everything is decrypted, nothing is written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.backfill.table import Rows, Span
from app.encryption import CipherError, FieldCipher, State

KEPT = 20
_ROWS = 500
_ASK_EVERY = 20  # rows: tokens with a salt each take 20 ms each, and who asks to stop shouldn't wait for long


@dataclass
class Census:
    """What one column holds.

    Attributes:
        keys: how many values each key opens, by its id; the writing key is there even if it opens none.
        writing: the id of the writing key.
        malformed: values that begin like a ciphertext and aren't a whole one, or aren't text.
        unreadable: whole ciphertexts that no configured key opens.
        bad: key and state of the first of those.
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
    bad: list[tuple[Any, str]] = field(default_factory=list)

    @property
    def previous(self) -> int:
        """How many values are under a key that isn't the writing one."""
        return sum(count for key, count in self.keys.items() if key != self.writing)

    def add(self, other: "Census") -> None:
        """Adds what was found in other rows."""
        for name in ("rows", "empty", "plaintext", "malformed", "unreadable"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for key, count in other.keys.items():
            self.keys[key] = self.keys.get(key, 0) + count
        self.bad += other.bad[: KEPT - len(self.bad)]


def blank(table: str, columns: Sequence[str], cipher: FieldCipher) -> list[Census]:
    """A census of nothing yet, for each column."""
    ids, writing = [key.id for key in cipher.keyring.keys], cipher.keyring.writing
    return [
        Census(table, name, keys=dict.fromkeys(ids, 0), writing=writing.id if writing else None) for name in columns
    ]


def take(
    rows: Rows,
    cipher: FieldCipher,
    span: Span | None,
    progress: Callable[[int], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> list[Census]:
    """Looks at every value of a stretch of a table.

    Args:
        rows: the table and its columns of secrets.
        cipher: theirs.
        span: the stretch; None is nothing.
        progress: called after each page with the number of rows seen.
        stopped: asked now and then whether to end.
    """
    found = blank(rows.table, rows.columns, cipher)
    width = len(rows.key)
    while span is not None:
        page = rows.read(span, _ROWS)
        for number, row in enumerate(page):
            if stopped is not None and number % _ASK_EVERY == 0 and stopped():
                return found
            for census, value in zip(found, row[width:], strict=True):
                _count(census, cipher, value, rows.named(tuple(row[:width])))
        if progress is not None:
            progress(found[0].rows)
        span = Span(tuple(page[-1][:width]), span.high) if len(page) == _ROWS else None
    return found


def _count(census: Census, cipher: FieldCipher, value: Any, key: Any) -> None:
    census.rows += 1
    state = cipher.state(value) if value is None or isinstance(value, str) else State.MALFORMED
    if state is State.EMPTY:
        census.empty += 1
    elif state is State.PLAINTEXT:
        census.plaintext += 1
    elif state is State.MALFORMED:
        census.malformed += 1
        _keep(census, key, "malformed")
    else:
        try:
            census.keys[cipher.open(value).key.id] += 1
        except CipherError:
            census.unreadable += 1
            _keep(census, key, "unreadable")


def _keep(census: Census, key: Any, state: str) -> None:
    if len(census.bad) < KEPT:
        census.bad.append((key, state))
