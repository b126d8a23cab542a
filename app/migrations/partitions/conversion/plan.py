"""The plan of a conversion, in steps: the SQL of each, its lock, who waits for it, and about how long it takes."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.migrations.ahead import Mark, State, bound_check, key_index
from app.migrations.partitions.carrying import comment_on
from app.migrations.partitions.conversion.estimates import Estimate
from app.migrations.partitions.conversion.look import Look
from app.migrations.partitions.conversion.swap import Target, listed_like, locks, swap_statements
from app.migrations.partitions.facts import TableFacts
from app.migrations.snapshots import quote

NOBODY = "nobody"
ALL = "its readers and writers, for a moment; tried again until it is free at once"
_IS_BEFORE_INSERT = re.compile(r'CREATE TRIGGER (?:"(?:[^"]|"")+"|\S+) BEFORE INSERT\b')


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        lock: of which table, in PostgreSQL's words.
        waits: those who wait for it.
        seconds: about how long; 0 is a moment.
        done: an earlier run has done it.
    """

    title: str
    statements: list[str]
    lock: str
    waits: str
    seconds: float = 0
    done: bool = False


@dataclass(frozen=True)
class Plan:
    """A conversion, or the way back.

    Attributes:
        code: `ready`, `refused`, or `nothing` if nothing is left to do.
        bound: the end of the first partition, UTC.
        changes: what becomes different for an application, a line each.
        refusals: what is in the way, a line each.
        done: it was done; else it is only shown.
        held_seconds: how long the last transaction held strong locks.
        created: names of partitions that were made ahead.
    """

    database: str
    table: str
    by: str
    code: str
    bound: dt.datetime | None = None
    estimate: Estimate | None = None
    steps: list[Step] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    is_undo: bool = False
    done: bool = False
    seconds: float = 0
    held_seconds: float = 0
    created: list[str] = field(default_factory=list)


def check_statements(target: Target) -> list[str]:
    """Returns the statements that add the CHECK of the bound, with its mark; an earlier one is dropped with it."""
    facts, name = target.facts, quote(target.bound_check)
    drop = f"DROP CONSTRAINT {name}, " if facts.constraint(target.bound_check) is not None else ""
    column = f"{quote(target.by)} < {target.typed_literal()}"
    mark = Mark(facts.name, None, target.bound, State.CONVERTING)
    return [
        f"ALTER TABLE {facts.address} {drop}ADD CONSTRAINT {name} CHECK ({column}) NOT VALID",
        comment_on(f"CONSTRAINT {name} ON {facts.address}", str(mark)),
    ]


def validate_statement(facts: TableFacts) -> str:
    """Returns the statement that proves the bound."""
    return f"ALTER TABLE {facts.address} VALIDATE CONSTRAINT {quote(bound_check(facts.name))}"


def analyze_statement(facts: TableFacts) -> str:
    """Returns the statement that collects the statistics of a partitioned table."""
    return f"ANALYZE {facts.address}"


def key_statement(target: Target) -> str:
    """Returns the statement that builds the index of the new primary key."""
    facts, key = target.facts, target.facts.primary_key
    assert key is not None
    return key_index_statement(facts, facts.index_of(key.name).name, target.key, target.key_index, facts.address)


def key_index_statement(facts: TableFacts, like: str, columns: list[str], name: str, address: str) -> str:
    """Returns the statement that builds a unique index concurrently, with the options of another one."""
    old = facts.index(like)
    assert old is not None
    space = f" TABLESPACE {old.tablespace}" if old.tablespace else ""
    return f"CREATE UNIQUE INDEX CONCURRENTLY {quote(name)} ON {address} {listed_like(old, columns)}{space}"


def drop_key_statement(facts: TableFacts, name: str) -> str:
    """Returns the statement that drops an index that a killed run has left."""
    return f"DROP INDEX CONCURRENTLY IF EXISTS {facts.schema}.{quote(name)}"


