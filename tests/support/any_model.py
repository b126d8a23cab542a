"""The features of models, run one after another: a scoreboard.

    python -m tests.support.any_model [--dialect postgresql] [--verbose] [NAME…]

A name is a feature's, or a feature's and a change's: `index_partial`, `enum:value added`. `*` is for any characters.
"""

import argparse
import itertools
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from tests.support.databases import Servers, database
from tests.support.model_features import AS_IT_IS, BOTH, FEATURES, Feature
from tests.support.model_project import ModelProject
from tests.support.model_promises import BrokenPromise, change, keep, round_trip, same_text

KINDS = ("sqlite", "postgresql", "postgresql17")
MAJORS = {"postgresql": 18, "postgresql17": 17, "postgresql15": 15}
KEPT = 4  # stages, for the changes of a feature follow each other


@dataclass(frozen=True)
class Case:
    """A feature or one of its changes, on a kind of database."""

    feature: Feature
    change: str
    kind: str

    def __str__(self) -> str:
        return f"{self.feature.name}{f':{self.change}' if self.change else ''} [{self.kind}]"


@dataclass(frozen=True)
class Outcome:
    """The text of the revision that was written, and the fault; empty if there is none."""

    text: str = ""
    fault: str = ""


@dataclass(frozen=True)
class _Stage:
    project: ModelProject
    outcome: Outcome


def dialect_of(kind: str) -> str:
    return kind.rstrip("0123456789")


def cases(kinds: Sequence[str] = KINDS, patterns: Sequence[str] = ("*",)) -> Iterator[Case]:
    """Returns every case that a kind of database can have."""
    for feature in FEATURES.values():
        for change_, kind in itertools.product((AS_IT_IS, *feature.changes), kinds):
            has_it = dialect_of(kind) in feature.dialects and MAJORS.get(kind, feature.since) >= feature.since
            names = feature.name, f"{feature.name}:{change_}"
            if has_it and any(fnmatchcase(name, pattern) for name in names for pattern in patterns):
                yield Case(feature, change_, kind)


class Matrix:
    """Runs cases in folders and on databases of its own; what the changes of a feature have in common runs once.

    Args:
        servers: the PostgreSQL servers.
        folder: an empty one.
    """

    def __init__(self, servers: Servers, folder: Path) -> None:
        self._servers = servers
        self._folder = folder
        self._numbers = itertools.count(1)
        self._stages: dict[tuple[str, str], tuple[_Stage, ExitStack]] = {}
        self._outcomes: dict[tuple[str, str, str], Outcome] = {}

    def close(self) -> None:
        """Drops the databases that are left."""
        while self._stages:
            self._forget_oldest()

    def outcome(self, case: Case) -> Outcome:
        """Runs a case, unless it ran already."""
        key = (case.feature.name, case.change, case.kind)
        if key not in self._outcomes:
            stage = self._stage(case.feature, case.kind)
            self._outcomes[key] = self._changed(case, stage) if case.change else stage.outcome
        return self._outcomes[key]

    def same_file(self, feature: Feature, change_: str = AS_IT_IS) -> Outcome:
        """Compares the file written against SQLite with that written against PostgreSQL."""
        outcomes = [self.outcome(Case(feature, change_, kind)) for kind in BOTH]
        if any(outcome.fault for outcome in outcomes):
            return Outcome(fault="not compared: " + "; ".join(outcome.fault for outcome in outcomes if outcome.fault))
        return _attempt(lambda: same_text(*(outcome.text for outcome in outcomes)))

    def kept(self, case: Case, value: object) -> Outcome:
        """Applies a change to a table that holds a value, and takes it back."""
        stage = self._stage(case.feature, case.kind)
        if stage.outcome.fault:
            return Outcome(fault=f"before the change: {stage.outcome.fault}")
        before, after = ([(case.feature.name, change_)] for change_ in (AS_IT_IS, case.change))
        with self._database(case.kind, stage.project.url) as url:
            project = stage.project.copy(self._new_folder(), url)
            return _attempt(lambda: keep(project, before, after, value))

    def project(self, kind: str, exits: ExitStack, needs: Sequence[str] = ()) -> ModelProject:
        """Returns a project on an empty database, both there until `exits` closes."""
        url = exits.enter_context(self._database(kind))
        return ModelProject(self._new_folder(), url, partial(self._database, kind), needs)

    def _stage(self, feature: Feature, kind: str) -> _Stage:
        key = (feature.name, kind)
        if key not in self._stages:
            exits = ExitStack()
            project = self.project(kind, exits, feature.needs)
            outcome = _attempt(lambda: round_trip(project, [(feature.name, AS_IT_IS)]))
            self._stages[key] = (_Stage(project, outcome), exits)
            while len(self._stages) > KEPT:
                self._forget_oldest()
        return self._stages[key][0]

    def _changed(self, case: Case, stage: _Stage) -> Outcome:
        if stage.outcome.fault:
            return Outcome(fault=f"before the change: {stage.outcome.fault}")
        before, after = ([(case.feature.name, change_)] for change_ in (AS_IT_IS, case.change))
        with self._database(case.kind, stage.project.url) as url:
            project = stage.project.copy(self._new_folder(), url)
            told_by, traces = case.feature.tells(case.change), case.change in case.feature.traces
            return _attempt(lambda: change(project, before, after, told_by, traces=traces))

    def _database(self, kind: str, template: str | None = None) -> AbstractContextManager[str]:
        return database(kind, self._servers, self._folder, template)

    def _new_folder(self) -> Path:
        return self._folder / f"project_{next(self._numbers)}"

    def _forget_oldest(self) -> None:
        _, exits = self._stages.pop(next(iter(self._stages)))
        exits.close()


