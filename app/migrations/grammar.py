"""What a SQL statement does, read by PostgreSQL's own grammar, or told by SQLite itself.

PostgreSQL: `postgast`, which is PostgreSQL's parser as a library; the only module that knows it. SQLite: its ALTER
TABLE has four forms, and an authorizer names every table that a statement would write to, triggers included, without
running it. What can't be told is said (`Kind.OPAQUE`), and never called safe.
"""

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from app.migrations.effects import Effect, Kind, qualified

MOST_CHARACTERS = 100_000  # what is longer isn't read: that would take longer than the run itself

_BIND = re.compile(r"%\(\w+\)[sb]|%[sb]")
_TOO_LONG = Effect(Kind.OPAQUE, f"SQL of more than {MOST_CHARACTERS:,} characters")


def of_postgresql(statement: str) -> list[Effect]:
    """The effects of a statement in the words of the driver: `%(name)s` for a value."""
    if len(statement) > MOST_CHARACTERS:
        return [_TOO_LONG]
    text = _without_binds(statement)
    parsed = _parsed(text)
    if parsed is None:
        return [Effect(Kind.OPAQUE, "SQL that PostgreSQL's grammar doesn't know")]
    return [effect for raw in parsed.stmts for effect in _of_node(raw.stmt, text)]


def reads_postgresql(statement: str) -> bool:
    """Whether it is one question and nothing else, so that it may be asked; what its functions do isn't known."""
    import postgast

    if len(statement) > MOST_CHARACTERS:
        return False
    parsed = _parsed(_without_binds(statement))
    if parsed is None or len(parsed.stmts) != 1:
        return False
    node = parsed.stmts[0].stmt
    match node.WhichOneof("node"):
        case "variable_show_stmt":
            return True
        case "transaction_stmt":
            kind = postgast.pg_query_pb2.TransactionStmtKind.Name(node.transaction_stmt.kind)
            return kind in ("TRANS_STMT_SAVEPOINT", "TRANS_STMT_RELEASE", "TRANS_STMT_ROLLBACK_TO")
        case "explain_stmt":
            if any(option.def_elem.defname == "analyze" for option in node.explain_stmt.options):
                return False
        case "select_stmt":
            pass
        case _:
            return False
    inner = [found for _field, found in postgast.walk(node)]
    writes = any(type(found).__name__ in (*_NESTED, "InsertStmt", "IntoClause") for found in inner)
    sets = any(type(found).__name__ == "String" and found.sval == "set_config" for found in inner)
    return not writes and not sets


def _parsed(text: str) -> Any | None:
    import postgast

    if "\x00" in text:  # where the parser would stop
        return None
    try:
        return postgast.parse(text)
    except (postgast.PgQueryError, UnicodeEncodeError):
        return None


def _without_binds(statement: str) -> str:
    return _BIND.sub("NULL", statement).replace("%%", "%")


def _of_node(statement: Any, text: str) -> Iterator[Effect]:
    import postgast

    kind = statement.WhichOneof("node")
    node = getattr(statement, kind)
    handler = _HANDLERS.get(kind)
    if handler is not None:
        yield from handler(node)
    elif kind == "do_stmt":
        languages = [arg.def_elem.arg.string.sval for arg in node.args if arg.def_elem.defname == "language"]
        if languages in ([], ["plpgsql"]):
            yield from _of_block(text)
        else:
            yield Effect(Kind.OPAQUE, f"DO block in {languages[0]}")
    elif kind not in _HARMLESS:
        yield Effect(Kind.OPAQUE, kind.removesuffix("_stmt").replace("_", " ").upper())
    # WITH x AS (DELETE …): a write inside another statement.
    for _field, inner in postgast.walk(node):
        if inner is not node and type(inner).__name__ in _NESTED:
            yield from _NESTED[type(inner).__name__](inner)


