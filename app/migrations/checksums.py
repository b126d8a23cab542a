"""Checksums of revisions; loads no Alembic."""

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import permutations

_ANY_PARENT = "\0any parent\0"
_NEAR = 16  # revisions: 3360 triples, a fifth of a second


@cache
def checksum(source: str | bytes) -> str:
    """Returns a checksum of a revision's code: comments, formatting, docstrings, `acknowledged` don't count.

    Nor does `phase`: it says when a revision may run, and a database that has run it is the same with another one.
    """
    return _hash(_canonical(ast.parse(source)))


@cache
def recorded_parents(source: bytes, recorded: str, revisions: tuple[str, ...]) -> tuple[str, ...] | None:
    """Returns the parents that a revision had when a checksum of it was recorded.

    The order of revisions changes when two branches are merged: that edits `down_revision` and nothing else. Checksums
    hold it, so the former parent is the one that makes the recorded checksum.

    Args:
        source: the revision's code today.
        recorded: its checksum in the ledger.
        revisions: the possible parents, in the order of the history.

    Returns:
        The parents, none for the first revision; None if more than `down_revision` was edited.
    """
    tree = ast.parse(source)
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and _assigns(statement, "down_revision"):
            statement.value = ast.Constant(_ANY_PARENT)
    before, found, after = _canonical(tree).partition(_canonical(ast.Constant(_ANY_PARENT)))
    if not found:
        return None
    for parents in _possible_parents(revisions, _id(tree)):
        if _hash(f"{before}{_canonical(_written(parents))}{after}") == recorded:
            return parents
    return None


def _possible_parents(revisions: Sequence[str], own: str) -> Iterator[tuple[str, ...]]:
    yield ()
    yield from ((revision,) for revision in revisions)
    # Of a merge revision. The history has a million triples soon, so three branches must end shortly before it.
    yield from permutations(revisions, 2)
    end = revisions.index(own) if own in revisions else len(revisions)
    yield from permutations(revisions[max(end - _NEAR, 0) : end], 3)


def _written(parents: tuple[str, ...]) -> ast.expr:
    if not parents:
        return ast.Constant(None)
    names: list[ast.expr] = [ast.Constant(parent) for parent in parents]
    return names[0] if len(names) == 1 else ast.Tuple(names, ast.Load())


def _id(tree: ast.Module) -> str:
    values = [getattr(node, "value", None) for node in tree.body if _assigns(node, "revision")]
    return next((str(value.value) for value in values if isinstance(value, ast.Constant)), "")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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
            # In a function `phase` is a variable like any other.
            words = _is_words_of_module if isinstance(node, ast.Module) else _is_words
            value = [statement for statement in node.body if not words(statement)]
        if value is not None and value != []:
            parts.append(f"{name}={_canonical(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_words(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return isinstance(statement.value.value, str)
    return _assigns(statement, "acknowledged")


def _is_words_of_module(statement: ast.stmt) -> bool:
    return _is_words(statement) or _assigns(statement, "phase")


def _assigns(statement: ast.stmt, name: str) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return any(isinstance(target, ast.Name) and target.id == name for target in targets)
