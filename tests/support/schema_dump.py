"""Reads the whole schema of a database as plain values, whatever the order of the columns."""

import re
from typing import Any

import sqlalchemy as sa

from tests.support.database_access import connected

OURS = ("alembic_version", "schema_ledger")  # Alembic's and our own books are no part of the schema

Schema = dict[str, Any]

_POSTGRESQL = {
    "table": "SELECT c.relname, obj_description(c.oid, 'pg_class') FROM pg_class c WHERE c.relkind IN ('r', 'v', 'p')",
    "column": """
        SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r'""",
    "constraint": """
        SELECT c.relname || '.' || k.conname, pg_get_constraintdef(k.oid), k.convalidated
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype <> 'n'""",
    "index": """
        SELECT c.relname || '.' || i.relname, pg_get_indexdef(x.indexrelid), x.indisvalid
        FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid""",
    "trigger": """
        SELECT c.relname || '.' || t.tgname, pg_get_triggerdef(t.oid), t.tgenabled
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal""",
    "sequence": """
        SELECT c.relname, format_type(s.seqtypid, NULL), pg_get_serial_sequence(quote_ident(t.relname), a.attname)
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
        JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'a' JOIN pg_class t ON t.oid = d.refobjid
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid""",
    "function": """
        SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc c JOIN pg_proc p ON p.oid = c.oid
        WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')""",
}


def schema_of(url: str) -> Schema:
    """Everything that was ever created in a database, by kind and name; comments on PostgreSQL only."""
    with connected(url) as connection:
        return _postgresql(connection) if connection.dialect.name == "postgresql" else _sqlite(connection)


def _postgresql(connection: sa.Connection) -> Schema:
    found: Schema = {}
    for kind, question in _POSTGRESQL.items():
        namespace = "c.pronamespace" if kind == "function" else "c.relnamespace"
        joiner = "AND" if "WHERE" in question else "WHERE"
        rows = connection.exec_driver_sql(f"{question} {joiner} {namespace} = current_schema()::regnamespace")
        found |= {f"{kind} {row[0]}": tuple(row[1:]) for row in rows if not row[0].startswith(OURS)}
    return found


def _sqlite(connection: sa.Connection) -> Schema:
    inspector = sa.inspect(connection)
    found: Schema = {}
    objects = connection.exec_driver_sql(
        "SELECT type, tbl_name, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    )
    for kind, table, name, sql in objects.all():
        if table in OURS:
            continue
        if kind != "table":
            found[f"{kind} {table}.{name}"] = _words(sql)
            continue
        options = connection.exec_driver_sql(f"SELECT wr, strict FROM pragma_table_list('{table}')").one()
        found[f"table {table}"] = (
            *options,
            "AUTOINCREMENT" in sql.upper(),
            re.search(r'COLLATE "?(?!BINARY)\w', sql.upper()) is not None,
        )
        columns = f"SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo('{table}')"
        for column in connection.exec_driver_sql(columns).all():
            found[f"column {table}.{column[0]}"] = (*column[1:3], _bare(column[3]), *column[4:])
        found |= _sqlite_constraints(inspector, table)
    return found


def _sqlite_constraints(inspector: sa.Inspector, table: str) -> Schema:
    primary = inspector.get_pk_constraint(table)
    found: Schema = {f"constraint {table}.{primary['name']}": ("primary key", primary["constrained_columns"])}
    for unique in inspector.get_unique_constraints(table):
        found[f"constraint {table}.{unique['name']}"] = ("unique", unique["column_names"])
    for check in inspector.get_check_constraints(table):
        found[f"constraint {table}.{check['name']}"] = ("check", _words(check["sqltext"]))
    for foreign in inspector.get_foreign_keys(table):
        parts = [foreign[part] for part in ("constrained_columns", "referred_table", "referred_columns")]
        found[f"constraint {table}.{foreign['name']}"] = ("foreign key", *parts, foreign["options"])
    return found


def _words(sql: str) -> str:
    return " ".join(sql.replace('"', "").split())


def _bare(default: str | None) -> str | None:
    """A copy of a table puts brackets around its defaults, which mean nothing."""
    whole = re.fullmatch(r"\((.*)\)", default or "", re.DOTALL)
    return whole[1] if whole and _balanced(whole[1]) else default


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0