_HARMLESS = frozenset(
    {
        "alter_database_stmt",
        "alter_database_set_stmt",
        "alter_default_privileges_stmt",
        "alter_domain_stmt",
        "alter_enum_stmt",
        "alter_extension_stmt",
        "alter_function_stmt",
        "alter_object_depends_stmt",
        "alter_object_schema_stmt",
        "alter_owner_stmt",
        "alter_policy_stmt",
        "alter_role_stmt",
        "alter_role_set_stmt",
        "alter_seq_stmt",
        "check_point_stmt",
        "close_portal_stmt",
        "cluster_stmt",
        "comment_stmt",
        "composite_type_stmt",
        "constraints_set_stmt",
        "create_cast_stmt",
        "create_domain_stmt",
        "create_extension_stmt",
        "create_function_stmt",
        "create_policy_stmt",
        "create_range_stmt",
        "create_role_stmt",
        "create_schema_stmt",
        "create_seq_stmt",
        "create_stats_stmt",
        "create_trig_stmt",
        "deallocate_stmt",
        "declare_cursor_stmt",
        "define_stmt",
        "discard_stmt",
        "explain_stmt",
        "fetch_stmt",
        "grant_stmt",
        "grant_role_stmt",
        "index_stmt",
        "listen_stmt",
        "lock_stmt",
        "notify_stmt",
        "refresh_mat_view_stmt",
        "reindex_stmt",
        "rule_stmt",
        "sec_label_stmt",
        "select_stmt",
        "transaction_stmt",
        "unlisten_stmt",
        "vacuum_stmt",
        "variable_set_stmt",
        "variable_show_stmt",
        "view_stmt",
    }
)


def _table(node: Any) -> str:
    return qualified(node.schemaname, node.relname)


def _dropped(node: Any) -> Iterator[Effect]:
    import postgast

    what = postgast.pg_query_pb2.ObjectType.Name(node.remove_type).removeprefix("OBJECT_").lower()
    for item in node.objects:
        parts = item.list.items or item.type_name.names or item.object_with_args.objname
        names = [part.string.sval for part in parts]
        name = qualified(*names) or qualified(item.string.sval)
        if what in ("table", "foreign_table"):
            yield Effect(Kind.DROP_TABLE, name)
        elif what == "schema":
            yield Effect(Kind.DROP_SCHEMA, name)
        elif node.behavior == postgast.pg_query_pb2.DropBehavior.DROP_CASCADE:
            yield Effect(Kind.CASCADE, f"{what} {name}".strip())


def _altered(node: Any) -> Iterator[Effect]:
    import postgast

    types = postgast.pg_query_pb2
    for item in node.cmds:
        command = item.alter_table_cmd
        table, column = _table(node.relation), (command.name,) if command.name else ()
        match types.AlterTableType.Name(command.subtype):
            case "AT_DropColumn":
                yield Effect(Kind.DROP_COLUMN, table, column)
            case "AT_AlterColumnType":
                definition = command.definition if hasattr(command, "definition") else getattr(command, "def")
                yield _retyped(table, column, definition.column_def)
            case "AT_SetNotNull":
                yield Effect(Kind.SET_NOT_NULL, table, column)
            case "AT_AddColumn":
                yield _added(table, getattr(command, "def").column_def)
            case "AT_AddConstraint":
                yield from _constrained(table, getattr(command, "def").constraint)


def _retyped(table: str, column: tuple[str, ...], definition: Any) -> Effect:
    using = _deparsed_expression(definition.raw_default) if definition.HasField("raw_default") else ""
    return Effect(Kind.ALTER_TYPE, table, column, to=(_deparsed_type(definition.type_name),), using=using)


def _added(table: str, definition: Any) -> Effect:
    import postgast

    kinds = {postgast.pg_query_pb2.ConstrType.Name(item.constraint.contype) for item in definition.constraints}
    types = [part.string.sval for part in definition.type_name.names]
    filled = kinds & {"CONSTR_DEFAULT", "CONSTR_IDENTITY", "CONSTR_GENERATED"} or types[-1].endswith("serial")
    required = kinds & {"CONSTR_NOTNULL", "CONSTR_PRIMARY"} and not filled
    return Effect(Kind.ADD_COLUMN, table, (definition.colname,), to=("required",) if required else ())


