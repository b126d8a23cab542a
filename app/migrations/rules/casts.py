"""Changes of a column's type that keep every value."""

import re

_SIZED = re.compile(r"([a-z ]+?)\s*(?:\((\d+)(?:,\s*(\d+))?\))?((?: with(?:out)? time zone)?)", re.IGNORECASE)
_SYNONYMS = {"character varying": "varchar", "int": "integer", "decimal": "numeric", "datetime": "timestamp"}
_INTEGERS = {"smallint": 0, "integer": 1, "bigint": 2}


def widens(now: str, to: str) -> bool:
    """Returns whether every value of the type `now` is one of the type `to`, unchanged; False if that isn't known."""
    old, new = _type(now), _type(to)
    if old is None or new is None:
        return False
    if old == new:
        return True
    (kind, size, scale), (new_kind, new_size, new_scale) = old, new
    if kind in _INTEGERS:
        return _INTEGERS.get(new_kind, -1) >= _INTEGERS[kind] or (new_kind == "numeric" and new_size is None)
    if kind in ("varchar", "text"):
        return new_kind in ("varchar", "text") and (new_size is None or (size is not None and new_size >= size))
    if kind == "numeric" == new_kind:
        return new_size is None or (size is not None and scale == new_scale and new_size >= size)
    if kind == new_kind and kind.startswith("time"):
        return (6 if new_size is None else new_size) >= (6 if size is None else size)
    return (kind, new_kind) in {("real", "double precision"), ("cidr", "inet")}


def _type(text: str) -> tuple[str, int | None, int] | None:
    match = _SIZED.fullmatch(" ".join(text.lower().split()))
    if match is None:
        return None
    zone = "tz" if match[4] == " with time zone" else ""
    return _SYNONYMS.get(match[1], match[1]) + zone, int(match[2]) if match[2] else None, int(match[3] or 0)


def keeps_table(now: str, to: str) -> bool:
    """Returns whether PostgreSQL changes a type without writing the table, or an index of it, anew."""
    old, new = _type(now), _type(to)
    if old is None or new is None:
        return False
    (kind, size, scale), (new_kind, new_size, new_scale) = old, new
    longer = new_size is None or (size is not None and new_size >= size)
    if kind in ("varchar", "text"):
        return new_kind in ("varchar", "text") and (longer if kind == "varchar" else new_size is None)
    if kind == "numeric" == new_kind:
        return new_size is None or (longer and scale == new_scale)
    if kind == new_kind and kind.startswith(("time", "interval")):
        return (6 if new_size is None else new_size) >= (6 if size is None else size)
    return old == new or (kind, new_kind) == ("cidr", "inet") or (kind == new_kind == "varbit" and longer)


def keeps_rows(now: str, to: str, *, utc: bool) -> bool:
    """Returns whether PostgreSQL changes a type by building nothing but the indexes of the column anew.

    Args:
        now: the type.
        to: the new type.
        utc: the session that does it is in UTC, where a time is the same with a zone.
    """
    old, new = _type(now), _type(to)
    kinds = (old[0], new[0]) if old and new else None
    times = {("timestamp", "timestamptz"), ("timestamptz", "timestamp")} if utc else set()
    return kinds in {("varchar", "citext"), ("text", "citext"), ("citext", "text"), ("integer", "oid"), *times}
