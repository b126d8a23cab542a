"""Effects: what a statement does to what is stored, one class for each kind."""

import re
from dataclasses import dataclass, field

from app.sql_text import parts_of, qualified

HOME = {"postgresql": "public", "sqlite": "main"}  # the schema of a table whose name is written without one


@dataclass(frozen=True)
class Effect:
    """Something that a statement does.

    Attributes:
        target: the table, with its schema where one is written; else the type, function or code that it is about.
        columns: columns of the table.
        where: the place in the revision, for messages.
    """

    target: str
    columns: tuple[str, ...] = ()
    where: str = field(default="", kw_only=True)

    def name(self) -> str:
        """Returns the spelling in refusals and in `acknowledged`: `drop_column users.legacy`."""
        kind = re.sub(r"\B([A-Z])", r"_\1", type(self).__name__).lower()
        columns = f".{','.join(self.columns)}" if self.columns else ""
        return f"{kind} {self.shown}{columns}"

    @property
    def shown(self) -> str:
        """Returns the target for people: without the schema that a table is in unless another one is written."""
        first, *others = parts_of(self.target) or [""]
        return qualified(*others) if others and first in HOME.values() else self.target


@dataclass(frozen=True)
class CreateTable(Effect):
    """A new table; one that is `until_commit` is temporary, and gone after the next commit."""

    temporary: bool = False
    until_commit: bool = False


class DropTable(Effect):
    """A table goes."""


@dataclass(frozen=True)
class DetachPartition(Effect):
    """A partition, or a child, goes from the table `to`, and its rows with it."""

    to: str = ""


@dataclass(frozen=True)
class RenameTable(Effect):
    """A table gets the name `to`, which begins with a schema if that changes."""

    to: tuple[str, ...] = ()


@dataclass(frozen=True)
class AddColumn(Effect):
    """A new column; `required` if it is NOT NULL and nothing fills it."""

    required: bool = False


class DropColumn(Effect):
    """A column goes."""


@dataclass(frozen=True)
class RenameColumn(Effect):
    """A column gets the name `to`."""

    to: str = ""


@dataclass(frozen=True)
class AlterType(Effect):
    """A column gets the type `to`; the expression `using` converts its values."""

    to: str = ""
    using: str = ""


class SetNotNull(Effect):
    """A column becomes NOT NULL."""


@dataclass(frozen=True)
class AddUnique(Effect):
    """Columns become unique together; `whole` unless only some rows count, or an expression."""

    whole: bool = True


@dataclass(frozen=True)
class AddRule(Effect):
    """Base of the rules that rows must keep; one that isn't `checked`, NOT VALID, is for new rows alone."""

    constraint: str = ""
    checked: bool = True


@dataclass(frozen=True)
class AddForeignKey(AddRule):
    """Columns refer to those of the table `to`; none are named for its primary key."""

    to: str = ""
    referred: tuple[str, ...] = ()


@dataclass(frozen=True)
class AddCheck(AddRule):
    """Rows must meet the condition `to`."""

    to: str = ""


@dataclass(frozen=True)
class Validate(Effect):
    """The rows that are there must keep a rule as well, from now on."""

    constraint: str = ""


class Fill(Effect):
    """A table gets rows."""


@dataclass(frozen=True)
class ChangeRows(Effect):
    """Rows of a table change; `only` its own, not its children's; the `whole` of them: without a WHERE."""

    only: bool = False
    whole: bool = True


class Truncate(ChangeRows):
    """A table is emptied."""


class Delete(ChangeRows):
    """Rows are deleted."""


class Update(ChangeRows):
    """Columns are written over."""


@dataclass(frozen=True)
class CreateEnum(Effect):
    """A new enumeration."""

    labels: tuple[str, ...] = ()


class DropSchema(Effect):
    """A schema goes, and what is in it."""


class Cascade(Effect):
    """Everything that depends on the target goes along with it: `type mood`."""


class SetPath(Effect):
    """From here on, a name without a schema may mean another table."""


class Call(Effect):
    """A function is called."""


class Define(Effect):
    """A function or a trigger is created or replaced."""


class Opaque(Effect):
    """Code that can't be read, so it may do anything."""
