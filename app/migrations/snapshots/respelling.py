"""A second reading: a text is put into the scratch, and read as the server spells it then.

A dump spells some texts otherwise, such as `IN` on a varchar; parsed and printed once more, both spellings are one.
"""

import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from app.migrations.snapshots.models import Scratch
from app.migrations.snapshots.store import Facts, kind_of, own_name, owner_of
from app.sql_text import for_driver, quoted

_CAST = re.compile(r"('(?:[^']|'')*')::(?:text|character varying)(?![\[(])")
_IN_BRACKETS = re.compile(r"\(('(?:[^']|'')*')\)(?=::)")
_ARRAY = re.compile(r"\((ARRAY\[[^\]]*\])\)::(?:text|character varying)\[\]")


def respelt(scratch: Scratch, name: str, facts: Facts, fact: str, value: Any) -> Any:
    """Returns the fact of an object as the server spells it when it is made of `value`; None if it can't be made."""
    connection = scratch.connection
    if connection.dialect.name != "postgresql":
        return None
    statements = list(_statements(name, facts, fact, value))
    if not statements:
        return None
    savepoint = connection.begin_nested()
    try:
        for statement in statements:
            connection.exec_driver_sql(for_driver(statement, connection.dialect))
        return scratch.read().get(name, {}).get(fact)
    except sa.exc.DBAPIError:  # it names something that the models don't have
        return None
    finally:
        savepoint.rollback()


def uncast(value: Any) -> Any:
    """Returns a text without casts of literals to `text`, and to `varchar` without a length."""
    if isinstance(value, list):
        return [uncast(item) for item in value]
    plain = _ARRAY.sub(r"\1", _IN_BRACKETS.sub(r"\1", _CAST.sub(r"\1", value)))
    return plain if plain == value else uncast(plain)


def _statements(name: str, facts: Facts, fact: str, value: Any) -> Iterator[str]:
    table, own = quoted(owner_of(name)), quoted(own_name(name))
    match kind_of(name), fact:
        case "constraint", "definition" if value.startswith(("CHECK", "EXCLUDE")):
            yield f"ALTER TABLE {table} DROP CONSTRAINT {own}"
            yield f"ALTER TABLE {table} ADD CONSTRAINT {own} {value}"
        case "index", "definition":
            yield f"DROP INDEX {own}"
            yield value
        case "trigger", "definition":
            yield f"DROP TRIGGER {own} ON {table}"
            yield value
        case "view", "definition" if "kind" not in facts:
            yield f"CREATE OR REPLACE VIEW {own} AS {value}"
        case "column", "default" if "generated" in facts:
            yield f"ALTER TABLE {table} DROP COLUMN {own} CASCADE"
            generated = f"GENERATED ALWAYS AS ({value}) {facts['generated']}"
            yield f"ALTER TABLE {table} ADD COLUMN {own} {facts['type']} {generated}"
        case "column", "default":
            yield f"ALTER TABLE {table} ALTER COLUMN {own} SET DEFAULT {value}"
        case "domain", "checks":
            for check in [*facts["checks"]]:
                yield f"ALTER DOMAIN {own} DROP CONSTRAINT {quoted(check.partition(' ')[0])}"
            for check in value:
                constraint, _, body = check.partition(" ")
                yield f"ALTER DOMAIN {own} ADD CONSTRAINT {quoted(constraint)} {body}"
        case "statistics", "definition":
            yield f"DROP STATISTICS {own}"
            yield value
        case "policy", "using" | "check" as clause:
            yield f"ALTER POLICY {own} ON {table} {'WITH CHECK' if clause == 'check' else 'USING'} ({value})"