def _attempt(run: Callable[[], str]) -> Outcome:
    try:
        return Outcome(text=run())
    except BrokenPromise as fault:
        return Outcome(fault=str(fault))
    except Exception as error:  # noqa: BLE001 - the next case still runs
        return Outcome(fault=f"TRACEBACK {type(error).__name__}: {error} ({traceback.format_exc()})")


def main() -> int:
    """Prints a line for each case, and returns 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialect", action="append", choices=KINDS, help="a kind of database; both, without")
    parser.add_argument("--verbose", action="store_true", help="print the whole answer, and the revisions")
    parser.add_argument("names", nargs="*", default=["*"])
    options = parser.parse_args()
    kinds, started, counts = options.dialect or BOTH, time.monotonic(), Counter[str]()
    servers = Servers()
    with ExitStack() as exits:
        exits.callback(servers.stop)
        folder = exits.enter_context(tempfile.TemporaryDirectory(prefix="any-model-", ignore_cleanup_errors=True))
        matrix = Matrix(servers, Path(folder))
        exits.callback(matrix.close)
        for case in cases(kinds, options.names):
            outcome = matrix.outcome(case)
            counts[_print(str(case), case.kind, outcome, verbose=options.verbose)] += 1
            if case.kind == kinds[-1] and set(BOTH) <= {*kinds} and case.feature.dialects == BOTH:
                same = matrix.same_file(case.feature, case.change)
                if not same.fault.startswith("not compared"):
                    name = str(case).replace(case.kind, "same file")
                    counts[_print(name, "same file", same, verbose=options.verbose)] += 1
    print(", ".join(f"{word}: {number}" for word, number in sorted(counts.items())))  # noqa: T201 - a command
    print(f"{time.monotonic() - started:.0f} s")  # noqa: T201 - as above
    return int(any(word.startswith("fails") for word in counts))


def _print(name: str, kind: str, outcome: Outcome, *, verbose: bool) -> str:
    fault = outcome.fault if verbose else " ".join(outcome.fault.split())[:300]
    print(f"{name}: {fault or 'ok'}", flush=True)  # noqa: T201 - a command
    if verbose and outcome.text:
        print(outcome.text)  # noqa: T201 - as above
    return f"fails on {kind}" if outcome.fault else f"ok on {kind}"


if __name__ == "__main__":
    sys.exit(main())
