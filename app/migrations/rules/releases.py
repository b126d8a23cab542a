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
from app.migrations.sql import Work
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
    "rights-before-release": StallRule(
        "code that runs may lack a right on {object} from then on, or see fewer rows of it.",
        "give that code what it needs in another way, release it, and say that this comes after it.",
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
# What takes something away, and what makes up for it in the same revision.
_REPLACED_BY = {
    "rename_table": {"create_view"},
    "drop_view": {"create_view"},
    "drop_matview": {"create_view"},
    "drop_function": {"create_function"},
    "drop_trigger": {"create_trigger"},
    "drop_default": {"set_default", "drop_not_null"},
    "row_security": {"create_policy"},
}
_OF_TABLE = ("rename_table", "row_security", "create_policy")  # the table is what they are about


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
        self._required: set[tuple[str, str]] = set()
        self._put: set[tuple[str, str]] = set()
        self._phase: Phase | None = None
        self._is_released = False

    def begin(self, revision: str, phase: Phase | None) -> Iterator[tuple[str, Work]]:
        """Begins a revision; yields what is wrong with its place in the history."""
        self._phase, self._put, self._new = phase, set(), set()
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

    def rules(self, work: Work, facts: Mapping[str, Any]) -> Iterator[str]:
        """Yields the rules that a piece of work breaks; `facts` are those of before the revision."""
        if self._is_released:
            return
        if work.kind in _DROPS and self._may_be_used(work):
            yield "drop-before-release"
        if work.kind == "rename_column" and self._may_be_used(work):
            yield "rename-in-use"
        if work.kind == "rename_table" and self._may_be_used(work):
            yield "rename-table-in-use"
        if self._phase is not Phase.CONTRACT:
            yield from self._rules_before_contract(work, facts)

    def _rules_before_contract(self, work: Work, facts: Mapping[str, Any]) -> Iterator[str]:
        column = (bare(work.table), work.name)
        known = facts.get(f"column {column[0]}.{column[1]}", {})
        if column not in self._set_by_trigger:
            required = known.get("nullable") is False or column in self._required
            if work.kind == "drop_default" and required:
                yield "not-null-before-release"
            if work.kind == "set_not_null" and not known.get("default"):
                yield "not-null-before-release"
        if work.kind == "drop_trigger" and f"trigger {column[0]}.{column[1]}" in facts:
            yield "drop-before-release"
        if work.kind == "drop_function" and any(name.startswith(f"function {bare(work.name)}(") for name in facts):
            yield "drop-before-release"
        if work.kind in ("revoke", "row_security"):
            yield "rights-before-release"

    def note(self, work: Work) -> None:
        """Notes what a piece of work has made."""
        if work.kind == "add_column":
            self._added.add((bare(work.table), work.name))
            self._new.add((bare(work.table), work.name))
            self._required |= {(bare(work.table), work.name)} if "required" in work.options else set()
        if work.kind == "create_trigger":  # perhaps for these
            self._set_by_trigger |= {column for column in self._new if column[0] == bare(work.table)}
        self._put.add((work.kind, _about(work)))

    def is_replaced(self, work: Work) -> bool:
        """Returns whether the same revision puts something in the place of what a piece of work took away."""
        return any((kind, _about(work)) in self._put for kind in _REPLACED_BY.get(work.kind, ()))

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


def _about(work: Work) -> str:
    """Returns the name of what a piece of work is about, without a schema."""
    if work.kind in _OF_TABLE:
        return bare(work.table)
    return f"{bare(work.table)}.{work.name}" if work.table else bare(work.name)
