"""The rules of deploy order: what breaks code that runs while a revision does, and what to do instead.

Evidence is the release that alembic.ini names: its snapshot has what running code may use, and `unmapped` what it
doesn't. Without one, a revision that takes something away must say that it comes after the release.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app.migrations.errors import ConfigurationError
from app.migrations.line import Line
from app.migrations.phases import Phase
from app.migrations.releases import Release
from app.migrations.rules.stall_rule import Severity, StallRule
from app.migrations.sql.piece import Work
from app.sql_text import bare

CONTRACT = "contract-before-release"
RELEASES = {
    "drop-before-release": StallRule(
        "{object} goes while code that uses it may run: from then on that code fails.",
        "map it no longer (a column: sqlalchemy.orm.unmapped_column), release and record that, and drop it afterwards.",
        'schema release  # on the released commit\nphase = "contract"  # in this revision',
    ),
    "rename-in-use": StallRule(
        "code that runs knows {object} by this name, and new code by {to}: one of the two fails.",
        "add {to}, fill it and write both; release code that reads {to}; then drop {name}.",
        """op.add_column("{table}", sa.Column("{to}", …))
with op.concurrently():
    op.fill_column("{table}", "{to}", "{name}")""",
    ),
    "rename-table-in-use": StallRule(
        "code that runs knows {object} by this name, and new code by {to}: one of the two fails.",
        "leave a view of the old name in the same revision, and drop it after the release.",
        'op.execute("CREATE VIEW {table} AS SELECT * FROM {to}")',
    ),
    "not-null-before-release": StallRule(
        "a row without {name} is refused from then on, and code that runs may not write it yet.",
        "release code that always writes it, and say that this comes after it.",
        'phase = "contract"',
        Severity.WARNING,
    ),
    CONTRACT: StallRule(
        "this contract breaks code of before {name} ({to}), whose own code isn't released.",
        "release that code, record it, and let the contract come after it.",
        "schema release  # on the released commit",
    ),
}
_DROPS = ("drop_column", "drop_table", "drop_view", "drop_matview")
_REPLACED = ("rename_table", "drop_view", "drop_matview")


class DeployOrder:
    """Follows the revisions of a run, and knows what running code may use.

    Args:
        line: the history.
        release: the released code; None if there is no evidence.
        facts_at: gives the snapshot of PostgreSQL at a revision.

    Raises:
        ConfigurationError: the history has no such revision.
    """

    def __init__(self, line: Line, release: Release | None, facts_at: Callable[[str], Mapping[str, Any]]) -> None:
        if release is not None and release.revision not in line.order:
            raise ConfigurationError(
                f"The released revision {release.revision} isn't in this code: write down which one is with schema "
                "release"
            )
        self._line, self._release = line, release
        self._facts = facts_at(release.revision) if release is not None else {}
        self._added: set[tuple[str, str]] = set()
        self._new: set[tuple[str, str]] = set()
        self._set_by_trigger: set[tuple[str, str]] = set()
        self._views: set[str] = set()
        self._phase: Phase | None = None
        self._is_released = False

    def begin(self, revision: str, phase: Phase | None) -> Iterator[tuple[str, Work]]:
        """Begins a revision; yields what is wrong with its place in the history."""
        self._phase, self._views, self._new = phase, set(), set()
        unreleased = self._unreleased_before(revision)
        self._is_released = unreleased is None
        steps = [other for other in unreleased or () if self._line.phase(other) in (Phase.EXPAND, Phase.MIGRATE)]
        if phase is Phase.CONTRACT and steps and self._release is not None:
            yield CONTRACT, Work("contract", "", steps[-1], to=str(self._line.phase(steps[-1])))

    def _unreleased_before(self, revision: str) -> list[str] | None:
        """Returns the revisions between the released one and another; None if that is released too."""
        order = [*self._line.order]
        place = order.index(revision) if revision in order else len(order)  # a file beside the history
        released = order.index(self._release.revision) if self._release is not None else -1
        return order[released + 1 : place] if place > released else None

    def rules(self, work: Work, default: str) -> Iterator[str]:
        """Yields the rules that a piece of work breaks; `default` is that of its column before the revision."""
        if self._is_released:
            return
        if work.kind in _DROPS and self._may_be_used(work):
            yield "drop-before-release"
        if work.kind == "rename_column" and self._may_be_used(work):
            yield "rename-in-use"
        if work.kind == "rename_table" and self._may_be_used(work):
            yield "rename-table-in-use"
        column = (bare(work.table), work.name)
        is_set = bool(default) or column in self._set_by_trigger
        if work.kind == "set_not_null" and not is_set and self._phase is not Phase.CONTRACT:
            yield "not-null-before-release"

    def note(self, work: Work) -> None:
        """Notes what a piece of work has made."""
        if work.kind == "add_column":
            self._added.add((bare(work.table), work.name))
            self._new.add((bare(work.table), work.name))
        if work.kind == "create_trigger":  # perhaps for these
            self._set_by_trigger |= {column for column in self._new if column[0] == bare(work.table)}
        if work.kind == "create_view":
            self._views.add(bare(work.name))

    def is_replaced(self, work: Work) -> bool:
        """Returns whether a view has taken the name that a piece of work took away in the same revision."""
        return work.kind in _REPLACED and bare(work.table or work.name) in self._views

    def _may_be_used(self, work: Work) -> bool:
        """Returns whether code that runs when this revision does may use what goes, or gets another name."""
        return self._is_there(work) and (self._release is not None or self._phase is not Phase.CONTRACT)

    def _is_there(self, work: Work) -> bool:
        """Returns whether released code knows something, and uses it as far as is known."""
        table, column = (bare(work.table), work.name) if work.table else (bare(work.name), "")
        if (table, column) in self._added:
            return False
        if self._release is None:
            return True
        kinds = ("column",) if column else ("table", "view")
        name = f"{table}.{column}" if column else table
        return any(f"{kind} {name}" in self._facts for kind in kinds) and self._release.uses(table, column)
