"""Objects that are the same by effect: keys, indexes and triggers under other names, functions spelt otherwise."""

import re
from collections.abc import Iterator

from app.migrations.snapshots import Facts, Snapshot, address_of, kind_of, of_kind, own_name, quote

_UNIQUE = re.compile(r"UNIQUE( NULLS NOT DISTINCT)? (\(.*?\))( INCLUDE \(.*?\))?((?: NOT)? DEFERRABLE.*)?")
_BODY = re.compile(r"AS (\$\w*\$)(.*)\1", re.DOTALL)
_CALLS = re.compile(r"EXECUTE (?:FUNCTION|PROCEDURE) ((?:\w+\.)?(\w+))\(")
_NOW = r"(?:now\(\)|current_timestamp(?:\(\d\))?|(?:clock|statement|transaction)_timestamp\(\)|localtimestamp)"
_SETS_TIME = re.compile(
    rf"begin new\.(\"?\w+\"?) ?:?= ?(?:timezone\('utc'(?:::text)?, ?{_NOW}\)|\(?{_NOW}"
    rf"(?: at time zone 'utc')?\)?); ?return new; ?end;?"
)


def unique_index(constraint: Facts, table: str, name: str) -> str | None:
    """Returns the definition of the index, called `name`, that a UNIQUE constraint would have; None for another."""
    match = _UNIQUE.fullmatch(str(constraint.get("definition", "")))
    if match is None:
        return None
    nulls, columns, include = match[1] or "", match[2], match[3] or ""
    return f"CREATE UNIQUE INDEX {quote(name)} ON {quote(table)} USING btree {columns}{include}{nulls}"


def deferral(constraint: Facts) -> str:
    """Returns the words on when a UNIQUE constraint is checked, with a blank before them."""
    match = _UNIQUE.fullmatch(str(constraint.get("definition", "")))
    return (match[4] if match else None) or ""


def nameless(name: str, facts: Facts) -> Facts:
    """Returns the facts of an index without its name in the definition."""
    text = str(facts.get("definition", ""))
    own = re.escape(own_name(name))
    plain = re.sub(rf"^(CREATE (?:UNIQUE )?(?:INDEX|TRIGGER)) (?:{own}|\"{own}\") ", r"\1 ? ", text)
    return {**facts, "definition": plain, "comment": None}


def effect_of_function(facts: Facts) -> str:
    """Returns a function's body in one spelling, without its name."""
    match = _BODY.search(str(facts.get("definition", "")))
    if match is None:
        return str(facts.get("definition", ""))
    body = re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", match[2])).strip().lower()
    body = re.sub(r"(?<=;)(?=\S)", " ", body)
    sets = _SETS_TIME.fullmatch(body)
    return f"sets {sets[1]} to the present" if sets else body


def effect_of_trigger(name: str, snapshot: Snapshot) -> str:
    """Returns a trigger's definition without its name, and with its function's body for the function's name."""
    text = str(nameless(name, snapshot[name])["definition"])
    called = _CALLS.search(text)
    function = snapshot.get(f"function {called[2]}()") if called else None
    if called is None or function is None:
        return text
    return text.replace(called[1], f"<{effect_of_function(function)}>")


def pairs(expected: Snapshot, found: Snapshot, kind: str) -> Iterator[tuple[str, str]]:
    """Yields missing objects of a kind, each with an extra one of the same table and effect."""
    taken = set[str]()
    for missing in [name for name in of_kind(expected, kind) if name not in found]:
        table = address_of(missing).partition(".")[0]
        for extra in of_kind(found, kind, table):
            if extra in expected or extra in taken:
                continue
            if _effect(missing, expected) == _effect(extra, found):
                taken.add(extra)
                yield missing, extra
                break


def _effect(name: str, snapshot: Snapshot) -> object:
    match kind_of(name):
        case "trigger":
            return effect_of_trigger(name, snapshot)
        case "index":
            return {fact: value for fact, value in nameless(name, snapshot[name]).items() if fact == "definition"}
        case _:
            return snapshot[name].get("definition")
