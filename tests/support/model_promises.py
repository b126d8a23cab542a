"""The two promises for edited models: a round trip, and never silent."""

import difflib
import json
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import sqlalchemy as sa

from tests.support.command_processes import Done
from tests.support.database_access import connected
from tests.support.model_features import FEATURES
from tests.support.model_project import ModelProject, Parts, metadata_of, text_of
from tests.support.schema_dump import schema_of

REFUSED = 7
DRIFT = 8
KEPT = 16
_SPELLING = re.compile(r"::(?:text|character varying)(?:\[\])?|[()\s]")
_MADE: dict[str, dict[str, object]] = {}
_LEFT = """
    SELECT c.relkind::text || ' ' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND n.nspname IN ('public', 'elsewhere')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('e', 'i', 'a'))
    UNION ALL
    SELECT 'type ' || t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype IN ('e', 'd') AND n.nspname IN ('public', 'elsewhere')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'function ' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'public' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""
_BOOKS = ("alembic_version", "schema_ledger", "schema_leases")


class BrokenPromise(AssertionError):  # noqa: N818 - a finding, rather than a fault of the test
    """A step that ended otherwise than promised; the first line says which, and how."""


def round_trip(project: ModelProject, parts: Parts) -> str:
    """Brings an empty database to the models and back, and to them again; returns the revisions' text.

    Raises:
        BrokenPromise: a command failed, something differs, or something is left at base.
    """
    written = written_for(project, parts)
    if not written:
        raise BrokenPromise("autogenerate: no revision was written for an empty database")
    succeeds(project, "upgrade", "head")
    is_clean(project)
    is_made_of(project, parts)
    succeeds(project, "downgrade", "base")
    if left := left_over(project.url):
        raise BrokenPromise(f"downgrade base: left behind: {', '.join(left)}")
    succeeds(project, "upgrade", "head")
    is_clean(project, "again")
    return text_of(written)


def change(
    project: ModelProject,
    before: Parts,
    after: Parts,
    told_by: Sequence[str],
    *,
    partly: bool = False,
    traces: bool = False,
) -> str:
    """Brings a database of the models `before` to the models `after`, back and there again; returns the text.

    Where no revision is written, autogenerate and both checks have to name the change.

    Args:
        project: at head, and clean with the models `before`.
        before: those models.
        after: the changed ones.
        told_by: the dialects whose databases can tell the two apart; none is a change of Python's alone.
        partly: several options changed, of which a part may be named while a revision is written for the others.
        traces: it leaves names and spellings behind that a new database doesn't have.

    Raises:
        BrokenPromise: a command failed, or kept silent.
    """
    start = project.head()
    known = project.revisions()
    project.use(after)
    done = project.alembic("revision", "--autogenerate", "-m", "change it")
    written = [file for file in project.revisions() if file not in known]
    if not told_by:
        _writes_nothing(project, done, written)
        return ""
    if not written:
        _is_named(project, done, before, seen=_dialect(project) in told_by)
        return ""
    require(done, 0, "autogenerate")
    at_start = project.schema()
    succeeds(project, "upgrade", "head")
    at_end = project.schema()
    if partly and project.check().returncode == DRIFT:
        again = project.alembic("revision", "--autogenerate", "-m", "change it once more")
        _is_named(project, again, before, seen=True)
        return text_of(written)
    is_clean(project, "after upgrade")
    if not traces:
        is_made_of(project, after)
    succeeds(project, "downgrade", start)
    if project.schema() != at_start:  # else it is as clean as it was
        project.use(before)
        with project.without(written):
            is_clean(project, "after downgrade")
            if not traces:
                is_made_of(project, before, "after downgrade")
        project.use(after)
    succeeds(project, "upgrade", "head")
    if project.schema() != at_end:
        is_clean(project, "again")
    return text_of(written)


def keep(project: ModelProject, before: Parts, after: Parts, value: object) -> str:
    """Requires that a value of a column `value` means the same before and after a change, and on the way back.

    Returns the answer of a gate that refused, empty if none did.

    Args:
        project: at head with the models `before`, which are one table.
        before: those models.
        after: the changed ones.
        value: what the application wrote.

    Raises:
        BrokenPromise: a command failed, or the application reads something else.
    """
    (table,) = metadata_of(before).tables.values()
    with connected(project.url) as connection:
        connection.execute(table.insert().values(id=1, value=value))
    start = project.head()
    project.use(after)
    require(project.alembic("revision", "--autogenerate", "-m", "change it"), 0, "autogenerate")
    for parts, command in ((after, ("upgrade", "head")), (before, ("downgrade", start))):
        done = project.alembic(*command)
        if done.returncode == REFUSED:
            return _line(done)
        require(done, 0, " ".join(command))
        (table,) = metadata_of(parts).tables.values()
        with connected(project.url) as connection:
            read = connection.scalar(sa.select(table.c.value))
        if read != value:
            raise BrokenPromise(f"{command[0]}: {value!r} was written, and {read!r} is read")
    return ""


def written_for(project: ModelProject, parts: Parts) -> list[Path]:
    """Writes a revision for models, and returns its files."""
    known = project.revisions()
    project.use(parts)
    require(project.alembic("revision", "--autogenerate", "-m", "first tables"), 0, "autogenerate")
    return [file for file in project.revisions() if file not in known]


def is_clean(project: ModelProject, when: str = "") -> None:
    """Requires that both checks find nothing.

    Raises:
        BrokenPromise: one of them ends otherwise than with 0.
    """
    if not when:  # the other one compares the models in the same way
        require(project.alembic("check"), 0, "alembic check", when)
    require(project.check(), 0, "schema check", when)


def is_made_of(project: ModelProject, parts: Parts, when: str = "") -> None:
    """Requires that the revisions made what `create_all` makes of the models: the checks can be blind, too.

    Raises:
        BrokenPromise: the two schemas differ.
    """
    differing = unmade(project, parts)
    if differing:
        lines = [f"{name}: {found!r}, create_all makes {made!r}" for name, (found, made) in differing.items()]
        raise BrokenPromise(f"not what create_all makes{f' {when}' if when else ''}: {'; '.join(lines)}")


def unmade(project: ModelProject, parts: Parts) -> dict[str, tuple[object, object]]:
    """Returns what differs from what `create_all` makes of the models: each as it is, and as it should be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sa.exc.SAWarning)  # of what SQLAlchemy can't reflect, or not sort
        found, made = schema_of(project.url), _made(project, parts)
    both = {name: (found.get(name), made.get(name)) for name in sorted({*found, *made})}
    return {name: pair for name, pair in both.items() if _plain(pair[0]) != _plain(pair[1])}