def _constrained(table: str, node: Any) -> Iterator[Effect]:
    import postgast

    kind = postgast.pg_query_pb2.ConstrType.Name(node.contype)
    if kind in ("CONSTR_UNIQUE", "CONSTR_PRIMARY") and not node.indexname:
        columns = tuple(key.string.sval for key in node.keys)
        if kind == "CONSTR_PRIMARY":
            yield from (Effect(Kind.SET_NOT_NULL, table, (column,)) for column in columns)
        yield Effect(Kind.ADD_UNIQUE, table, columns)


def _renamed(node: Any) -> Iterator[Effect]:
    import postgast

    kind = postgast.pg_query_pb2.ObjectType.Name(node.rename_type)
    if kind == "OBJECT_TABLE":
        yield Effect(Kind.RENAME_TABLE, _table(node.relation), to=(node.newname,))
    elif kind == "OBJECT_COLUMN":
        yield Effect(Kind.RENAME_COLUMN, _table(node.relation), (node.subname,), to=(node.newname,))


def _truncated(node: Any) -> Iterator[Effect]:
    import postgast

    cascade = node.behavior == postgast.pg_query_pb2.DropBehavior.DROP_CASCADE
    for item in node.relations:
        yield Effect(Kind.TRUNCATE, _table(item.range_var))
        if cascade:
            yield Effect(Kind.CASCADE, f"truncate {_table(item.range_var)}")


def _deleted(node: Any) -> Iterator[Effect]:
    yield Effect(Kind.DELETE, _table(node.relation), whole=not node.HasField("where_clause"))


def _updated(node: Any) -> Iterator[Effect]:
    columns = tuple(item.res_target.name for item in node.target_list)
    yield Effect(Kind.UPDATE, _table(node.relation), columns, whole=not node.HasField("where_clause"))


def _merged(node: Any) -> Iterator[Effect]:
    yield Effect(Kind.OPAQUE, f"MERGE INTO {_table(node.relation)}")


def _indexed(node: Any) -> Iterator[Effect]:
    if node.unique:
        columns = tuple(item.index_elem.name for item in node.index_params)
        plain = all(columns) and not node.HasField("where_clause")
        yield Effect(Kind.ADD_UNIQUE, _table(node.relation), columns if all(columns) else (), whole=plain)


def _created(node: Any) -> Iterator[Effect]:
    yield Effect(Kind.CREATE_TABLE, _table(node.relation))


def _created_as(node: Any) -> Iterator[Effect]:
    yield Effect(Kind.CREATE_TABLE, _table(node.into.rel))
    yield Effect(Kind.FILL, _table(node.into.rel))


def _created_enum(node: Any) -> Iterator[Effect]:
    name = qualified(*(part.string.sval for part in node.type_name))
    yield Effect(Kind.CREATE_ENUM, name, to=tuple(value.string.sval for value in node.vals))


def _filled(node: Any) -> Iterator[Effect]:
    if node.HasField("relation"):
        yield Effect(Kind.FILL, _table(node.relation))


_HANDLERS = {
    "drop_stmt": _dropped,
    "alter_table_stmt": _altered,
    "rename_stmt": _renamed,
    "truncate_stmt": _truncated,
    "delete_stmt": _deleted,
    "update_stmt": _updated,
    "merge_stmt": _merged,
    "index_stmt": _indexed,
    "create_stmt": _created,
    "create_table_as_stmt": _created_as,
    "create_enum_stmt": _created_enum,
    "insert_stmt": _filled,
    "copy_stmt": _filled,
}
_NESTED = {"DeleteStmt": _deleted, "UpdateStmt": _updated, "MergeStmt": _merged}


