"""Rows that go when something else goes: questions to the catalogs.

Each answer is a table and a condition: rows that meet it would lose something.
"""

from app.migrations.rules.question import Question, Verdict, Words
from app.migrations.sql import effects
from app.sql_text import bare, literal

# A composite value with a NULL in it isn't "NOT NULL" to SQL: hence IS DISTINCT FROM. A composite type loses an
# attribute when the attribute's type goes, and so do the columns of that composite type.
_DEPENDENTS = """
WITH RECURSIVE gone (classid, objid, objsubid) AS (
    SELECT {catalog}::regclass::oid, ({start})::oid, 0
    UNION
    SELECT next.* FROM gone CROSS JOIN LATERAL (
        SELECT classid, objid, objsubid FROM pg_depend
        WHERE refclassid = gone.classid AND refobjid = gone.objid AND gone.objsubid IN (0, refobjsubid)
        UNION ALL
        SELECT 'pg_type'::regclass, reltype, 0 FROM pg_class
        WHERE gone.classid = 'pg_class'::regclass AND oid = gone.objid AND relkind = 'c' AND gone.objsubid > 0
    ) AS next
)
SELECT c.oid::regclass::text, coalesce(quote_ident(attname) || ' IS DISTINCT FROM NULL', 'true')
FROM gone JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid AND relkind IN ('r', 'p')
LEFT JOIN pg_attribute ON attrelid = c.oid AND attnum = objsubid AND objsubid > 0
WHERE {which}
ORDER BY 1, 2
"""
_EMPTIED = """
WITH RECURSIVE gone (oid) AS (
    SELECT to_regclass({name})::oid
    UNION
    SELECT conrelid FROM pg_constraint JOIN gone ON confrelid = gone.oid WHERE contype = 'f'
)
SELECT oid::regclass::text, 'true' FROM gone WHERE oid <> to_regclass({name}) ORDER BY 1
"""
_CHILDREN = """
SELECT conrelid::regclass::text, string_agg(quote_ident(attname) || ' IS NOT NULL', ' AND ')
FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
WHERE contype = 'f' AND confdeltype = 'c' AND confrelid = to_regclass({name})
GROUP BY pg_constraint.oid, conrelid ORDER BY 1
"""
# Foreign keys are off while SQLite migrates, unless a revision has left its transaction and switched them on.
_CHILDREN_ON_SQLITE = """
SELECT '"' || m.name || '"', '"' || f."from" || '" IS NOT NULL'
FROM pragma_foreign_keys AS p, sqlite_master AS m JOIN pragma_foreign_key_list(m.name) AS f
WHERE p.foreign_keys AND m.type = 'table' AND f.on_delete = 'CASCADE' AND f."table" = {name} COLLATE NOCASE ORDER BY 1
"""
_STARTS = {
    "schema": ("pg_namespace", "SELECT oid FROM pg_namespace WHERE nspname = {last}"),
    "extension": ("pg_extension", "SELECT oid FROM pg_extension WHERE extname = {last}"),
    "type": ("pg_type", "SELECT to_regtype({name})"),
    "domain": ("pg_type", "SELECT to_regtype({name})"),
    "collation": ("pg_collation", "SELECT to_regcollation({name})"),
    "table": ("pg_class", "SELECT to_regclass({name})"),
}


def of_schema(effect: effects.Effect, words: Words) -> Question:
    """Asks for what is in a schema, and what depends on that."""
    return _dependents("schema", effect.target, words)


def of_cascade(effect: effects.Effect, words: Words) -> Question:
    """Asks for what goes along with something that is dropped, or with a table that is emptied."""
    what, _, name = effect.target.partition(" ")
    if what == "truncate":
        return Question(_EMPTIED.format(name=literal(words.quote(name))), Verdict.AT_RISK, each=True)
    if what in _STARTS:
        return _dependents(what, name, words)
    # An access method may have tables; a view, a function, a sequence or a language holds no rows, nor do their users.
    return Question(f"SELECT {int(what in ('access_method', 'owned'))}", Verdict.AT_RISK)


def of_delete(effect: effects.Effect, words: Words) -> Question:
    """Asks for rows that refer to a table, and go with the row that they refer to."""
    if words.dialect == "postgresql":
        return Question(_CHILDREN.format(name=literal(words.quote(effect.target))), Verdict.AT_RISK, each=True)
    return Question(_CHILDREN_ON_SQLITE.format(name=literal(bare(effect.target))), Verdict.AT_RISK, each=True)


def _dependents(what: str, name: str, words: Words) -> Question:
    catalog, start = _STARTS[what]
    start = start.format(name=literal(words.quote(name)), last=literal(bare(name)))
    # The rows of a table, and of those that inherit from it, are asked about as its own.
    which = "objsubid > 0" if what == "table" else "true"
    return Question(_DEPENDENTS.format(catalog=literal(catalog), start=start, which=which), Verdict.AT_RISK, each=True)