def _plain(fact: object) -> object:
    """Returns a fact without what a server spells differently when it reads its own text again."""
    if isinstance(fact, tuple | list):
        return [_plain(part) for part in fact]
    return _SPELLING.sub("", fact) if isinstance(fact, str) else fact


def same_text(one: str, other: str) -> str:
    """Requires that a revision is the same whichever database it was written against, and returns its text.

    Raises:
        BrokenPromise: the texts differ.
    """
    if one != other:
        lines = list(difflib.unified_diff(one.splitlines(), other.splitlines(), n=0, lineterm=""))
        shown = [line for line in lines[2:] if not line.startswith("@@")]
        raise BrokenPromise("the files differ, sqlite's and postgresql's: " + " | ".join(shown))
    return one


def subjects_of(parts: Parts) -> Iterator[str]:
    """Returns the words of which an answer that names a change contains one."""
    for number, part in enumerate(parts):
        yield f"composed_{number}" if isinstance(part, list) else FEATURES[part[0]].subject or part[0]


def left_over(url: str) -> list[str]:
    """Returns tables, sequences, types and functions of a database, without ours."""
    with connected(url) as connection:
        if connection.dialect.name == "postgresql":
            names = connection.exec_driver_sql(_LEFT).scalars()
        else:
            question = (
                "SELECT type || ' ' || name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND sql IS NOT NULL"
            )
            names = connection.exec_driver_sql(question).scalars()
        return [name for name in names if not name.partition(" ")[2].startswith(_BOOKS)]


