"""Ways around `op`: what in a revision's file reaches past what the rehearsal and the guard can see.

A revision that has one isn't rehearsed, for that would run it. Its file is read, and every module beside it that it
imports, directly or not; what is installed isn't.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from app.migrations.sql.effects import Effect, Kind

# Each opens a way to the database, to another thread or to the world.
_AROUND = {
    "create_engine", "create_async_engine", "engine_from_config", "raw_connection", "driver_connection",
    "dbapi_connection", "cursor", "executescript", "pool", "dbapi", "import_dbapi", "loaded_dbapi",
    "sqlite3", "aiosqlite", "psycopg", "psycopg2", "asyncpg", "pg8000",
    "threading", "multiprocessing", "concurrent", "asyncio",
    "subprocess", "socket", "requests", "httpx", "urllib", "ctypes", "shutil", "system", "popen",
    "exec", "eval", "__import__", "import_module", "exec_module", "runpy",
    "open", "unlink", "rmtree", "write_text", "write_bytes",
}  # fmt: skip
_DRIVER = "a driver's connection"
_BY_NAME = "getattr with a computed name"


def reaches_around(path: Path) -> Effect | None:
    """The first thing in a revision's file, or in a helper beside it, that goes past `op`; None if nothing does."""
    for file, nodes in _files(path):
        contexts = _contexts(nodes)
        for node in nodes:
            found = _names(node, contexts) & {*_AROUND, _DRIVER, _BY_NAME}
            if found:
                line = f"line {getattr(node, 'lineno', 1)}"
                where = line if file == path else f"by way of {file.name} {line}"
                return Effect(Kind.OPAQUE, min(found), where=where)
    return None


def _files(path: Path) -> Iterator[tuple[Path, list[ast.AST]]]:
    folders = path.parents[:3]  # the revisions', Alembic's, the project's: all may be on the path
    waiting, seen = [path], {path}
    while waiting:
        file = waiting.pop(0)
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        yield file, nodes
        beside = {*folders, file.parent}
        found = {helper for name in _imported(nodes) for folder in beside for helper in _modules(folder, name)}
        waiting += sorted(found - seen)
        seen |= found


def _modules(folder: Path, name: str) -> list[Path]:
    place = folder.joinpath(*name.split("."))
    return [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]


def _imported(nodes: list[ast.AST]) -> set[str]:
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names |= {module, *(f"{module}.{alias.name}".strip(".") for alias in node.names)}
    # The package itself is no helper: what it does is tested.
    return {name for name in names if name and name.split(".")[0] != "app"}


def _contexts(nodes: list[ast.AST]) -> set[str]:
    """Names that stand for Alembic's context, whose `connection` is SQLAlchemy's and no driver's."""
    assigned = {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and _is_context(node.value, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return assigned | {"context", "self"}


def _is_context(node: ast.AST, contexts: set[str]) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(attr="get_context") | ast.Name(id="get_context")):
            return True
        case ast.Attribute(attr="migration_context"):
            return True
        case ast.Name(id=name):
            return name in contexts
    return False


def _names(node: ast.AST, contexts: set[str]) -> set[str]:
    match node:
        case ast.Import():
            return {part for alias in node.names for part in alias.name.split(".")}
        case ast.ImportFrom():
            return set((node.module or "").split(".")) | {alias.name for alias in node.names}
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
            return {name}
        case ast.Call(func=ast.Name(id="getattr")):
            return {_BY_NAME}
        case ast.Call(func=ast.Name(id=name)):
            return {name}
        case ast.Attribute(attr="connection", value=value) if not _is_context(value, contexts):
            return {_DRIVER}
        case ast.Attribute(attr="connect", value=ast.Attribute(attr="dialect")):
            return {_DRIVER}
        case ast.Attribute(attr=name):
            return {name}
    return set()
