"""The measures of the house: rooms, modules and functions that one can keep in one's head, docstrings that say it."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environment import ROOT

MODULES_OF_A_ROOM = 16
LINES_OF_A_MODULE = 300
LINES_OF_A_FUNCTION = 40
QUESTION_WORDS = {"what", "whether", "who", "whose", "how", "which", "where", "when", "why"}
PYTHON = [path for folder in ("app", "scripts") for path in sorted((ROOT / folder).rglob("*.py"))]


def long_functions(source: str) -> Iterator[str]:
    """Names the functions that have too many lines, their docstrings not counted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            lines = (node.end_lineno or 0) - node.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)
            if lines > LINES_OF_A_FUNCTION:
                yield node.name


def asking(source: str) -> Iterator[str]:
    """Returns the docstrings that open with a question word."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = (ast.get_docstring(node) or "").strip()
            if docstring and docstring.split()[0].lower() in QUESTION_WORDS:
                yield docstring.splitlines()[0]


def test_a_room_has_few_modules() -> None:
    rooms = Counter(path.parent for path in PYTHON if path.name != "__init__.py")
    assert not {folder: number for folder, number in rooms.items() if number > MODULES_OF_A_ROOM}


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_fits_into_a_head(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= LINES_OF_A_MODULE
    assert [*long_functions(source)] == []
    assert [*asking(source)] == []


@pytest.mark.parametrize("docstring", ["What a key opens.", "Whether it is\nopen.", "\n    How to do it"])
def test_a_question_is_found(docstring: str) -> None:
    sources = [f'"""{docstring}"""', f'class A:\n    """{docstring}"""', f'def f():\n    """{docstring}"""']
    assert [len([*asking(source)]) for source in sources] == [1, 1, 1]
    assert not [*asking('"""Says what it is."""')]


def test_a_long_function_is_found() -> None:
    body = "    pass\n" * LINES_OF_A_FUNCTION
    assert [*long_functions(f"def f():\n{body}")] == ["f"]
    assert not [*long_functions(f'def f():\n    """Does.\n\n    Much.\n    """\n{body[9:]}')]
