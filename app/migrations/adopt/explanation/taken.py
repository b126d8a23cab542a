"""Names that head gives to an object and that another object has: PostgreSQL's relations share one set of names."""

from app.migrations.adopt.explanation.findings import Explanation, Group
from app.migrations.snapshots import Snapshot, kind_of, own_name, quote

_RELATIONS = ("table", "index", "sequence", "view")
_WITH_INDEX = ("PRIMARY KEY", "UNIQUE", "EXCLUDE")


def refuse_taken_names(explanation: Explanation, dialect: str) -> None:
    """Leaves it to a person to rename what has the name of another object of head's; a step would fail half-way."""
    names = dict[str, str]()
    aim = explanation.aim
    for name in sorted(aim, key=lambda name: name not in explanation.expected):  # head's first
        relation = _relation(name, aim, dialect)
        other = names.setdefault(relation, name) if relation else name
        if other != name and other in explanation.expected and explanation.found.get(other) is None:
            reason = f"has the name that head gives to {other}: {_way_out(name, dialect)}."
            explanation.add(name, Group.PERSON, reason)


def _relation(name: str, snapshot: Snapshot, dialect: str) -> str:
    """Returns the name that no other relation may have; empty for what is none."""
    kind, definition = kind_of(name), str(snapshot[name].get("definition", ""))
    has_index = dialect == "postgresql" and kind == "constraint" and definition.startswith(_WITH_INDEX)
    if kind not in _RELATIONS and not has_index:
        return ""
    own = own_name(name)
    return own if dialect == "postgresql" else own.lower()


def _way_out(name: str, dialect: str) -> str:
    kind = kind_of(name)
    if dialect == "sqlite" and kind in ("index", "view"):  # neither can be renamed there
        return f"make it under another name, and DROP {kind.upper()} {quote(own_name(name))}"
    words = "INDEX" if kind == "constraint" else kind.upper()
    return f"ALTER {words} {quote(own_name(name))} RENAME TO …"
