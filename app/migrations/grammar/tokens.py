"""The pieces of SQLite's SQL: texts, quoted names, comments, brackets."""

import re

_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z)|[()]|[^'"`\[/()-]+|.""", re.DOTALL
)


def without_comments(statement: str) -> str:
    """A statement from its first word on, a space for each comment."""
    pieces = (" " if piece.startswith(("--", "/*")) else piece for piece in _TOKEN.findall(statement))
    return "".join(pieces).lstrip("; \t\r\n\f")


def outer(statement: str) -> str:
    """What stands outside of brackets: the WHERE of a subquery isn't that of the statement."""
    depth, kept = 0, []
    for piece in _TOKEN.findall(statement):
        if piece in "()":
            depth = max(depth + (1 if piece == "(" else -1), 0)
            kept.append(" ")
        elif not depth:
            kept.append(piece)
    return "".join(kept)


def unquoted(statement: str) -> str:
    """A statement without its texts and quoted names."""
    return "".join(" " if piece[0] in "'\"`[" else piece for piece in _TOKEN.findall(statement))
