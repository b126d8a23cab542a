"""Decisions on renames: the model declares that a drop and an add are one, or the developer answers."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alembic.autogenerate.api import AutogenContext

from app.migrations import terminal
from app.migrations.errors import ConfigurationError
from app.migrations.session import Session
from app.migrations.x_options import NOT_A_RENAME

INFO_KEY = "renamed_from"


@dataclass(frozen=True)
class Pair:
    """A drop and an add that may be a rename.

    Attributes:
        old, new: `users.nick`, or the name of a table.
        declared: the model says that it is a rename.
        drop, add: the operations.
    """

    old: str
    new: str
    declared: bool
    drop: Any
    add: Any

    @property
    def likelihood(self) -> float:
        """Returns the similarity of the names."""
        return difflib.SequenceMatcher(None, self.old, self.new).ratio()


class Decisions:
    """The decisions of one comparison."""

    def __init__(self, context: AutogenContext) -> None:
        environment, config = context.migration_context.environment_context, context.migration_context.config
        self._session = Session.of(config) if config is not None else Session()
        arguments = environment.get_x_argument() if environment is not None else []
        denied = [argument.partition("=")[2] for argument in arguments if argument.startswith(f"{NOT_A_RENAME}=")]
        self._not_renames = {*denied, *self._session.not_a_rename}
        # `alembic check` compares too: it writes nothing, so there is nothing to decide.
        self._writes = bool(context.opts.get("writes_revision"))
        at_terminal = config is not None and config.cmd_opts is not None and terminal.is_there()
        self._ask: terminal.Ask | None = self._session.ask or (terminal.ask if at_terminal else None)
        self._undecided: list[Pair] = []

    def renames(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Returns the pairs that are renames; a drop and an add are in one of them at most."""
        renames: list[Pair] = []
        for pair in sorted(pairs, key=lambda pair: (not pair.declared, -pair.likelihood, pair.old, pair.new)):
            free = not any(pair.drop is other.drop or pair.add is other.add for other in renames)
            if free and (pair.declared or self._is_rename(pair)):
                renames.append(pair)
        return renames

    def require_decisions(self) -> None:
        """Ends the comparison if a pair is undecided.

        Raises:
            ConfigurationError: the message has a line for each such pair.
        """
        if self._undecided:
            raise ConfigurationError("\n".join(map(self._question, self._undecided)))

    def _is_rename(self, pair: Pair) -> bool:
        if not self._writes or pair.old in self._not_renames:
            return False
        if self._ask is None:
            self._undecided.append(pair)
            return False
        return self._ask(f"Was {pair.old} renamed to {pair.new}? [y/N]", "n").lower() in ("y", "yes")

    def _question(self, pair: Pair) -> str:
        info = f'{{"{INFO_KEY}": "{pair.old.rpartition(".")[2]}"}}'
        is_column = "." in pair.old
        declared = f"mapped_column(..., info={info})" if is_column else f'__table_args__ = ({{"info": {info}}},)'
        by_schema = self._session.called_by_schema
        option = (
            f"schema dev --{NOT_A_RENAME} {pair.old}"
            if by_schema
            else f"alembic -x {NOT_A_RENAME}={pair.old} revision …"
        )
        return (
            f"Was {pair.old} renamed to {pair.new}? They have the same shape, and a guess could lose data. "
            f"If it was, say so in the model of {pair.new}: {declared}. If it wasn't: {option}"
        )
