"""PostgreSQL: the statements for sequences, domains, enumerations, policies, statistics, collations and options."""

from collections.abc import Iterator

from sqlalchemy.dialects.postgresql import dialect as Dialect  # noqa: N812 - a class

from app.migrations.errors import MigrationError
from app.migrations.snapshots.store import Facts, kind_of, own_name, owner_of
from app.sql_text import literal

# With named parameters no percent sign is doubled: `for_driver` does that.
quote = Dialect(paramstyle="named").identifier_preparer.quote  # type: ignore[no-untyped-call]

KINDS = ("enum", "domain", "sequence", "collation", "policy", "statistics")
_OF_SEQUENCE = {"min": "MINVALUE", "max": "MAXVALUE", "cache": "CACHE"}
_COMMANDS = {"r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE", "*": "ALL"}
_PROVIDERS = {"i": "icu", "c": "libc", "b": "builtin"}


def create(name: str, facts: Facts) -> str:
    """Returns the statement that creates one of `KINDS`, without the facts that are set later."""
    own = quote(own_name(name))
    match kind_of(name):
        case "enum":
            return f"CREATE TYPE {own} AS ENUM ({', '.join(map(literal, facts['labels']))})"
        case "sequence":
            new = " ".join(sequence_clauses({}, {fact: facts[fact] for fact in facts if fact != "owner"}))
            return f"CREATE SEQUENCE {own} {new}"
        case "domain":
            return " ".join([f"CREATE DOMAIN {own} AS {facts['type']}", *_of_domain(facts)])
        case "collation":
            deterministic = "" if facts.get("deterministic", True) else ", deterministic = false"
            provider = _PROVIDERS[facts["provider"]]
            return f"CREATE COLLATION {own} (provider = {provider}, locale = {literal(facts['locale'])}{deterministic})"
        case "policy":
            kind = "PERMISSIVE" if facts["permissive"] else "RESTRICTIVE"
            parts = [f"CREATE POLICY {own} ON {quote(owner_of(name))} AS {kind} FOR {_COMMANDS[facts['command']]}"]
            parts += [f"TO {', '.join(facts['roles'])}"]
            parts += [f"USING ({facts['using']})"] if "using" in facts else []
            parts += [f"WITH CHECK ({facts['check']})"] if "check" in facts else []
            return " ".join(parts)
    return str(facts["definition"])


def drop(name: str) -> str:
    """Returns the statement that drops one of `KINDS`."""
    kind, own = kind_of(name), quote(own_name(name))
    if kind == "policy":
        return f"DROP POLICY {own} ON {quote(owner_of(name))}"
    return f"DROP {'TYPE' if kind == 'enum' else kind.upper()} {own}"


def alter(name: str, old: Facts, new: Facts) -> Iterator[str]:
    """Yields the statements that change one of `KINDS`.

    Raises:
        MigrationError: PostgreSQL can't.
    """
    own = quote(own_name(name))
    match kind_of(name):
        case "enum":
            yield from _labels(name, old["labels"], new["labels"])
            yield from comment(f"TYPE {own}", old, new)
        case "sequence":
            if clauses := list(sequence_clauses(old, new)):
                yield f"ALTER SEQUENCE {own} {' '.join(clauses)}"
        case "domain":
            yield from _alter_domain(name, old, new)
            yield from comment(f"DOMAIN {own}", old, new)
        case _ if old != new:
            yield drop(name)
            yield create(name, new)


def comment(place: str, old: Facts, new: Facts) -> Iterator[str]:
    """Yields the statement that changes a comment."""
    if old.get("comment") != new.get("comment"):
        yield f"COMMENT ON {place} IS {literal(new['comment']) if 'comment' in new else 'NULL'}"


def options(alter: str, old: Facts, new: Facts) -> Iterator[str]:
    """Yields the statements that change storage options; `alter` is `ALTER TABLE t`."""
    before, after = (dict(text.split("=", 1) for text in facts.get("options", [])) for facts in (old, new))
    if gone := [name for name in before if name not in after]:
        yield f"{alter} RESET ({', '.join(gone)})"
    if changed := [f"{name} = {value}" for name, value in after.items() if before.get(name) != value]:
        yield f"{alter} SET ({', '.join(changed)})"


def sequence_clauses(old: Facts, new: Facts) -> Iterator[str]:
    """Yields the clauses of a sequence that change."""
    if old.get("type") != new["type"]:
        yield f"AS {new['type']}"
    if old.get("increment") != new["increment"]:
        yield f"INCREMENT BY {new['increment']}"
    for fact, words in _OF_SEQUENCE.items():
        if old.get(fact) != new.get(fact):
            usual = "CACHE 1" if fact == "cache" else f"NO {words}"
            yield f"{words} {new[fact]}" if fact in new else usual
    if _start(old) != _start(new):
        yield f"START WITH {_start(new)}"
    if old.get("cycles") != new.get("cycles"):
        yield "CYCLE" if new.get("cycles") else "NO CYCLE"
    if old.get("owner") != new.get("owner"):
        table, _, column = new.get("owner", "").partition(".")
        yield f"OWNED BY {quote(table)}.{quote(column)}" if table else "OWNED BY NONE"


def _start(facts: Facts) -> int:
    usual = facts.get("min", 1) if facts.get("increment", 1) > 0 else facts.get("max", -1)
    return int(facts.get("start", usual))


def _of_domain(facts: Facts) -> Iterator[str]:
    if "collation" in facts:
        yield f"COLLATE {facts['collation']}"
    if "default" in facts:
        yield f"DEFAULT {facts['default']}"
    if not facts["nullable"]:
        yield "NOT NULL"
    for check in facts.get("checks", []):
        name, _, body = check.partition(" ")
        yield f"CONSTRAINT {quote(name)} {body}"


def _alter_domain(name: str, old: Facts, new: Facts) -> Iterator[str]:
    alter, before, after = f"ALTER DOMAIN {quote(own_name(name))}", old.get("checks", []), new.get("checks", [])
    if (old["type"], old.get("collation")) != (new["type"], new.get("collation")):
        raise MigrationError(f"{name}: PostgreSQL can't change a domain's type: make a new one, and alter its columns.")
    for check in [check for check in before if check not in after]:
        yield f"{alter} DROP CONSTRAINT {quote(check.partition(' ')[0])}"
    for check in [check for check in after if check not in before]:
        constraint, _, body = check.partition(" ")
        yield f"{alter} ADD CONSTRAINT {quote(constraint)} {body}"
    if old.get("default") != new.get("default"):
        yield f"{alter} SET DEFAULT {new['default']}" if "default" in new else f"{alter} DROP DEFAULT"
    if old["nullable"] != new["nullable"]:
        yield f"{alter} {'DROP' if new['nullable'] else 'SET'} NOT NULL"


def _labels(name: str, old: list[str], new: list[str]) -> Iterator[str]:
    if [label for label in new if label in old] != old:
        raise MigrationError(
            f"{name}: PostgreSQL can't take away or move a label of an enumeration: make a new type, and alter its "
            "columns to it."
        )
    for place, label in enumerate(new):
        if label not in old:
            after = f" AFTER {literal(new[place - 1])}" if place else f" BEFORE {literal(old[0])}"
            yield f"ALTER TYPE {quote(own_name(name))} ADD VALUE {literal(label)}{after if old else ''}"
