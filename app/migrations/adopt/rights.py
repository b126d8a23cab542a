"""Rights that an adoption needs: of the owner of each table that changes, and to make new ones."""

import sqlalchemy as sa

from app.migrations.adopt.steps import Steps
from app.sql_text import quoted

_OWNERS = """
SELECT c.relname, quote_ident(pg_get_userbyid(c.relowner)), pg_has_role(c.relowner, 'USAGE'), quote_ident(current_user)
FROM pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relname = ANY(%s)
AND c.relkind IN ('r', 'p') ORDER BY 1
"""
_MAY_CREATE = """
SELECT has_schema_privilege(current_schema(), 'CREATE'), quote_ident(current_schema()), quote_ident(current_user),
    current_setting('transaction_read_only')::bool OR pg_is_in_recovery()
"""


def missing_rights(connection: sa.Connection, steps: Steps, tables: list[str]) -> list[str]:
    """Returns what the role lacks to run the steps, a line each."""
    if connection.dialect.name != "postgresql":
        return []
    lines = []
    may_create, schema, role, is_read_only = connection.exec_driver_sql(_MAY_CREATE).one()
    if is_read_only:
        lines.append("The session is read-only: adopt as the owner of the tables, on the primary.")
    elif not may_create:  # version table and ledger are made in any case
        lines.append(f"The role {role} may make no table in {schema}: GRANT CREATE ON SCHEMA {schema} TO {role}")
    changed = {table for table in tables if any(names_table(statement, table) for statement in steps.all)}
    owners: dict[str, list[str]] = {}
    for table, owner, is_ours, _ in connection.exec_driver_sql(_OWNERS, (sorted(changed),)):
        if not is_ours:
            owners.setdefault(owner, []).append(table)
    for owner, names in owners.items():
        lines.append(
            f"{', '.join(names)}: owned by {owner}, and only its owner may alter a table: GRANT {owner} TO {role}"
        )
    return lines


def names_table(statement: str, table: str) -> bool:
    """Returns whether a statement names a table."""
    words = f"{statement} ".replace(".", " ").replace("(", " ")
    return any(f" {name} " in words for name in (table, quoted(table)))
