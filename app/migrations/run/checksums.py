"""What a revision does, in 64 characters: an applied one whose checksum has changed was edited."""

import ast
import hashlib
from functools import cache


@cache
def checksum(source: str) -> str:
    """A checksum of what a revision does: comments, formatting, docstrings and `acknowledged` don't count."""
    return hashlib.sha256(_canonical(ast.parse(source)).encode()).hexdigest()


def _canonical(node: object) -> str:
    # ast.dump() isn't the same on every Python: newer ones have more fields, and leave out empty ones. Every start
    # reads the whole history this way, so it is written to be fast.
    if isinstance(node, list):
        return f"[{','.join([_canonical(item) for item in node])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name in node._fields:
        value = getattr(node, name, None)
        if name == "body" and isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            value = [statement for statement in node.body if not _is_words(statement)]
        if value is not None and value != []:
            parts.append(f"{name}={_canonical(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_words(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return isinstance(statement.value.value, str)
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return any(isinstance(target, ast.Name) and target.id == "acknowledged" for target in targets)