def steps_of(found: Look) -> list[Step]:
    """Returns the steps of a conversion."""
    target, facts = found.target, found.facts
    exclusive = f"ACCESS EXCLUSIVE on {facts.name}"
    vacuum = f"SHARE UPDATE EXCLUSIVE on {facts.name}, as VACUUM"
    has_bound = found.bound is not None and not found.is_near
    title = f"All rows lie before {target.bound} UTC: a CHECK for new rows"
    steps = [Step(title, check_statements(target), exclusive, ALL, done=has_bound)]
    read, build = found.estimate.read, found.estimate.build
    is_proved = found.is_proved and has_bound
    steps.append(Step("The CHECK is proved", [validate_statement(facts)], vacuum, NOBODY, read, done=is_proved))
    if not target.keeps_key:
        statements = [drop_key_statement(facts, key_index(facts.name))] if found.has_broken_key else []
        columns = ", ".join(target.key)
        build_it = [*statements, key_statement(target)]
        steps.append(Step(f"The key ({columns}) is built", build_it, vacuum, NOBODY, build, done=found.has_key))
    title = f"{facts.name} becomes {target.partition}, the first partition of a new {facts.name}: one transaction"
    modes = "; ".join(f"{mode} on {table.rpartition('.')[2]}" for table, mode in locks(facts).items())
    steps.append(Step(title, swap_statements(target), modes, ALL))
    schedule = found.declared.schedule
    title = f"Partitions are made ahead: a {schedule.every} each, for {schedule.ahead}"
    steps.append(Step(title, [], f"SHARE UPDATE EXCLUSIVE on {facts.name}", NOBODY))
    title = "The planner gets its statistics, which no autovacuum collects of a partitioned table"
    steps.append(Step(title, [analyze_statement(facts)], vacuum, NOBODY))
    return steps


def changes_of(target: Target) -> Iterator[str]:
    """Yields what becomes different for an application."""
    facts, key = target.facts, target.facts.primary_key
    if key is not None and not target.keeps_key:
        columns = ", ".join(key.columns)
        yield f"A look-up by {columns} alone visits every partition: give {target.by} as well where it is known."
        yield f"ON CONFLICT ({columns}) fails: no index is unique on that. ON CONFLICT ({', '.join(target.key)}) works."
        has_sequence = any(one.column in key.columns for one in facts.sequences)
        then = "the sequence that gives it goes on as before" if has_sequence else "a second row with it isn't refused"
        yield f"({columns}) alone isn't kept unique any more; {then}."
    yield f"An UPDATE of {target.by} that moves a row to another partition is a DELETE and an INSERT."
    yield "An INSERT beyond the last partition fails: run schema partitions maintain every day."
    for trigger in facts.triggers:
        if trigger.is_for_rows and _IS_BEFORE_INSERT.match(trigger.definition):
            yield (
                f"An INSERT fails if the trigger {trigger.name} changes {target.by} so that the row belongs in another "
                "partition, or gives it one where it was NULL."
            )
    for foreign_key in facts.incoming:
        if foreign_key.address == facts.address:
            yield f"The foreign key {foreign_key.name} of the table to itself goes: no key of it is unique on its own."
            continue
        yield (
            f"The foreign key {foreign_key.name} of {foreign_key.table} goes, with its ON DELETE: rows there whose row "
            f"of {facts.name} is gone are their own retention's."
        )


def plan_of(found: Look, database: str) -> Plan:
    """Returns the plan of a conversion."""
    declared = found.declared
    if found.is_partitioned:
        return Plan(database, declared.table, declared.by, "nothing")
    if found.refusals:
        return Plan(database, declared.table, declared.by, "refused", estimate=found.estimate, refusals=found.refusals)
    return Plan(
        database,
        declared.table,
        declared.by,
        "ready",
        found.wanted_bound,
        found.estimate,
        steps_of(found),
        [*changes_of(found.target)],
    )
