"""Traces that the history of a database leaves in its facts, and facts that models can't state: no differences."""

import re
from collections.abc import Iterator
from typing import Any

from app.migrations.snapshots.differences import NAME, Difference
from app.migrations.snapshots.store import Facts, Snapshot, address_of, kind_of, of_kind, own_name, owner_of
from app.migrations.sql import lexer
from app.triggers import UPDATED_AT_FUNCTION, updated_at_trigger

# A revision makes these by hand; models declare only the triggers of `updated_at`.
_OF_REVISIONS = ("view", "function", "policy", "statistics", "collation")
_NO_OPTION_OF_MODELS = {
    "table": ("row_security", "forced_row_security"),
    "index": ("valid",),
    "trigger": ("enabled",),
}
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")


def canonical(dialect: str, snapshot: Snapshot, like: Snapshot | None = None) -> Snapshot:
    """Returns a snapshot in which the same thing has one spelling.

    Args:
        dialect: `postgresql` or `sqlite`.
        snapshot: of the models, or of a database.
        like: the models: a sequence that a column owns is called as theirs.
    """
    if dialect == "postgresql":
        return _sequences_by_owner(snapshot, like or {})
    return {name: _sqlite_facts(name, facts) for name, facts in snapshot.items()}


def without_what_models_cannot_say(models: Snapshot, found: Snapshot) -> Snapshot:
    """Returns what was found without the objects and facts that only a revision can make."""
    result: Snapshot = {}
    for name, facts in found.items():
        kind = kind_of(name)
        if name not in models and _is_of_a_revision(name):
            continue
        silent = models.get(name, {})
        result[name] = {
            fact: silent.get(fact, value) if _is_any(kind, fact, silent) else value
            for fact, value in facts.items()
            if fact not in _NO_OPTION_OF_MODELS.get(kind, ()) or fact in silent or name not in models
        }
    return result


def _is_any(kind: str, fact: str, models: Facts) -> bool:
    """Returns whether the models' value of a fact stands for any: of those that they can't state, or don't ask for."""
    asks_for_nothing = kind == "constraint" and fact == "valid" and not models.get("valid", True)
    return asks_for_nothing or fact in _NO_OPTION_OF_MODELS.get(kind, ())


def traces(differences: list[Difference]) -> tuple[list[Difference], list[str]]:
    """Tells the differences that a database's history has left from the others: returns these, and notes on those."""
    notes, renamed, explained = [], list[Difference](), set[str]()
    for missing in [d for d in differences if not d.attribute and d.found is None and _is_key(d.expected)]:
        for extra in differences:
            same_table = kind_of(extra.name) == "constraint" and owner_of(extra.name) == owner_of(missing.name)
            if same_table and not extra.attribute and extra.found == missing.expected and extra.name not in explained:
                explained |= {missing.name, extra.name}
                new, old = own_name(missing.name), own_name(extra.name)
                unnamed = old.startswith("(") or new.startswith("(")  # SQLAlchemy names no key that counts
                if unnamed or _is_of_renamed_table(owner_of(missing.name), new, old):
                    notes.append(f"{missing.name} is called {old} here")
                else:
                    renamed.append(Difference(missing.name, NAME, new, old))
                break
    return [*(d for d in differences if d.name not in explained), *renamed], [n for n in notes if " (" not in n]


def _is_of_renamed_table(table: str, new: str, old: str) -> bool:
    """Returns whether a name is that of a table's former name: `old_pkey` of what is now called `new`."""
    ending = new.removeprefix(table)
    return ending != new and old.endswith(ending)


def _is_key(facts: Facts | None) -> bool:
    return str((facts or {}).get("definition", "")).startswith(("PRIMARY KEY", "FOREIGN KEY"))


def _is_of_a_revision(name: str) -> bool:
    match kind_of(name):
        case "trigger":
            return own_name(name) != updated_at_trigger(owner_of(name)).name
        case "function":
            return address_of(name) != f"{UPDATED_AT_FUNCTION.name}()"
        case kind:
            return kind in _OF_REVISIONS


def _sequences_by_owner(snapshot: Snapshot, like: Snapshot) -> Snapshot:
    """Calls the sequence of a column as the models do: a renamed table keeps the sequence of its former name."""
    expected = {
        facts["owner"]: address_of(n) for n, facts in like.items() if n.startswith("sequence ") and "owner" in facts
    }
    for name in of_kind(snapshot, "sequence"):
        owner = snapshot[name].get("owner")
        new = expected.get(owner)
        if new is not None and new != address_of(name):
            snapshot = {
                (f"sequence {new}" if other == name else other): _calling(facts, address_of(name), new)
                for other, facts in snapshot.items()
            }
    return snapshot


def _calling(facts: Facts, old: str, new: str) -> Facts:
    default = facts.get("default")
    return {**facts, "default": default.replace(old, new)} if default and "nextval(" in default else facts


def _sqlite_facts(name: str, facts: Facts) -> Facts:
    result = dict(facts)
    if "default" in result:
        result["default"] = _by_affinity(str(result["type"]), result["default"])
    for fact in ("definition", "generated"):
        if fact in result and kind_of(name) != "trigger":
            result[fact] = _compact(result[fact])
    return result


def _by_affinity(kind: str, default: str) -> str:
    """Returns a constant as the column stores it: a numeric column stores the text of a number as a number."""
    text = default[1:-1] if default.startswith("'") and default.endswith("'") else None
    is_text = any(word in kind for word in ("CHAR", "CLOB", "TEXT"))
    if text is not None and not is_text and kind and "BLOB" not in kind and _NUMBER.fullmatch(text):
        return text
    return f"'{default}'" if is_text and _NUMBER.fullmatch(default) else default


def _compact(text: str) -> str:
    return "".join(_pieces(text))


def _pieces(text: str) -> Iterator[str]:
    """Yields the tokens of SQL, without the blanks around operators."""
    words = [token for token in lexer.tokens(text) if not token.isspace()]
    before = ""
    for word in words:
        if before and _is_word(before[-1]) and _is_word(word[0]):
            yield " "
        yield word
        before = word


def _is_word(sign: Any) -> bool:
    return bool(re.match(r"[\w'\"]", sign))
