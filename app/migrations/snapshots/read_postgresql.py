"""A PostgreSQL catalog as a snapshot, the same from 14 to 18."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from app.migrations.own_tables import LEDGER_TABLE
from app.migrations.project import OWN_TABLES
from app.sql_text import quoted

_OWN = ", ".join(f"'{name}'" for name in (*OWN_TABLES, f"{LEDGER_TABLE}_id_seq"))
_SCHEMA = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
# Partitions are left out with all that is theirs: they come and go with the rows, and not with a revision.
_OURS = f"""c.relnamespace = {_SCHEMA} AND c.relname NOT IN ({_OWN}) AND NOT c.relispartition
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')"""
_PARENTS = (
    "SELECT array_agg(i.inhparent::regclass::text ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid"
)
_OF_NO_EXTENSION = "NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')"

# A sequence of a partition's column is left out, unless the partitioned table counts by it: that is the sequence of the
# former table, which became a partition.
_OF_NO_PARTITION = """NOT EXISTS (SELECT FROM pg_depend e JOIN pg_class o ON o.oid = e.refobjid
            WHERE e.objid = c.oid AND e.classid = 'pg_class'::regclass AND e.deptype IN ('a', 'i') AND o.relispartition)
        OR EXISTS (SELECT FROM pg_depend e JOIN pg_attrdef f ON f.oid = e.objid JOIN pg_class o ON o.oid = f.adrelid
            WHERE e.refobjid = c.oid AND e.classid = 'pg_attrdef'::regclass AND NOT o.relispartition)"""

# In the words of docs/operations.md; answered by `schema check --json`.
NOT_READ = (
    "owners, privileges and default privileges",
    "security labels",
    "STORAGE, COMPRESSION, statistics targets and n_distinct of columns",
    "the order of columns",
    "names of NOT NULL constraints",
    "storage parameters of TOAST tables and of the indexes of constraints",
    "replica identity",
    "the index that CLUSTER uses",
    "partitions",
    "rules",
    "whether a trigger fires on replicas",
    "defaults of views' columns",
    "whether a materialized view is filled",
    "unlogged sequences",
    "statistics targets of extended statistics",
    "comments on anything but tables and their columns, constraints, indexes, views, enumerations and domains",
    "composite types",
    "aggregates, operators, casts and text search objects",
    "foreign tables, servers and data wrappers",
    "event triggers",
    "extensions, their objects, and languages",
    "publications and subscriptions",
    "settings of the database and of roles",
    "schemas that no model names",
)

