"""Reasons why a table can't be partitioned as it is, a line each: what is in the way, and what to do."""

import datetime as dt
from collections.abc import Collection, Iterator

import sqlalchemy as sa

from app.migrations.ahead import Mark, State, bound_check, key_index
from app.migrations.partitions.facts import Index, TableFacts
from app.migrations.snapshots import quote
from app.partitions import Declared

TIMES = ("timestamp without time zone", "timestamp with time zone")
_KINDS = {"f": "a foreign table", "v": "a view", "m": "a materialized view", "S": "a sequence"}
_STATE = """
SELECT c.relpersistence::text AS persistence, c.reloftype <> 0 AS is_typed,
       c.relispartition AS is_partition, c.relrowsecurity OR c.relforcerowsecurity AS has_row_security,
       coalesce((SELECT amname::text FROM pg_am WHERE oid = c.relam), 'heap') AS method,
       ARRAY(SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = c.oid ORDER BY 1) AS children,
       ARRAY(SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = c.oid ORDER BY 1) AS parents,
       ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = c.oid ORDER BY 1) AS policies,
       ARRAY(SELECT DISTINCT provider FROM pg_seclabel WHERE classoid = 'pg_class'::regclass AND objoid = c.oid)
       AS labels,
       ARRAY(SELECT subname::text FROM pg_subscription_rel JOIN pg_subscription s ON s.oid = srsubid
             WHERE srrelid = c.oid ORDER BY 1) AS subscriptions,
       ARRAY(SELECT e.extname::text FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
             WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') AS extensions,
       n.nspname = current_schema() AS is_in_schema
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = :oid
"""
# All that follows the table's or its row type's OID, but for the table's own parts, which are carried over.
_DEPENDENTS = """
SELECT DISTINCT CASE WHEN d.classid = 'pg_rewrite'::regclass AND r.ev_class <> c.oid
    THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0)
    ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END
FROM pg_class c JOIN pg_type t ON t.oid = c.reltype
JOIN pg_depend d ON (d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid)
    OR (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (t.oid, t.typarray))
LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_class o ON d.classid = 'pg_class'::regclass AND o.oid = d.objid
LEFT JOIN pg_index x ON x.indexrelid = o.oid
LEFT JOIN pg_inherits h ON h.inhrelid = o.oid AND h.inhparent = c.oid
LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_trigger g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
LEFT JOIN pg_statistic_ext s ON d.classid = 'pg_statistic_ext'::regclass AND s.oid = d.objid
LEFT JOIN pg_type y ON d.classid = 'pg_type'::regclass AND y.oid = d.objid
WHERE c.oid = :oid AND d.deptype NOT IN ('e', 'x')
AND coalesce(x.indrelid, 0) <> c.oid AND coalesce(k.conrelid, k.confrelid, 0) <> c.oid
AND coalesce(k.confrelid, 0) <> c.oid AND coalesce(g.tgrelid, 0) <> c.oid AND coalesce(f.adrelid, 0) <> c.oid
AND coalesce(s.stxrelid, 0) <> c.oid AND coalesce(y.oid, 0) NOT IN (t.oid, t.typarray)
AND NOT (o.relkind IS NOT DISTINCT FROM 'S' AND d.deptype IN ('a', 'i')) AND o.relkind IS DISTINCT FROM 't'
AND h.inhrelid IS NULL AND (d.classid, d.objid) <> ('pg_class'::regclass, c.oid)
AND d.classid NOT IN ('pg_publication_rel'::regclass, 'pg_policy'::regclass)
ORDER BY 1
"""
_RIGHTS = """
SELECT has_schema_privilege(n.oid, 'CREATE') AS may_create,
       has_schema_privilege(c.relowner, n.oid, 'CREATE') AS owner_may_create, quote_ident(current_user) AS role,
       current_setting('transaction_read_only')::bool OR pg_is_in_recovery() AS is_read_only
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = :oid
"""
_MAY_REFER = "SELECT has_table_privilege(to_regclass(:table), 'REFERENCES')"

Lines = Iterator[str]


