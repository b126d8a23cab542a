"""Objects that the history once made, and that head no longer has."""

import re
from collections.abc import Iterable

from app.migrations.snapshots import Facts, Snapshot, kind_of, owner_of

_ACTIONS = re.compile(r" (?:ON (?:DELETE|UPDATE) (?:NO ACTION|RESTRICT|CASCADE|SET NULL|SET DEFAULT)|NOT VALID)")


class FormerConstraints:
    """Constraints that earlier revisions made.

    Args:
        snapshots: of the revisions before head.
    """

    def __init__(self, snapshots: Iterable[Snapshot]) -> None:
        self._known = {
            (owner_of(name), without_actions(facts))
            for snapshot in snapshots
            for name, facts in snapshot.items()
            if kind_of(name) == "constraint"
        }

    def has(self, name: str, facts: Facts) -> bool:
        """Returns whether an earlier revision made such a constraint, whatever its name and its actions."""
        return (owner_of(name), without_actions(facts)) in self._known


def without_actions(facts: Facts) -> str:
    """Returns the definition of a constraint without the actions of a foreign key."""
    return _ACTIONS.sub("", str(facts.get("definition", "")))