# The first column is the name, the others are facts; NULL is no fact.
_QUERIES: dict[str, str] = {
    "table": f"""
        SELECT c.relname, obj_description(c.oid, 'pg_class') AS comment,
               CASE c.relkind WHEN 'p' THEN 'partitioned' END AS kind,
               CASE c.relpersistence WHEN 'u' THEN true END AS unlogged,
               CASE WHEN c.relrowsecurity THEN true END AS row_security,
               CASE WHEN c.relforcerowsecurity THEN true END AS forced_row_security,
               pg_get_partkeydef(c.oid) AS partitioned_by, c.reloptions AS options, ({_PARENTS}) AS inherits,
               CASE WHEN m.amname <> 'heap' THEN m.amname END AS method, s.spcname AS tablespace
        FROM pg_class c LEFT JOIN pg_am m ON m.oid = c.relam LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
        WHERE c.relkind IN ('r', 'p') AND {_OURS}""",
    "column": f"""
        SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) AS type,
               NOT a.attnotnull AS nullable, pg_get_expr(d.adbin, d.adrelid) AS default,
               col_description(c.oid, a.attnum) AS comment,
               CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END AS identity,
               CASE a.attgenerated WHEN 's' THEN 'STORED' WHEN 'v' THEN 'VIRTUAL' END AS generated,
               CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END AS collation
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND {_OURS} ORDER BY c.oid, a.attnum""",
    # Without NOT NULL, a constraint from PostgreSQL 18 on: here it is a fact of the column.
    "constraint": f"""
        SELECT c.relname || '.' || o.conname,
               regexp_replace(pg_get_constraintdef(o.oid), ' NOT VALID$', '') AS definition, o.convalidated AS valid,
               obj_description(o.oid, 'pg_constraint') AS comment
        FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
        WHERE o.contype IN ('p', 'u', 'f', 'c', 'x') AND o.conparentid = 0 AND {_OURS}""",
    "index": f"""
        SELECT c.relname || '.' || i.relname,
               replace(pg_get_indexdef(i.oid), ' ' || quote_ident(current_schema()) || '.', ' ') AS definition,
               x.indisvalid AND x.indisready AS valid, obj_description(i.oid, 'pg_class') AS comment,
               s.spcname AS tablespace
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
        LEFT JOIN pg_tablespace s ON s.oid = i.reltablespace
        WHERE NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conindid = i.oid AND o.contype IN ('p', 'u', 'x'))
        AND {_OURS}""",
    "trigger": f"""
        SELECT c.relname || '.' || t.tgname, pg_get_triggerdef(t.oid, true) AS definition, t.tgenabled <> 'D' AS enabled
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal AND {_OURS}""",
    "function": f"""
        SELECT p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
               rtrim(replace(pg_get_functiondef(p.oid), format(' %%I.%%I(', current_schema(), p.proname),
                             format(' %%I(', p.proname)), E'\\n') AS definition
        FROM pg_proc p WHERE p.pronamespace = {_SCHEMA} AND p.prokind IN ('f', 'p') AND {_OF_NO_EXTENSION}""",
    "view": f"""
        SELECT c.relname, rtrim(pg_get_viewdef(c.oid), ';') AS definition,
               CASE c.relkind WHEN 'm' THEN 'materialized' END AS kind,
               obj_description(c.oid, 'pg_class') AS comment, c.reloptions AS options
        FROM pg_class c WHERE c.relkind IN ('v', 'm') AND {_OURS}""",
    "sequence": f"""
        SELECT c.relname, format_type(s.seqtypid, NULL) AS type, s.seqincrement AS increment,
               CASE WHEN s.seqcycle THEN true END AS cycles,
               NULLIF(s.seqmin, d.least) AS min, NULLIF(s.seqmax, d.most) AS max, NULLIF(s.seqcache, 1) AS cache,
               NULLIF(s.seqstart, CASE WHEN s.seqincrement > 0 THEN s.seqmin ELSE s.seqmax END) AS start,
               (SELECT coalesce(r.relname, o.relname) || '.' || a.attname
                FROM pg_depend d JOIN pg_class o ON o.oid = d.refobjid
                JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum = d.refobjsubid
                LEFT JOIN pg_class r ON o.relispartition AND r.oid = pg_partition_root(o.oid)
                WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')) AS owner
        FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid,
             LATERAL (SELECT 256::numeric ^ (SELECT typlen FROM pg_type WHERE oid = s.seqtypid) / 2 AS size) z,
             LATERAL (SELECT CASE WHEN s.seqincrement > 0 THEN 1 ELSE -z.size END::numeric AS least,
                             CASE WHEN s.seqincrement > 0 THEN z.size - 1 ELSE -1 END::numeric AS most) d
        WHERE {_OURS} AND ({_OF_NO_PARTITION})""",
    "enum": f"""
        SELECT p.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels,
               obj_description(p.oid, 'pg_type') AS comment
        FROM pg_type p JOIN pg_enum e ON e.enumtypid = p.oid
        WHERE p.typnamespace = {_SCHEMA} AND {_OF_NO_EXTENSION} GROUP BY p.oid, p.typname""",
    "domain": f"""
        SELECT p.typname, format_type(p.typbasetype, p.typtypmod) AS type, p.typdefault AS default,
               NOT p.typnotnull AS nullable, obj_description(p.oid, 'pg_type') AS comment,
               CASE WHEN p.typcollation <> b.typcollation THEN p.typcollation::regcollation::text END AS collation,
               (SELECT array_agg(o.conname || ' ' || pg_get_constraintdef(o.oid) ORDER BY o.conname)
                FROM pg_constraint o WHERE o.contypid = p.oid AND o.contype = 'c') AS checks
        FROM pg_type p JOIN pg_type b ON b.oid = p.typbasetype
        WHERE p.typtype = 'd' AND p.typnamespace = {_SCHEMA} AND {_OF_NO_EXTENSION}""",
    "policy": f"""
        SELECT c.relname || '.' || y.polname, y.polcmd AS command, y.polpermissive AS permissive,
               ARRAY(SELECT CASE r WHEN 0 THEN 'public' ELSE r::regrole::text END FROM unnest(y.polroles) r
                     ORDER BY 1) AS roles,
               pg_get_expr(y.polqual, y.polrelid) AS using, pg_get_expr(y.polwithcheck, y.polrelid) AS check
        FROM pg_policy y JOIN pg_class c ON c.oid = y.polrelid WHERE {_OURS}""",
    "statistics": f"""
        SELECT p.stxname,
               replace(pg_get_statisticsobjdef(p.oid), ' ' || quote_ident(current_schema()) || '.', ' ') AS definition
        FROM pg_statistic_ext p WHERE p.stxnamespace = {_SCHEMA} AND {_OF_NO_EXTENSION}
        AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = p.stxrelid AND c.relispartition)""",
    "collation": f"""
        SELECT p.collname, p.collprovider AS provider, p.collisdeterministic AS deterministic,
               coalesce(p.collcollate, to_jsonb(p) ->> 'colllocale', to_jsonb(p) ->> 'colliculocale') AS locale
        FROM pg_collation p WHERE p.collnamespace = {_SCHEMA} AND {_OF_NO_EXTENSION}""",
}


def read(connection: sa.Connection, beside: Sequence[str] = ("pg_temp",)) -> dict[str, dict[str, Any]]:
    """Reads the catalog of the current schema.

    Args:
        connection: its search path begins with the schema.
        beside: schemas whose names are written without them, too. `pg_temp` comes last: unless it is named, temporary
            tables of the session hide those of the schema.
    """
    snapshot: dict[str, dict[str, Any]] = {}
    with _search_path(connection, beside):
        for kind, query in _QUERIES.items():
            result = connection.exec_driver_sql(query)
            facts = list(result.keys())[1:]
            for name, *values in result:
                stated = {fact: _plain(value) for fact, value in zip(facts, values, strict=True) if value is not None}
                snapshot[f"{kind} {name}"] = stated
    return snapshot


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) else value


@contextmanager
def _search_path(connection: sa.Connection, beside: Sequence[str]) -> Iterator[None]:
    # The server qualifies names depending on the search path of the session.
    query = "SELECT current_setting('search_path'), quote_ident(current_schema())"
    path, schema = connection.exec_driver_sql(query).one()
    setting = sa.text("SELECT set_config('search_path', :path, true)")
    connection.execute(setting, {"path": ", ".join([schema, *map(quoted, beside)]) if schema else ""})
    try:
        yield
    finally:
        connection.execute(setting, {"path": path})