def refusals(
    connection: sa.Connection,
    facts: TableFacts,
    declared: Declared,
    tables: Collection[str],
    newest: dt.datetime | None,
) -> list[str]:
    """Returns what is in the way, a line each; none if the table can be partitioned.

    Args:
        connection: reading joins its transaction.
        facts: of the table, which is plain.
        declared: how it is to be partitioned.
        tables: those of the models.
        newest: a moment that is too far ahead, of the newest row; None if it isn't.
    """
    if facts.kind != "r":
        kind = _KINDS.get(facts.kind, "no table")
        return [f"{facts.name} is {kind}, and only a table can be partitioned."]
    state = connection.execute(sa.text(_STATE), {"oid": facts.oid}).one()
    lines = [*_state(facts, state), *_columns(facts, declared), *_constraints(facts), *_keys(facts, declared)]
    lines += [*_incoming(facts, declared, tables), *_triggers(facts)]
    lines += [*_publications(facts, declared), *publication_rights(facts)]
    lines += [
        f"{described} depends on {facts.name}, and would follow the old table: drop it, and create it again afterwards."
        for described in dependents(connection, facts)
    ]
    if newest is not None:
        lines.append(
            f"rows of {facts.name} are later than {declared.schedule.ahead} from now, up to {newest} UTC: no partition "
            f"could be made before that. Correct or delete them: SELECT * FROM {facts.address} ORDER BY "
            f"{quote(declared.by)} DESC LIMIT 50"
        )
    return [*lines, *_rights(connection, facts)]


def dependents(connection: sa.Connection, facts: TableFacts) -> list[str]:
    """Returns the objects that follow a table's OID, in PostgreSQL's words, but for its own parts."""
    return list(connection.execute(sa.text(_DEPENDENTS), {"oid": facts.oid}).scalars())


def _state(facts: TableFacts, state: sa.Row[tuple[object, ...]]) -> Lines:
    name, address = facts.name, facts.address
    if state.persistence == "u":
        yield f"{name} is unlogged: ALTER TABLE {address} SET LOGGED"
    if state.persistence == "t":
        yield f"{name} is a temporary table of this session."
    if not state.is_in_schema and state.persistence != "t":
        yield f"{name} isn't in the schema that new tables are made in: set the search path of this role."
    if state.is_typed:
        yield f"{name} is a typed table: ALTER TABLE {address} NOT OF"
    if state.is_partition:
        yield f"{name} is a partition of another table itself: DETACH it."
    elif state.parents:
        yield f"{name} inherits from {', '.join(state.parents)}: ALTER TABLE {address} NO INHERIT …"
    if state.children:
        yield f"tables inherit from {name} ({', '.join(state.children)}): ALTER TABLE … NO INHERIT {address}"
    if state.method != "heap":
        yield f"{name} has the access method {state.method}: ALTER TABLE {address} SET ACCESS METHOD heap"
    if state.has_row_security or state.policies:
        policies = f" (policies {', '.join(state.policies)})" if state.policies else ""
        yield (
            f"{name} has row level security{policies}, which each partition would lack: drop the policies, and ALTER "
            f"TABLE {address} DISABLE ROW LEVEL SECURITY"
        )
    if state.labels:
        yield f"{name} has security labels of {', '.join(state.labels)}: SECURITY LABEL … IS NULL, and set them again."
    for subscription in state.subscriptions:
        yield (
            f"the subscription {subscription} writes {name} and would write the old table: take it out of there, and "
            f"ALTER SUBSCRIPTION {quote(subscription)} REFRESH PUBLICATION"
        )
    for extension in state.extensions:
        yield f"{name} belongs to the extension {extension}: ALTER EXTENSION {quote(extension)} DROP TABLE {address}"


def _columns(facts: TableFacts, declared: Declared) -> Lines:
    alter = f"ALTER TABLE {facts.address} ALTER COLUMN"
    column = facts.column(declared.by)
    if column is None:
        yield f"{facts.name} has no column {declared.by}, which the models declare it partitioned by."
    else:
        if not column.is_not_null:
            yield f"{facts.name}.{column.name} may be NULL, and no partition takes such a row: make it NOT NULL."
        if column.type not in TIMES:
            yield f"{facts.name}.{column.name} is {column.type}: partitions are for timestamp and timestamptz."
        if column.is_generated:
            yield f"{facts.name}.{column.name} is a generated column, which can't be a partition key."
    for own in facts.columns:
        if own.is_identity:
            yield (
                f"{facts.name}.{own.name} is an identity column, which a partition can't bring along: give it a "
                f"sequence of its own instead: {alter} {quote(own.name)} DROP IDENTITY, and SET DEFAULT nextval(…)"
            )


def _constraints(facts: TableFacts) -> Lines:
    for constraint in facts.constraints:
        name, drop = f"the constraint {constraint.name} of {facts.name}", f"ALTER TABLE {facts.address}"
        if constraint.name == bound_check(facts.name):
            mark = Mark.parse(constraint.comment)
            if mark is None or mark.state is not State.CONVERTING:
                yield f"{name} has the name of one that the conversion adds: rename it."
        elif not constraint.is_valid:
            yield f"{name} isn't validated: {drop} VALIDATE CONSTRAINT {quote(constraint.name)}"
        elif constraint.kind == "x" or constraint.is_temporal:
            yield f"{name} excludes rows of any partition, which no partitioned table can: drop it."
        elif constraint.kind in ("c", "n") and constraint.is_local:
            yield f"{name} is NO INHERIT, which no partitioned table has: add it without that."
    if facts.primary_key is None:
        yield f"{facts.name} has no primary key: add the one that the models declare."


