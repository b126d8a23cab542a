"""Columns: what a difference from head means, and what becomes of it."""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from app.migrations.adopt.explanation.column_types import Relation, largest, relation
from app.migrations.adopt.explanation.findings import UNMANAGED, Explanation, Group
from app.migrations.adopt.explanation.rows import Rows
from app.migrations.snapshots import Difference, Facts, address_of, own_name, owner_of

_CONSTANT = re.compile(r"(?:NULL|TRUE|FALSE|[-+]?\d+(?:\.\d*)?|'(?:[^']|'')*')", re.IGNORECASE)
_SPELLINGS = {"true": "1", "false": "0"}


@dataclass(frozen=True)
class Columns:
    """The rules for the columns of one database.

    Args:
        explanation: takes the findings.
        dialect: `postgresql` or `sqlite`.
        rows: of the database.
        is_unmanaged: returns whether the operator declares an object unmanaged.
        is_contract: returns whether the operator asks for the later step of an object.
    """

    explanation: Explanation
    dialect: str
    rows: Rows
    is_unmanaged: Callable[[str], bool]
    is_contract: Callable[[str], bool]

    def explain(self, difference: Difference) -> None:
        """Puts a difference of a column into its group."""
        if not difference.attribute and difference.found is None:
            self._missing(difference.name, difference.expected)
        elif not difference.attribute:
            self._extra(difference.name, difference.found)
        else:
            self._differs(difference)

    def _missing(self, name: str, facts: Facts) -> None:
        add, table = self.explanation.add, owner_of(name)
        is_counted = "identity" in facts or "nextval(" in str(facts.get("default", ""))
        if (is_counted or "generated" in facts) and not self.rows.is_empty(table):
            add(name, Group.PERSON, "is missing, and the table would be written anew to give each row a value.")
            self.explanation.leave(name)
            return
        add(name, Group.REPAIRED, f"is missing: added ({facts['type']}).")
        if not facts["nullable"] and self._needs_null(table, facts):
            self.explanation.aim[name] = {**facts, "nullable": True}
            add(
                name,
                Group.ACCEPTED,
                "is added nullable, since the running service doesn't write it.",
                step=self._not_null(name),
            )

    def _needs_null(self, table: str, facts: Facts) -> bool:
        if "default" not in facts:
            return True
        is_constant = _CONSTANT.fullmatch(str(facts["default"])) is not None
        return self.dialect == "sqlite" and not is_constant and not self.rows.is_empty(table)

    def _extra(self, name: str, facts: Facts) -> None:
        self.explanation.leave(name)
        needs_value = not facts["nullable"] and not {"default", "identity", "generated"} & facts.keys()
        refuses = " It is NOT NULL without a default, so rows of newer code are refused." if needs_value else ""
        if self.is_unmanaged(name):
            self.explanation.add(name, Group.ACCEPTED, f"{UNMANAGED} declared by the operator.{refuses}")
            return
        reason = f"is unknown here ({facts['type']}).{refuses} If another program owns it, say so: --unmanaged "
        self.explanation.add(name, Group.PERSON, f"{reason}{shlex.quote(address_of(name))}")

    def _differs(self, difference: Difference) -> None:
        name, leave, add = difference.name, self.explanation.leave, self.explanation.add
        match difference.attribute:
            case "type":
                self._type(difference)
            case "nullable" if difference.expected:
                add(name, Group.REPAIRED, "refuses NULL, which head allows: NOT NULL is dropped.")
            case "nullable":
                self._nullable(name)
            case "default":
                self._default(difference)
            case "comment":
                add(name, Group.REPAIRED, "gets head's comment.", was=difference.found)
            case "generated":
                leave(name, "generated")
                leave(name, "default")
                add(name, Group.PERSON, "is generated here and not at head, or the other way round.")
            case attribute:
                leave(name, attribute)
                add(name, Group.ACCEPTED, f"{attribute} is {difference.found or 'not set'}: left as it is.")

    def _nullable(self, name: str) -> None:
        leave, add = self.explanation.leave, self.explanation.add
        if not self.is_contract(name):
            leave(name, "nullable")
            reason = "may be NULL, as the running service may write it."
            add(name, Group.ACCEPTED, reason, step=self._not_null(name))
            return
        rows = self.rows.nulls(owner_of(name), own_name(name))
        if rows.count:
            leave(name, "nullable")
            add(name, Group.PERSON, f"is NULL in {rows}: give them a value.", rows=rows.as_values)
        else:
            add(name, Group.REPAIRED, "becomes NOT NULL; no row is against it.")

    def _type(self, difference: Difference) -> None:
        name, found, expected = difference.name, difference.found, difference.expected
        leave, add = self.explanation.leave, self.explanation.add
        related = relation(self.dialect, found, expected)
        use = self.rows.used_columns.get(address_of(name))
        if related is Relation.CHEAP and use is None:
            add(name, Group.REPAIRED, f"is {found}, becomes {expected}: in the catalog alone, no row is touched.")
            return
        if related in (Relation.SMALLER, Relation.CHEAP) and self.is_contract(name):
            cost = "the table is written anew, locked meanwhile" if related is Relation.SMALLER else use
            add(name, Group.REPAIRED, f"is {found}, becomes {expected}: {cost}.")
            return
        leave(name, "type")
        if related is Relation.SMALLER:
            add(name, Group.ACCEPTED, self._headroom(name, found, expected), step=self._widening(name, expected))
        elif related is Relation.CHEAP:
            add(name, Group.ACCEPTED, f"is {found}, and {use}: left.", step=self._widening(name, expected))
        elif related is Relation.OTHER:
            add(name, Group.ACCEPTED, f"is {found}, and head says {expected}: left, for it takes the same values.")
        else:
            reason = f"is {found}, and head says {expected}: values would mean something else. Change it by hand first."
            add(name, Group.PERSON, reason)

    def _headroom(self, name: str, found: str, expected: str) -> str:
        most, top = largest(found) or 0, self.rows.largest(owner_of(name), own_name(name))
        used = f"{top or 0:,} of {most:,} are used ({(top or 0) / most:.1%})" if top is not None else "unused so far"
        return f"is {found}, and head says {expected}: left, for the change would write the table anew; {used}."

    @staticmethod
    def _widening(name: str, expected: str) -> str:
        return f"{expected}, while the service is stopped: schema adopt --contract {address_of(name)}"

    @staticmethod
    def _not_null(name: str) -> str:
        return f"NOT NULL, when the old service is gone: schema adopt --contract {address_of(name)}"

    def _default(self, difference: Difference) -> None:
        name, found, expected = difference.name, difference.found, difference.expected
        leave, add = self.explanation.leave, self.explanation.add
        if self.explanation.present[name].get("identity"):
            leave(name, "default")
            add(name, Group.ACCEPTED, "is an identity, which counts as head's sequence does: left.")
        elif found is None and "nextval(" in str(expected):
            leave(name, "default")
            add(name, Group.PERSON, "isn't counted by the database, and head's rows get their number from it.")
        elif found is None:
            add(name, Group.REPAIRED, f"has no default: gets {expected}, for statements that leave it out.")
        elif expected is not None and _spelt(found) == _spelt(expected):
            add(name, Group.RENAMED, f"has the default {found}, which head writes {expected}.")
        else:
            leave(name, "default")
            head = f"head says {expected}" if expected is not None else "head has none"
            add(name, Group.ACCEPTED, f"has the default {found}, and {head}: left, the running service may rely on it.")


def _spelt(default: object) -> str:
    text = str(default).strip()
    plain = text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text
    return _SPELLINGS.get(plain.lower(), plain)