def _of_block(text: str) -> Iterator[Effect]:
    """The effects of the statements in a DO block, whether or not they would be reached."""
    import postgast

    try:
        functions = postgast.parse_plpgsql(text)
    except (postgast.PgQueryError, ValueError):
        yield Effect(Kind.OPAQUE, "DO block")
        return
    for found in _expressions(functions):
        if isinstance(found, str):
            yield from of_postgresql(found)
        else:
            yield Effect(Kind.OPAQUE, "DO block with EXECUTE")


_STATEMENT = 0  # other modes are those of expressions and assignments, which can't hold a statement that writes


def _expressions(tree: Any) -> Iterator[str | None]:
    if isinstance(tree, list):
        for item in tree:
            yield from _expressions(item)
    elif isinstance(tree, dict):
        if tree.keys() & {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors", "dynquery"}:
            yield None
        expression = tree.get("PLpgSQL_expr", {})
        if expression.get("parseMode") == _STATEMENT:
            yield expression["query"]
        for item in tree.values():
            yield from _expressions(item)


def _deparsed_type(node: Any) -> str:
    """A type as SQL text: the grammar deparses statements only, so a cast carries it."""
    import postgast

    carrier = postgast.parse("SELECT NULL::int")
    carrier.stmts[0].stmt.select_stmt.target_list[0].res_target.val.type_cast.type_name.CopyFrom(node)
    return str(postgast.deparse(carrier)).removeprefix("SELECT NULL::")


def _deparsed_expression(node: Any) -> str:
    import postgast

    carrier = postgast.parse("SELECT 1")
    carrier.stmts[0].stmt.select_stmt.target_list[0].res_target.val.CopyFrom(node)
    return str(postgast.deparse(carrier)).removeprefix("SELECT ")


# --- SQLite ------------------------------------------------------------------

_NAME = r'(?:"((?:[^"]|"")+)"|`([^`]+)`|\[([^\]]+)\]|(\w+))'
_MAIN = r'(?:(?:main|"main"|`main`|\[main\])\s*\.\s*)?'
_ALTER = re.compile(
    rf"ALTER\s+TABLE\s+{_MAIN}{_NAME}\s+(RENAME\s+TO\b|RENAME(?:\s+COLUMN\b)?|ADD(?:\s+COLUMN\b)?|DROP(?:\s+COLUMN\b)?)"
    rf"\s*{_NAME}(.*)",
    re.IGNORECASE | re.DOTALL,
)
_DROP = re.compile(rf"DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?{_MAIN}{_NAME}(?!\w|\s*\.)", re.IGNORECASE)
_CREATE = re.compile(
    rf"CREATE\s+(?:TEMP\w*\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{_MAIN}{_NAME}\s*(AS\b)?", re.IGNORECASE
)
_UNIQUE = re.compile(
    rf"CREATE\s+UNIQUE\s+INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?{_MAIN}{_NAME}\s+ON\s+{_NAME}\s*\(([^()]*)\)\s*;?\s*$",
    re.IGNORECASE,
)
_WRITES = re.compile(r"(?:WITH\b.*?\b)?(DELETE|UPDATE|INSERT|REPLACE)\b", re.IGNORECASE | re.DOTALL)
_DEFINES = re.compile(r"(?:DROP|ALTER)\s+(?!INDEX\b|TRIGGER\b|VIEW\b)", re.IGNORECASE)
_TARGET = re.compile(
    rf"\b(?:DELETE\s+FROM|UPDATE(?:\s+OR\s+\w+)?|INSERT(?:\s+OR\s+\w+)?\s+INTO|REPLACE\s+INTO)\s+{_MAIN}{_NAME}",
    re.IGNORECASE,
)
_READS = re.compile(
    r"(?:SELECT|VALUES|EXPLAIN|SAVEPOINT|RELEASE|ROLLBACK\s+(?:TRANSACTION\s+)?TO)\b"
    r"|PRAGMA\s+(?:\w+\s*\.\s*)?\w+\s*;?\s*$"
    r"|PRAGMA\s+(?:\w+\s*\.\s*)?(?:table|index|foreign_key|function|collation|database)_x?\w+\s*\(",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z)|[()]|[^'"`\[/()-]+|.""", re.DOTALL
)


def of_sqlite(statement: str, driver: sqlite3.Connection | None) -> list[Effect]:
    """The effects of a statement.

    Args:
        statement: with `?` or `:name` for values.
        driver: a connection to the database, to ask; nothing is executed on it.
    """
    if len(statement) > MOST_CHARACTERS:
        return [_TOO_LONG]
    statement = _without_comments(statement)
    if match := _ALTER.match(statement):
        return [_sqlite_altered(match)]
    if match := _DROP.match(statement):
        return [Effect(Kind.DROP_TABLE, qualified(_first(match.groups())))]
    if match := _CREATE.match(statement):
        table = qualified(_first(match.groups()[:4]))
        return [Effect(Kind.CREATE_TABLE, table), *([Effect(Kind.FILL, table)] if match.groups()[4] else [])]
    if match := _UNIQUE.match(statement):
        plain = [re.fullmatch(rf"\s*{_NAME}\s*", column) for column in match.groups()[-1].split(",")]
        columns = tuple(_first(column.groups()) for column in plain if column)
        all_plain = len(columns) == len(plain)
        table = qualified(_first(match.groups()[4:8]))
        return [Effect(Kind.ADD_UNIQUE, table, columns if all_plain else (), whole=all_plain)]
    if _WRITES.match(statement):
        return _sqlite_writes(statement, driver)
    if _DEFINES.match(statement):
        return _sqlite_defines(statement, driver)
    if re.match(r"PRAGMA\s+(\w+\s*\.\s*)?writable_schema", statement, re.IGNORECASE):
        return [Effect(Kind.OPAQUE, "PRAGMA writable_schema")]
    return []


def reads_sqlite(statement: str) -> bool:
    """Whether it is a question and nothing else, so that it may be asked."""
    if len(statement) > MOST_CHARACTERS:
        return False
    statement = _without_comments(statement)
    if re.match(r"WITH\b", statement, re.IGNORECASE):
        return not re.search(r"\b(DELETE|UPDATE|INSERT|REPLACE)\b", _unquoted(_outer(statement)), re.IGNORECASE)
    return _READS.match(statement) is not None


def _without_comments(statement: str) -> str:
    pieces = (" " if piece.startswith(("--", "/*")) else piece for piece in _TOKEN.findall(statement))
    return "".join(pieces).lstrip("; \t\r\n\f")


def _outer(statement: str) -> str:
    """What stands outside of brackets: the WHERE of a subquery isn't that of the statement."""
    depth, kept = 0, []
    for piece in _TOKEN.findall(statement):
        if piece in "()":
            depth = max(depth + (1 if piece == "(" else -1), 0)
            kept.append(" ")
        elif not depth:
            kept.append(piece)
    return "".join(kept)


def _unquoted(statement: str) -> str:
    return "".join(" " if piece[0] in "'\"`[" else piece for piece in _TOKEN.findall(statement))


def _sqlite_altered(match: re.Match[str]) -> Effect:
    groups = match.groups()
    table, name, rest = qualified(_first(groups[:4])), _first(groups[5:9]), groups[9]
    verb = " ".join(groups[4].upper().split())
    if verb == "RENAME TO":
        return Effect(Kind.RENAME_TABLE, table, to=(name,))
    if verb.startswith("RENAME"):
        renamed = re.search(rf"\bTO\s+{_NAME}", rest, re.IGNORECASE)
        return Effect(Kind.RENAME_COLUMN, table, (name,), to=(_first(renamed.groups()),) if renamed else (name,))
    if verb.startswith("ADD"):
        return Effect(Kind.ADD_COLUMN, table, (name,))
    return Effect(Kind.DROP_COLUMN, table, (name,))


def _sqlite_writes(statement: str, driver: sqlite3.Connection | None) -> list[Effect]:
    outer = _outer(statement)
    whole = not re.search(r"\bWHERE\b", _unquoted(outer), re.IGNORECASE)
    target = _TARGET.search(outer)
    own = qualified(_first(target.groups())) if target else ""
    told = _told(statement, driver)
    if told is None:  # it names something that this run makes, so SQLite can't compile it yet
        verb = target[0].split(None, 1)[0].upper() if target else ""
        kind = {"DELETE": Kind.DELETE, "UPDATE": Kind.UPDATE}.get(verb, Kind.FILL)
        return [Effect(kind, own, whole=whole)] if own else [Effect(Kind.OPAQUE, "SQL that SQLite can't compile yet")]
    return [
        *(Effect(Kind.DELETE, table, whole=whole or table.lower() != own.lower()) for table in sorted(told.deletes)),
        *(
            Effect(Kind.UPDATE, table, tuple(sorted(columns)), whole=whole)
            for table, columns in sorted(told.updates.items())
        ),
        *(Effect(Kind.FILL, table) for table in sorted(told.inserts)),
    ]


def _sqlite_defines(statement: str, driver: sqlite3.Connection | None) -> list[Effect]:
    """What DROP and ALTER do in a spelling that isn't known here."""
    told = _told(statement, driver)
    if told is None:
        return [Effect(Kind.OPAQUE, "SQL that SQLite can't compile yet")]
    return [
        *(Effect(Kind.DROP_TABLE, table) for table in sorted(told.drops)),
        *(Effect(Kind.OPAQUE, f"ALTER TABLE {table}") for table in sorted(told.alters)),
    ]


@dataclass
class _Told:
    """The tables that a statement would write to."""

    deletes: set[str] = field(default_factory=set)
    updates: dict[str, set[str]] = field(default_factory=dict)
    inserts: set[str] = field(default_factory=set)
    drops: set[str] = field(default_factory=set)
    alters: set[str] = field(default_factory=set)


def _told(statement: str, driver: sqlite3.Connection | None) -> _Told | None:
    """What SQLite's authorizer is told about a statement; None if it doesn't compile, or nobody can be asked."""
    if driver is None:
        return None
    told = _Told()
    by_trigger: dict[str, set[str]] = {}

    def note(action: int, first: str | None, second: str | None, _database: str | None, trigger: str | None) -> int:
        table = qualified(first or "")
        if action == sqlite3.SQLITE_DELETE:
            told.deletes.add(table)
        elif action == sqlite3.SQLITE_UPDATE:
            (by_trigger if trigger else told.updates).setdefault(table, set()).add(second or "")
        elif action == sqlite3.SQLITE_INSERT:
            told.inserts.add(table)
        elif action == sqlite3.SQLITE_DROP_TABLE:
            told.drops.add(table)
        elif action == sqlite3.SQLITE_ALTER_TABLE:
            told.alters.add(qualified(second or ""))
        return sqlite3.SQLITE_OK

    driver.set_authorizer(note)
    try:
        plain = _unquoted(statement)
        marks = dict.fromkeys(re.findall(r":(\w+)", plain))
        driver.execute(f"EXPLAIN {statement}", marks or [None] * plain.count("?")).fetchall()
    except (
        sqlite3.Error,
        sqlite3.Warning,
        ValueError,
    ):  # a second statement is a Warning, half a character a ValueError
        return None
    finally:
        driver.set_authorizer(None)
    # A trigger that keeps `updated_at` of the rows that are updated says nothing more about them.
    told.updates = {**by_trigger, **told.updates}
    return told


def _first(groups: tuple[str | None, ...]) -> str:
    """The name that one of the ways to quote it has matched."""
    doubled, *plain = groups[:4]
    return doubled.replace('""', '"') if doubled else next((name for name in plain if name), "")
