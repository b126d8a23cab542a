"""Constraints, indexes, triggers and functions: what a difference from head means, and what becomes of it."""

from collections.abc import Callable
from dataclasses import dataclass

from app.migrations.adopt.explanation.findings import Explanation, Group
from app.migrations.adopt.explanation.known import FormerConstraints, without_actions
from app.migrations.adopt.explanation.rows import Rows, RowsFound, foreign_key_columns
from app.migrations.adopt.explanation.same_effect import effect_of_function, effect_of_trigger
from app.migrations.snapshots import Difference, Facts, kind_of, of_kind, own_name, owner_of, quote

_LETS_PARENTS_GO = ("ON DELETE CASCADE", "ON DELETE SET NULL", "ON DELETE SET DEFAULT")
_FOLLOWS_PARENTS = ("ON UPDATE CASCADE", "ON UPDATE SET NULL", "ON UPDATE SET DEFAULT")


@dataclass(frozen=True)
class Built:
    """The rules for what is built on columns.

    Args:
        explanation: takes the findings.
        dialect: `postgresql` or `sqlite`.
        rows: of the database.
        former: constraints of earlier revisions.
        is_contract: returns whether the operator asks for the later step of an object.
    """

    explanation: Explanation
    dialect: str
    rows: Rows
    former: FormerConstraints
    is_contract: Callable[[str], bool]

    def explain(self, difference: Difference) -> None:
        """Puts a difference into its group."""
        name, expected, found = difference.name, difference.expected, difference.found
        if difference.attribute:
            self._differs(difference)
        elif expected is None:
            self._extra(name, found)
        elif kind_of(name) == "constraint":
            self._missing_constraint(name, expected)
        elif kind_of(name) == "index" and "UNIQUE INDEX" in expected["definition"]:
            self._add_unless(name, self.rows.duplicates(name, expected), "an index")
        else:
            self.explanation.add(name, Group.REPAIRED, "is missing: made.")

    def _extra(self, name: str, facts: Facts) -> None:
        definition = str(facts.get("definition", ""))
        if kind_of(name) != "constraint":
            self._accept(name, "is no object of head's: left.", leave="")
        elif definition.startswith("PRIMARY KEY"):
            self._refuse(name, f"is another key than head's ({definition}).", leave="")
        elif name in self._stand_ins().values():
            reason = f"has other actions than head's key: left, the running service may rely on it ({definition})."
            self._accept(name, reason, self._adding(name))
        elif self.former.has(name, facts):
            self.explanation.add(name, Group.REPAIRED, f"is of an earlier revision ({definition}): dropped.")
        else:
            self._accept(name, f"is no constraint of head's: left, and refuses what it has refused ({definition}).")

    def _stand_ins(self) -> dict[str, str]:
        """Returns foreign keys of head's that are missing, each with one that has other actions and must stay."""
        aim, present = self.explanation.expected, self.explanation.present
        missing = [name for name in of_kind(aim, "constraint") if name not in present]
        return {
            name: extra
            for name in missing
            for extra in of_kind(present, "constraint", owner_of(name))
            if extra not in aim
            and without_actions(present[extra]) == without_actions(aim[name])
            and not _only_widens(present[extra], aim[name])
            and not (self.is_contract(name) or self.is_contract(extra))
        }

    def _missing_constraint(self, name: str, facts: Facts) -> None:
        definition = str(facts["definition"])
        if definition.startswith("PRIMARY KEY"):
            self._refuse(name, f"is missing: add it by hand: ALTER TABLE {quote(owner_of(name))} ADD {definition};")
        elif definition.startswith("UNIQUE"):
            self._add_unless(name, self.rows.duplicates(name, facts), "a unique constraint")
        elif definition.startswith("FOREIGN KEY"):
            self._missing_foreign_key(name, facts)
        elif definition.startswith("CHECK"):
            rows = self.rows.against_check(name, facts)
            if rows.count:
                self._refuse_for(name, rows)
            elif self.is_contract(name):
                self.explanation.add(name, Group.REPAIRED, f"is missing: added; {_against(rows)}.")
            else:
                self._accept(name, "is missing: it may refuse what the running service writes.", self._adding(name))
        else:
            self._refuse(name, f"is missing: add it by hand ({definition}).")

    def _missing_foreign_key(self, name: str, facts: Facts) -> None:
        if stand_in := self._stand_ins().get(name):
            self._accept(name, f"is {own_name(stand_in)} here, with other actions.", self._adding(name))
            return
        columns = [f"column {owner_of(name)}.{column}" for column in foreign_key_columns(facts)]
        if any(column not in self.explanation.present for column in columns):
            self.explanation.add(name, Group.REPAIRED, "is missing: made on a new column.")
            return
        rows = self.rows.without_parent(name, facts)
        if rows.count:
            self._refuse_for(name, rows)
        elif self.is_contract(name) or any(action in str(facts["definition"]) for action in _LETS_PARENTS_GO):
            self.explanation.add(name, Group.REPAIRED, f"is missing: added; {_against(rows)}.")
        else:
            reason = "is missing, and would refuse a deletion that the running service may make."
            self._accept(name, reason, self._adding(name))

    def _add_unless(self, name: str, rows: RowsFound, what: str) -> None:
        if rows.count:
            self._refuse_for(name, rows)
        else:
            self.explanation.add(name, Group.REPAIRED, f"is missing: {what} is built; {_against(rows)}.")

    def _differs(self, difference: Difference) -> None:
        name, attribute = difference.name, difference.attribute
        match kind_of(name), attribute:
            case _, "comment":
                self.explanation.add(name, Group.REPAIRED, "gets head's comment.", was=difference.found)
            case "constraint", "definition":
                self._other_constraint(difference)
            case "constraint", "valid":
                self._not_validated(name)
            case "index", "valid":
                self.explanation.add(name, Group.REPAIRED, "is INVALID, left by a build that was killed: built anew.")
            case "index", "definition":
                self.explanation.add(name, Group.REPAIRED, f"is another index ({difference.found}): built anew.")
            case "trigger", "definition":
                present, aim = self.explanation.present, self.explanation.aim
                same = effect_of_trigger(name, present) == effect_of_trigger(name, aim) or self._keeps_time(difference)
                self._same_or_not(difference, same=same)
            case "function", "definition":
                found, expected = ({"definition": text} for text in (difference.found, difference.expected))
                self._same_or_not(difference, same=effect_of_function(found) == effect_of_function(expected))
            case _:
                self._accept(name, f"{attribute} is {difference.found}: left as it is.", leave=attribute)

    def _keeps_time(self, difference: Difference) -> bool:
        """Returns whether both triggers of SQLite do no more than keep `updated_at`."""
        sets = f"BEGIN UPDATE {owner_of(difference.name)} SET updated_at = "
        texts = [str(text) for text in (difference.expected, difference.found)]
        return self.dialect == "sqlite" and all(sets in text and text.count(";") == 1 for text in texts)

    def _same_or_not(self, difference: Difference, *, same: bool) -> None:
        name = difference.name
        if same:
            reason = "does the same, and is written otherwise: takes head's text."
            self.explanation.add(name, Group.RENAMED, reason, was=difference.found)
        else:
            self._refuse(
                name, "does something else than head's of that name: rename it, or change it by hand.", "definition"
            )

    def _other_constraint(self, difference: Difference) -> None:
        name, found, expected = difference.name, str(difference.found), str(difference.expected)
        is_key = without_actions({"definition": found}) == without_actions({"definition": expected})
        if not (expected.startswith("FOREIGN KEY") and is_key):
            self._refuse(name, f"is {found}, and head says {expected}.", "definition")
            return
        if _only_widens({"definition": found}, {"definition": expected}) or self.is_contract(name):
            self.explanation.add(name, Group.REPAIRED, f"is {found}: becomes {expected}.")
        else:
            self._accept(name, f"is {found}, and head says {expected}: left.", self._adding(name), "definition")

    def _not_validated(self, name: str) -> None:
        facts = self.explanation.present[name]
        is_key = str(facts["definition"]).startswith("FOREIGN KEY")
        rows = self.rows.without_parent(name, facts) if is_key else self.rows.against_check(name, facts)
        if rows.count:
            self._refuse_for(name, rows, "valid")
        else:
            self.explanation.add(name, Group.REPAIRED, "is NOT VALID: validated.")

    @staticmethod
    def _adding(name: str) -> str:
        return f"when the old service is gone: schema adopt --contract {owner_of(name)}.{own_name(name)}"

    def _accept(self, name: str, reason: str, step: str = "", leave: str = "") -> None:
        self.explanation.leave(name, leave)
        self.explanation.add(name, Group.ACCEPTED, reason, step=step)

    def _refuse(self, name: str, reason: str, leave: str = "") -> None:
        self.explanation.leave(name, leave)
        self.explanation.add(name, Group.PERSON, reason)

    def _refuse_for(self, name: str, rows: RowsFound, leave: str = "") -> None:
        self.explanation.leave(name, leave)
        self.explanation.add(name, Group.PERSON, f"{rows} would be refused: correct them.", rows=rows.as_values)


def _only_widens(found: Facts, expected: Facts) -> bool:
    """Returns whether another foreign key in place of the found one lets more happen, and nothing else."""
    texts = [str(facts["definition"]) for facts in (found, expected)]
    kept = all(action in texts[1] for action in (*_LETS_PARENTS_GO, *_FOLLOWS_PARENTS) if action in texts[0])
    return kept and any(action in texts[1] for action in _LETS_PARENTS_GO)


def _against(rows: RowsFound) -> str:
    return "no row is against it" if rows.count == 0 else "its rows couldn't be looked at in time, or by this role"