def _keys(facts: TableFacts, declared: Declared) -> Lines:
    exclusions = {one.name for one in facts.constraints if one.kind in ("x", "p")}
    for index in facts.indexes:
        if index.name == key_index(facts.name):
            if not _is_key(index, facts, declared):
                yield f"the index {index.name} has the name of one that the conversion builds: rename it."
        elif not index.is_valid:
            yield f"the index {index.name} of {facts.name} is invalid: REINDEX INDEX CONCURRENTLY {quote(index.name)}"
        elif index.is_unique and declared.by not in index.columns and index.constraint not in exclusions:
            kind = "the unique constraint" if index.constraint else "the unique index"
            yield (
                f"{kind} {index.name} of {facts.name} lacks {declared.by}, and nothing is unique from partition to "
                f"partition: add {declared.by} to it in a revision, or drop it."
            )


def _is_key(index: Index, facts: TableFacts, declared: Declared) -> bool:
    key = facts.primary_key.columns if facts.primary_key is not None else []
    return index.is_unique and index.columns == [*key, declared.by] and index.constraint is None


def _incoming(facts: TableFacts, declared: Declared, tables: Collection[str]) -> Lines:
    for foreign_key in facts.incoming:
        where = f"the foreign key {foreign_key.name} of {foreign_key.table}"
        drop = f"ALTER TABLE {foreign_key.address} DROP CONSTRAINT {quote(foreign_key.name)}"
        if foreign_key.table not in tables:
            yield f"{where}, which isn't the models', points at {facts.name} and can't any more: {drop}"
        elif declared.by in foreign_key.columns:
            yield f"{where} refers to {declared.by} too, and adding it again would read all rows: {drop}"
        elif not foreign_key.is_ours:
            yield f"{where} must go, and this role isn't its table's owner: {drop}"


def _triggers(facts: TableFacts) -> Lines:
    for trigger in facts.triggers:
        if trigger.is_for_rows and trigger.has_transition_tables:
            yield (
                f"the trigger {trigger.name} of {facts.name} is one for each row with transition tables, which no "
                "partition can have: make it one for each statement."
            )


def _publications(facts: TableFacts, declared: Declared) -> Lines:
    for publication in facts.publications:
        alter = f"ALTER PUBLICATION {quote(publication.name)}"
        if not publication.is_by_root:
            yield (
                f"the publication {publication.name} would publish {facts.name} under the names of its partitions: "
                f"{alter} SET (publish_via_partition_root = true)"
            )
        # The new primary key identifies the rows of an UPDATE, which would fail.
        if publication.columns and declared.by not in publication.columns and facts.is_identified_by_key:
            yield (
                f"the publication {publication.name} leaves out {declared.by}, which will be a part of the key of "
                f"{facts.name}: {alter} DROP TABLE {facts.address}, and ADD TABLE with that column as well."
            )


def publication_rights(facts: TableFacts) -> Lines:
    """Yields a line for each publication that this role may not change."""
    for publication in facts.publications:
        if publication.is_named and not publication.is_ours:
            yield f"the publication {publication.name} is owned by {publication.owner}, which this role isn't in."


def _rights(connection: sa.Connection, facts: TableFacts) -> Lines:
    found = connection.execute(sa.text(_RIGHTS), {"oid": facts.oid}).one()
    owner, role = facts.owner, found.role
    if found.is_read_only:
        yield "the session is read-only: convert as the owner of the table, on the primary."
        return
    if not facts.is_ours:
        yield f"{facts.name} is owned by {owner}, and only its owner may convert it: GRANT {owner} TO {role}"
        return
    if not found.may_create:
        yield f"the role {role} may make no table in {facts.schema}: GRANT CREATE ON SCHEMA {facts.schema} TO {role}"
    elif not found.owner_may_create:
        yield f"the owner {owner} may have no table in {facts.schema}: GRANT CREATE ON SCHEMA {facts.schema} TO {owner}"
    for other in facts.granted_by_others:
        yield (
            f"{other} has passed on rights on {facts.name}, which nobody else can grant in its name: let the owner "
            f"{owner} grant them, and REVOKE … GRANTED BY {other}"
        )
    for table in sorted({one.refers_to for one in facts.constraints if one.refers_to and not one.is_of_itself}):
        if not connection.execute(sa.text(_MAY_REFER), {"table": table}).scalar():
            yield f"the role {role} may not refer to {table}: GRANT REFERENCES ON {table} TO {role}"
