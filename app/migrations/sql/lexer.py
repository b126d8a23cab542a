"""The tokens of SQLite's SQL: texts, quoted names, comments, words, brackets."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\[[^]]*]|`[^`]*`|--[^\n]*|/\*.*?(?:\*/|\Z)|\s+|[:@$]?\w[\w$]*|.""", re.DOTALL
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
    """Returns the text outside of brackets: the WHERE of a subquery isn't that of the statement."""
    return "".join(" " if word == ")" else word for depth, word in _nested(statement) if not depth)


def chooses(statement: str) -> bool:
    """Returns whether a statement has a WHERE that isn't the same for every row, as `WHERE 1` is."""
    in_condition = False
    for depth, word in _nested(statement):
        if in_condition and word.upper() == "RETURNING":
            return False
        is_word = word[0].isalpha() or word[0] == "_"
        if in_condition and (word[0] in '"`[' or (is_word and word.lower() not in _CONSTANT)):
            return True
        in_condition = in_condition or (not depth and word.upper() == "WHERE")
    return False


def split(statement: str) -> list[str]:
    """Returns the texts between the commas outside of brackets."""
    parts = [""]
    for depth, word in _nested(statement):
        if word == "," and not depth:
            parts.append("")
        else:
            parts[-1] += word
    return parts


def _nested(statement: str) -> Iterator[tuple[int, str]]:
    """Returns each token with the number of brackets that are open after it."""
    depth = 0
    for word in tokens(statement):
        depth = max(depth + (word == "(") - (word == ")"), 0)
        yield depth, word
