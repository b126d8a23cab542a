"""Whether a drop and an add are a rename: declared by the model, or answered by somebody; see `renames`."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alembic.autogenerate.api import AutogenContext

from app.migrations import terminal
from app.migrations.errors import ConfigurationError
from app.migrations.session import Session

INFO_KEY = "renamed_from"
OPTION = "not-a-rename"


@dataclass(frozen=True)
class Pair:
    """Something that would be dropped, and something that would be added.

    Attributes:
        old: `users.nick`, or the name of a table.
        new: the same of what would be added.
        declared: the model says that it is a rename.
        drop: the operation that would drop the one.
        add: the operation that would add the other.
    """

    old: str
    new: str
    declared: bool
    drop: Any
    add: Any


class Decisions:
    """Tells which pairs are renames."""

    def __init__(self, context: AutogenContext) -> None:
        environment = context.migration_context.environment_context
        config = environment.config if environment is not None else None
        self._session = Session.of(config) if config is not None else Session()
        arguments = environment.get_x_argument() if environment is not None else []
        told = [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{OPTION}=")]
        self._no_renames = {*told, *self._session.not_a_rename}
        # `alembic check` compares too: it writes nothing, so there is nothing to decide.
        self._writes = bool(context.opts.get("writes_revision"))
        at_terminal = config is not None and config.cmd_opts is not None and terminal.is_there()
        self._ask: terminal.Ask | None = self._session.ask or (terminal.ask if at_terminal else None)
        self._undecided: list[Pair] = []

    def renames(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Those of `pairs` that are renames, each drop and each add in one of them at most."""
        found: list[Pair] = []
        likely = sorted(pairs, key=lambda pair: (not pair.declared, -_similarity(pair), pair.old, pair.new))
        for pair in likely:
            free = not any(pair.drop is other.drop or pair.add is other.add for other in found)
            if free and (pair.declared or self._is_rename(pair)):
                found.append(pair)
        return found

    def refuse_the_rest(self) -> None:
        """Ends the comparison if something is left that nobody has decided.

        Raises:
            ConfigurationError: it is; the message has a line on each pair.
        """
        if self._undecided:
            raise ConfigurationError("\n".join(self._question(pair) for pair in self._undecided))

    def _is_rename(self, pair: Pair) -> bool:
        if not self._writes or pair.old in self._no_renames:
            return False
        if self._ask is None:
            self._undecided.append(pair)
            return False
        answer = self._ask(f"Was {pair.old} renamed to {pair.new}? [y/N]", "n")
        return answer.lower() in ("y", "yes")

    def _question(self, pair: Pair) -> str:
        old = pair.old.rpartition(".")[2]
        told = f'{{"info": {{"{INFO_KEY}": "{old}"}}}}'
        column = f'mapped_column(..., info={{"{INFO_KEY}": "{old}"}})'
        declared = column if "." in pair.old else f"__table_args__ = ({told},)"
        by_schema = self._session.called_by_schema
        option = f"schema dev --{OPTION} {pair.old}" if by_schema else f"alembic -x {OPTION}={pair.old} revision …"
        return (
            f"Was {pair.old} renamed to {pair.new}? They have the same shape, and a guess could lose data. "
            f"If it was, say so in the model of {pair.new}: {declared}. If it wasn't: {option}"
        )


def _similarity(pair: Pair) -> float:
    return difflib.SequenceMatcher(None, pair.old, pair.new).ratio()