def _made(project: ModelProject, parts: Parts) -> dict[str, object]:
    key = json.dumps([project.url.partition("/test_")[0] if "postgresql" in project.url else "", parts])
    if key not in _MADE:
        _MADE[key] = _make(project, parts)
        if len(_MADE) > KEPT:
            del _MADE[next(iter(_MADE))]
    return _MADE[key]


def _make(project: ModelProject, parts: Parts) -> dict[str, object]:
    metadata = metadata_of(parts)
    with project.fresh() as url, connected(url) as connection:
        for need in project.needs:
            connection.exec_driver_sql(f"CREATE {need}")
        metadata.create_all(connection)
        if connection.dialect.name == "sqlite":  # to which `create_all` can't add the foreign keys of a cycle
            for table in metadata.tables.values():
                if any(
                    key.use_alter or key.referred_table in _referring_to(table) for key in table.foreign_key_constraints
                ):
                    table.drop(connection)
                    connection.execute(sa.schema.CreateTable(table))
        connection.commit()
        return schema_of(url)


def _referring_to(table: sa.Table) -> set[sa.Table]:
    others = [other for other in table.metadata.tables.values() if other is not table]
    return {o for o in others if any(key.referred_table is table for key in o.foreign_key_constraints)}


def _writes_nothing(project: ModelProject, done: Done, written: list[Path]) -> None:
    if written:
        raise BrokenPromise(f"a revision was written for what no database can tell: {text_of(written)}")
    require(done, 0, "autogenerate")
    is_clean(project)


def _is_named(project: ModelProject, done: Done, parts: Parts, *, seen: bool) -> None:
    subjects = list(subjects_of(parts))
    answers: list[tuple[str, Done, int | None]] = [("autogenerate", done, None)]
    if seen:
        answers += [
            ("alembic check", project.alembic("check"), DRIFT),
            ("schema check", project.check(), DRIFT),
        ]
    for command, answer, code in answers:
        text = f"{answer.stdout}\n{answer.stderr}"
        if code is not None and answer.returncode != code:
            raise BrokenPromise(
                f"silent: nothing was written, and {command} ends with {answer.returncode}: {_line(answer)}"
            )
        if (
            "Nothing has changed" in text
            or not any(names(text, subject) for subject in subjects)
            or "Traceback" in text
        ):
            raise BrokenPromise(f"silent: nothing was written, and {command} says: {_line(answer)}")


def names(text: str, subject: str) -> bool:
    """Returns whether a text names an object, as `check.value` or `of check`: `alembic check` doesn't name a table."""
    name = re.escape(subject)
    return bool(
        re.search(
            rf"(?<!\w){name}[._]\w|\b(?:table|of|in|on|to|type|enum|domain|sequence) \"?{name}\b", text, re.IGNORECASE
        )
    )


def succeeds(project: ModelProject, *args: str) -> None:
    require(project.alembic(*args), 0, " ".join(args[:2]))


def require(done: Done, code: int, command: str, when: str = "") -> None:
    if done.returncode != code:
        raise BrokenPromise(f"{command}{f' {when}' if when else ''}: ends with {done.returncode}: {_line(done)}")


def _line(done: Done) -> str:
    """Returns the line that says the most: the last one of a traceback, else the failure, else all of it."""
    lines = [line.strip() for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
    if any(line.startswith("Traceback") for line in lines):
        errors = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception", "NotImplemented"))]
        return f"TRACEBACK {errors[-1] if errors else lines[-1]}"
    return next((line for line in lines if line.startswith("FAILED")), " / ".join(lines))


def _dialect(project: ModelProject) -> str:
    return "sqlite" if project.url.startswith("sqlite") else "postgresql"
