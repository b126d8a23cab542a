"""Objects that are there under another name, or in another form of the same effect: renamed or declared first."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from app.migrations.adopt.explanation.findings import Explanation, Group
from app.migrations.adopt.explanation.same_effect import nameless, pairs, unique_index
from app.migrations.snapshots import address_of, kind_of, of_kind, own_name, owner_of, quote

_COUNTS = re.compile(r"nextval\('(?:\"?\w+\"?\.)?\"?(\w+)\"?'::regclass\)")
_FORMER = "_before_head"


@dataclass(frozen=True)
class Alike:
    """Finds them, and changes the `present` of an explanation as its statements will change the database."""

    explanation: Explanation
    dialect: str

    def find(self) -> None:
        """Finds all of them."""
        if self.dialect == "postgresql":
            self._sequences()
        self._by_name()
        self._unique()
        if self.dialect == "postgresql":
            self._taken_names()

    def _by_name(self) -> None:
        item = self.explanation
        for kind in ("constraint", "index", "trigger"):
            for missing, extra in [*pairs(item.aim, item.present, kind)]:
                if self.dialect == "postgresql":
                    item.first.append(_rename(extra, missing))
                item.move(extra, missing)
                if kind == "index":
                    item.present[missing] = {**item.present[missing], "definition": item.aim[missing]["definition"]}
                if kind == "trigger":  # its function may be another one
                    old, new = (f"CREATE TRIGGER {quote(own_name(name))} " for name in (extra, missing))
                    text = str(item.present[missing]["definition"]).replace(old, new, 1)
                    item.present[missing] = {**item.present[missing], "definition": text}
                called = "has no name" if own_name(extra).startswith("(") else f"is called {own_name(extra)}"
                item.add(missing, Group.RENAMED, f"{called} here: gets head's name.")

    def _unique(self) -> None:
        """Declares unique indexes as the constraints that they are in effect, or accepts one for the other."""
        for name, index in [*self._unique_pairs()]:
            item, is_constraint = self.explanation, kind_of(name) == "constraint"
            if item.present[index].get("valid") is False:
                if own_name(index) == own_name(name):  # left by a build that failed, which begins by dropping it
                    del item.present[index]
                continue
            if is_constraint and self.dialect == "postgresql":
                table = quote(owner_of(name))
                using = f"UNIQUE USING INDEX {quote(own_name(index))}"
                item.first.append(f"ALTER TABLE {table} ADD CONSTRAINT {quote(own_name(name))} {using}")
                del item.present[index]
                item.present[name] = item.aim[name]
                item.add(name, Group.RENAMED, f"is the unique index {own_name(index)} here: declared as a constraint.")
                continue
            item.leave(name)
            item.leave(index)
            other = "index" if is_constraint else "constraint"
            item.add(name, Group.ACCEPTED, f"is the unique {other} {own_name(index)} here, which does the same: left.")

    def _unique_pairs(self) -> Iterator[tuple[str, str]]:
        aim, present = self.explanation.aim, self.explanation.present
        for name in [name for name in aim if name not in present and kind_of(name) in ("constraint", "index")]:
            other = "index" if kind_of(name) == "constraint" else "constraint"
            for found in of_kind(present, other, owner_of(name)):
                constraint, index = (aim[name], present[found]) if other == "index" else (present[found], aim[name])
                wanted = unique_index(constraint, owner_of(name), "?")
                plain = nameless(found if other == "index" else name, index)["definition"]
                if found not in aim and wanted is not None and _columns(wanted) == _columns(str(plain)):
                    yield name, found
                    break

    def _sequences(self) -> None:
        """Accepts that a column counts by a sequence of another name; the running service may name it."""
        item = self.explanation
        for name in [name for name in of_kind(item.aim, "sequence") if name not in item.present]:
            column = f"column {item.aim[name].get('owner')}"
            called = _COUNTS.fullmatch(str(item.present.get(column, {}).get("default")))
            found = f"sequence {called[1]}" if called else ""
            if found not in item.present or found in item.aim:
                continue
            for left in (name, found):
                item.leave(left)
                item.add(left, Group.ACCEPTED, f"{address_of(column)} counts by {address_of(found)}: left.")
            item.leave(column, "default")
            item.add(column, Group.ACCEPTED, f"counts by the sequence {address_of(found)}: left.")

    def _taken_names(self) -> None:
        """Renames indexes that have the name of another one of head's; these are built beside them."""
        item = self.explanation
        for name in of_kind(item.aim, "index"):
            found = item.present.get(name)
            if found is None or found.get("definition") == item.aim[name]["definition"]:
                continue
            kept = f"index {owner_of(name)}.{own_name(name)}{_FORMER}"
            item.first.append(_rename(name, kept))
            item.move(name, kept)
            text = str(found["definition"]).replace(own_name(name), own_name(kept), 1)
            item.present[kept] = {**found, "definition": text}
            item.add(name, Group.REPAIRED, f"is another index ({found['definition']}), kept as {own_name(kept)}.")


def _rename(old: str, new: str) -> str:
    own, name, table = quote(own_name(old)), quote(own_name(new)), quote(owner_of(new))
    match kind_of(old):
        case "constraint":
            return f"ALTER TABLE {table} RENAME CONSTRAINT {own} TO {name}"
        case "index":
            return f"ALTER INDEX {own} RENAME TO {name}"
        case _:
            return f"ALTER TRIGGER {own} ON {table} RENAME TO {name}"


def _columns(definition: str) -> str:
    """Returns an index' columns and what follows them; empty if it isn't unique, or not on all rows."""
    if not definition.startswith("CREATE UNIQUE INDEX") or " WHERE " in definition:
        return ""
    return definition.partition("(")[2].replace('"', "")
