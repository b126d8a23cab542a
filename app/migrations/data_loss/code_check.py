"""Names in a revision's code that reach past `op`: to another connection, a thread, a file or a process.

Rendering a revision runs its code, so one with such a name isn't rendered; and nothing it does there could be seen
while it runs. Its file is read, and every module beside it that it imports, directly or not; what is installed isn't.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from app.migrations.sql import effects

_PAST_OP = {
    "create_engine", "create_async_engine", "engine_from_config", "raw_connection", "driver_connection",
    "dbapi_connection", "cursor", "executescript", "pool", "dbapi", "import_dbapi", "loaded_dbapi",
    "sqlite3", "aiosqlite", "psycopg", "psycopg2", "asyncpg", "pg8000",
    "threading", "multiprocessing", "concurrent", "asyncio",
    "subprocess", "socket", "requests", "httpx", "urllib", "ctypes", "shutil", "system", "popen",
    "exec", "eval", "__import__", "import_module", "exec_module", "runpy",
    "open", "unlink", "rmtree", "write_text", "write_bytes",
    "a driver's connection", "getattr with a computed name",
}  # fmt: skip


def reaches_past_op(path: Path) -> effects.Opaque | None:
    """Returns the first name in a revision's file, or in a helper beside it, that reaches past `op`."""
    for file, nodes in _files(path):
        for node in nodes:
            if names := _names(node) & _PAST_OP:
                line = f"line {getattr(node, 'lineno', 1)}"
                return effects.Opaque(min(names), where=line if file == path else f"by way of {file.name} {line}")
    return None


def _files(path: Path) -> Iterator[tuple[Path, list[ast.AST]]]:
    folders = path.parents[:3]  # the revisions', Alembic's, the project's: all may be on the path
    files = [path]
    for file in files:  # which grow meanwhile
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
        yield file, nodes
        modules = [
            folder.joinpath(*name.split("."))
            for folder in {*folders, file.parent}
            for node in nodes
            for name in _imported(node)
            if name.split(".")[0] != __name__.split(".")[0]  # this package is no helper: what it does is tested
        ]
        places = {place for module in modules for place in (module.with_suffix(".py"), module / "__init__.py")}
        files += sorted(place for place in places - {*files} if place.is_file())


def _imported(node: ast.AST) -> set[str]:
    """Returns a module, and what is imported from it, which may be a module as well."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return set()
    module = getattr(node, "module", None) or ""
    return {module, *(f"{module}.{alias.name}".strip(".") for alias in node.names)} - {""}


def _names(node: ast.AST) -> set[str]:
    match node:
        case ast.Import() | ast.ImportFrom():
            return {part for name in _imported(node) for part in name.split(".")}
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
            return {name}
        case ast.Call(func=ast.Name(id="getattr")):
            return {"getattr with a computed name"}
        case ast.Call(func=ast.Name(id=name)):
            return {name}
        case ast.Attribute(attr="connection", value=value) if not _is_context(value):
            return {"a driver's connection"}
        case ast.Attribute(attr="connect", value=ast.Attribute(attr="dialect")):
            return {"a driver's connection"}
        case ast.Attribute(attr=name):
            return {name}
    return set()


def _is_context(node: ast.AST) -> bool:
    """Returns whether this is Alembic's context, whose `connection` is SQLAlchemy's and no driver's."""
    match node:
        case ast.Call(func=ast.Attribute(attr="get_context") | ast.Name(id="get_context")):
            return True
        case ast.Attribute(attr="migration_context") | ast.Name(id="context" | "self"):
            return True
    return False
