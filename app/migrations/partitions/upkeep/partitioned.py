"""The upkeep of one partitioned table."""

import time

import sqlalchemy as sa

from app import db
from app.errors import SchemaError, database_errors_in_one_line
from app.migrations import run
from app.migrations.ahead import Mark, State
from app.migrations.errors import MigrationError
from app.migrations.partitions.analysis import analyze, is_analyzed
from app.migrations.partitions.catalog import Partition, named
from app.migrations.partitions.creation import Needed, create_next, needed, new_name
from app.migrations.partitions.defaults import default_of, require_empty
from app.migrations.partitions.leaves import Parent, marking
from app.migrations.partitions.ranges import Range
from app.migrations.partitions.transactions import again, execute, short_transaction, wait_patiently
from app.migrations.partitions.upkeep import archive
from app.migrations.partitions.upkeep.detaching import Refused, detach
from app.migrations.partitions.upkeep.dropping import Dropper, Taken
from app.migrations.partitions.upkeep.maintenance import Action, Step, Upkeep
from app.migrations.partitions.upkeep.reattaching import take_back
from app.migrations.partitions.upkeep.retention import Due, due, reason, require_consent
from app.partitions import Declared


class Partitions(Upkeep):
    """One partitioned table, and what is to be done about it."""

    def plan(self) -> None:
        """Adds the steps that a run would take."""
        declared = self.declared
        with run.reading(self.project, self.engine) as connection:
            parent = Parent.of(connection, declared)
            if (obstacle := parent.obstacle(connection)) is not None:
                self.result.note(obstacle)
            lacking = needed(connection, declared, self.options.now)
            for range_ in lacking.ranges:
                name = new_name(connection, parent, range_)
                self.result.steps.append(_creation(lacking, declared, name, range_))
            if lacking.ranges and (default := default_of(lacking.attached)) is not None:
                require_empty(connection, parent, declared.by, default, lacking.ranges[0])
            found = due(connection, declared, self.options.now)
            self._note(found)
            for own in found.taken_back:
                self.result.steps.append(_kept(declared, own))
            for own in [*found.detached, *found.retiring]:
                self.result.steps.append(_drop(declared, own))
            self._require_consent(connection, found)

    def run(self) -> None:
        """Takes the steps, and then collects the planner's statistics of what is another table now."""
        with db.connect(self.engine) as connection:
            obstacle = Parent.of(connection, self.declared).obstacle(connection)
        if obstacle is not None:
            raise MigrationError(obstacle)
        before = len(self.result.steps)
        self._take_steps()
        self._analyze(has_changed=len(self.result.steps) > before)

    def _analyze(self, *, has_changed: bool) -> None:
        with db.connect(self.engine) as connection:
            parent = Parent.of(connection, self.declared)
            if is_analyzed(connection, parent.address) and not has_changed:
                return
        if analyze(self.engine, parent):
            run.log.info("%s: collected the statistics of the planner", self.declared.table)

    def _take_steps(self) -> None:
        """Begins with new partitions, since without one each INSERT fails."""
        while self._create_next():
            pass
        with db.connect(self.engine) as connection:
            for own in needed(connection, self.declared, self.options.now).left:
                self.result.note(f"{own.name} was never attached, and somebody wrote rows into it: left alone")
            found = due(connection, self.declared, self.options.now)
            self._note(found)
        for own in found.pending:
            self._end_pending(own)
        for own in found.taken_back:
            self._take_back(own)
        if not (found.detached or found.retiring):
            return
        if self.options.archive is not None:
            archive.require_writable(self.options.archive)
        with db.connect(self.engine) as connection:
            self._require_consent(connection, found)
        for own in [*found.detached, *found.retiring]:
            self._retire(own)

    def _create_next(self) -> bool:
        started = time.monotonic()
        with self.writing(), db.connect(self.engine) as connection:
            found = needed(connection, self.declared, self.options.now)
            made = create_next(self.project, connection, self.declared, found)
        if made is None:
            return False
        step = _creation(found, self.declared, made.name, Range.of(made.low, made.high), time.monotonic() - started)
        self.result.steps.append(step)
        return True

    def _retire(self, own: Partition) -> None:
        """Detaches and drops a partition, as far as another run hasn't."""
        why = reason(self.declared, own)
        run.log.info("%s: drop %s: %s", self.declared.table, own.name, why)
        try:
            retiring = self._detach(own)
        except Refused as error:  # it would be refused each time, and the others must go all the same
            self.failed(error)
            return
        dropper = Dropper(self.project, self.engine, self.declared, self.options, self.result)
        try:
            with database_errors_in_one_line(f"{own.name} is detached, and the next run goes on"):
                step = dropper.drop(retiring, why) if retiring is not None else None
        except Taken:
            self.result.note(f"{own.name}: another run is at it, or another session writes to it")
        except SchemaError as error:  # the next partition may have nothing in its way
            self.failed(error)
        else:
            self.result.steps += [step] if step is not None else []

    def _detach(self, own: Partition) -> Partition | None:
        """Returns the partition detached; None if it is gone, or kept again."""
        with self.writing():
            found, parent = self._look()
            current = named(found.retiring, own.name)
            if current is not None:
                self._mark(parent, current, State.RETIRING)
                detach(self.project, self.engine, parent, current, has_default=found.has_default)
            return named(self._look()[0].detached, own.name)

    def _end_pending(self, own: Partition) -> None:
        """Ends a detachment that a person began: beside it the server allows no other."""
        with self.writing():
            found, parent = self._look()
            current = named(found.pending, own.name)
            if current is not None:
                detach(self.project, self.engine, parent, current, has_default=False)
        self.result.note(f"{own.name} was being detached by a person: that is done; it is left alone, with its rows")

    def _take_back(self, own: Partition) -> None:
        with self.writing():
            found, parent = self._look()
            current = named(found.taken_back, own.name)
            if current is not None and current.is_pending:  # it can't be taken back before it is ended
                detach(self.project, self.engine, parent, current, has_default=False)
                current = named(self._look()[0].taken_back, own.name)
            if current is None:
                return
            if current.is_range:
                self._mark(parent, current, State.KEPT)
            else:
                take_back(self.project, self.engine, parent, self.declared.by, current)
        self.result.steps.append(_kept(self.declared, own))

    def _look(self) -> tuple[Due, Parent]:
        with db.connect(self.engine) as connection:
            return due(connection, self.declared, self.options.now), Parent.of(connection, self.declared)

    def _mark(self, parent: Parent, own: Partition, state: State) -> None:
        if own.mark is not None and own.mark.state is state:
            return
        statement = marking(own.address, Mark(parent.table, own.low, own.high, state))

        def mark() -> None:
            with short_transaction(self.engine, self.project) as connection:
                wait_patiently(connection, self.project)
                execute(connection, statement)

        again(self.project, f"Marking {own.name}", mark)

    def _require_consent(self, connection: sa.Connection, found: Due) -> None:
        if found.detached or found.retiring:
            require_consent(
                connection,
                self.declared,
                found,
                accept_empty=self.options.accept_empty,
                checks_clock=self.options.now is None,
            )

    def _note(self, found: Due) -> None:
        for line in found.notes:
            self.result.note(line)


def _creation(found: Needed, declared: Declared, name: str, range_: Range, seconds: float = 0) -> Step:
    later = [other for other in found.ranges if other.low > found.now]
    there = sum(own.low is not None and own.low > found.now for own in found.attached)
    made = sum(other < range_ for other in later)
    why = f"{there + made} of {there + len(later)} partitions ahead are there ({declared.schedule.ahead})"
    if range_.low <= found.now:
        why = "rows of today have no partition" if range_.high > found.now else "rows that are kept have no partition"
    why = f"from {range_.low:%Y-%m-%d %H:%M} to {range_.high:%Y-%m-%d %H:%M} UTC: {why}"
    return Step(declared.table, Action.CREATE, name, why, range_.low, range_.high, seconds=seconds)


def _drop(declared: Declared, own: Partition) -> Step:
    return Step(declared.table, Action.DROP, own.name, reason(declared, own), *own.span, rows=own.rows, bytes=own.bytes)


def _kept(declared: Declared, own: Partition) -> Step:
    keep = declared.schedule.keep
    why = f"its rows are kept {f'for {keep}' if keep is not None else 'for ever'} now, and were to be dropped"
    return Step(declared.table, Action.KEEP, own.name, why, *own.span, bytes=own.bytes)
