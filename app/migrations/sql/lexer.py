"""The pieces of SQLite's SQL: texts, quoted names, comments, brackets."""

import re

_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?(?:\*/|\Z)|[()]|[^'"`\[/()-]+|.""", re.DOTALL
)


_QUOTES = "'\"`["
_NAME_QUOTES = _QUOTES[1:]
_CONSTANT = {
    "true",
    "false",
    "null",
    "not",
    "and",
    "or",
    "is",
    "between",
    "in",
    "like",
    "cast",
    "as",
    "integer",
    "text",
}


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


def chooses(statement: str) -> bool:
    """Whether a statement has a WHERE that isn't the same for every row, as `WHERE 1` is."""
    depth, kept = 0, []
    found = False
    for piece in _TOKEN.findall(statement):
        depth = max(depth + (piece == "(") - (piece == ")"), 0)
        where = None if found or depth else re.search(r"\bWHERE\b", piece, re.IGNORECASE)
        if found or (where and piece[0] not in _QUOTES):
            kept.append(piece[where.end() :] if where else piece)
            found = True
    condition = re.split(r"\bRETURNING\b", "".join(kept), flags=re.IGNORECASE)[0]
    if any(piece[0] in _NAME_QUOTES for piece in _TOKEN.findall(condition)):
        return True
    words = re.findall(r"[:@$\w]+", unquoted(condition))
    return any(word[0].isalpha() or word[0] == "_" for word in words if word.lower() not in _CONSTANT)


def unquoted(statement: str) -> str:
    """A statement without its texts and quoted names."""
    return "".join(" " if piece[0] in "'\"`[" else piece for piece in _TOKEN.findall(statement))
