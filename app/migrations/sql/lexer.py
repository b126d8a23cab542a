"""The tokens of SQLite's SQL: texts, quoted names, comments, words, brackets."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\[[^]]*]|`[^`]*`|--[^\n]*|/\*.*?(?:\*/|\Z)|\s+|[:@$]?\w+|.""", re.DOTALL
)
_CONSTANT = {
    *("and", "as", "between", "cast", "false", "in", "integer", "is", "like", "not", "null", "or", "text", "true"),
}


def tokens(statement: str) -> list[str]:
    """Returns the tokens of a statement, which together are the statement."""
    return _TOKEN.findall(statement)


def without_comments(statement: str) -> str:
    """Returns a statement from its first word on, with a blank for each comment."""
    kept = (" " if token.startswith(("--", "/*")) else token for token in tokens(statement))
    return "".join(kept).lstrip("; \t\r\n\f")


def unquoted(statement: str) -> str:
    """Returns a statement without its texts and quoted names."""
    return "".join(" " if token[0] in "'\"`[" else token for token in tokens(statement))


def outer(statement: str) -> str:
    """Returns what stands outside of brackets: the WHERE of a subquery isn't that of the statement."""
    return "".join(_outer(statement))


def chooses(statement: str) -> bool:
    """Returns whether a statement has a WHERE that isn't the same for every row, as `WHERE 1` is."""
    condition = _condition(statement)
    if any(token[0] in '"`[' for token in condition):
        return True
    return any((token[0].isalpha() or token[0] == "_") and token.lower() not in _CONSTANT for token in condition)


def _outer(statement: str) -> Iterator[str]:
    depth = 0
    for word in tokens(statement):
        if word in ("(", ")"):
            depth = max(depth + (1 if word == "(" else -1), 0)
            yield " "
        elif not depth:
            yield word


def _condition(statement: str) -> list[str]:
    """Returns the tokens between the outer WHERE and RETURNING; those in brackets belong to it."""
    depth, condition, inside = 0, [], False
    for word in tokens(statement):
        depth = max(depth + (word == "(") - (word == ")"), 0)
        if inside and word.upper() == "RETURNING":
            break
        if inside:
            condition.append(word)
        inside = inside or (not depth and word.upper() == "WHERE")
    return condition


def split(statement: str) -> list[str]:
    """Returns what stands between the commas outside of brackets."""
    depth, parts = 0, [""]
    for word in tokens(statement):
        depth += (word == "(") - (word == ")")
        if word == "," and not depth:
            parts.append("")
        else:
            parts[-1] += word
    return parts
