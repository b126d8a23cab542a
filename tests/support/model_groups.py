"""Features side by side in one project: each has tables of its own, and one of its options changes at a time."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from tests.support.model_features import AS_IT_IS, FEATURES, Feature
from tests.support.model_project import ModelProject, Part, metadata_of, text_of
from tests.support.model_promises import DRIFT, BrokenPromise, is_clean, names, require, succeeds, unmade

SIZE = 12
ALONE = ("key_with_table", "key_without_table")  # a table that goes and one that comes could be a rename


@dataclass(frozen=True)
class Group:
    """Features that the same databases have, and that share neither a table nor a type."""

    features: tuple[Feature, ...]

    @cached_property
    def dialects(self) -> tuple[str, ...]:
        """Returns the databases that have them."""
        return self.features[0].dialects

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """Returns the extensions and schemas that they need."""
        return tuple(dict.fromkeys(need for feature in self.features for need in feature.needs))

    @property
    def as_they_are(self) -> list[Part]:
        """Returns the features without a change."""
        return [(feature.name, AS_IT_IS) for feature in self.features]

    @property
    def changes(self) -> Iterator[list[Part]]:
        """Yields the features with the first change of each, then with the second, as long as one has any."""
        for changes in itertools.zip_longest(*(feature.changes for feature in self.features), fillvalue=AS_IT_IS):
            yield [
                (feature.name, AS_IT_IS if change in feature.traces else change)
                for feature, change in zip(self.features, changes, strict=True)
            ]

    def __str__(self) -> str:
        return f"{self.features[0].name} to {self.features[-1].name}"


def groups(features: Sequence[Feature] = tuple(FEATURES.values()), size: int = SIZE) -> list[Group]:
    """Puts features into as few groups as there can be."""
    made: list[Group] = []
    kinds = itertools.groupby(sorted(features, key=_kind), key=_kind)
    for _, alike in kinds:
        waiting: list[Feature] = []
        for feature in alike:
            if waiting and (len(waiting) == size or not _fit(*waiting, feature)):
                made.append(Group(tuple(waiting)))
                waiting = []
            waiting.append(feature)
        made.append(Group(tuple(waiting)))
    return made


def change_each(project: ModelProject, before: list[Part], after: list[Part]) -> str:
    """Brings a database of the features to one change of each, back and there again; returns the revisions' text.

    The change of each feature is in the revision or named, and nothing else is.

    Raises:
        BrokenPromise: a command failed, or kept silent.
    """
    start, known, at_start = project.head(), project.revisions(), project.schema()
    project.use(after)
    done = project.alembic("revision", "--autogenerate", "-m", "change each")
    require(done, 0, "autogenerate")
    written = [file for file in project.revisions() if file not in known]
    text = text_of(written)
    answer = f"{text}\n{done.stdout}\n{done.stderr}"
    for name, change in after:
        told = bool(change) and bool(FEATURES[name].tells(change))
        if told != _is_told(answer, name, [other for other, _ in after]):
            raise BrokenPromise(f"{name}:{change}: {'silent' if told else 'told, though it is no change'}: {text}")
    succeeds(project, "upgrade", "head")
    at_end = project.schema()
    _is_clean_or_named(project, after)
    succeeds(project, "downgrade", start)
    if project.schema() != at_start:
        project.use(before)
        with project.without(written):
            is_clean(project, "after downgrade")
        project.use(after)
    succeeds(project, "upgrade", "head")
    if project.schema() != at_end:
        _is_clean_or_named(project, after)
    succeeds(project, "downgrade", start)
    project.use(before)
    project.remove(written)
    return text


def _is_told(text: str, name: str, others: list[str]) -> bool:
    """Returns whether a revision concerns a feature, or what was said of it names it."""
    subject = FEATURES[name].subject or name
    for other in others:
        if other.startswith(f"{name}_"):
            text = text.replace(other, "another")
    return names(text, subject) or bool(re.search(rf"(?<!type_=)[\"'\\]{re.escape(subject)}(?![^\W_])", text))


def _is_clean_or_named(project: ModelProject, parts: list[Part]) -> None:
    missing, answer = unmade(project, parts), project.check()
    if answer.returncode not in (0, DRIFT) or (missing and not answer.returncode):
        raise BrokenPromise(f"schema check: ends with {answer.returncode}: {answer.stdout} {answer.stderr}; {missing}")
    subjects = [FEATURES[name].subject or name for name, _ in parts]
    silent = [fact for fact in missing if not any(s in fact and names(answer.stdout, s) for s in subjects)]
    if silent:
        raise BrokenPromise(f"silent: schema check doesn't name {', '.join(silent)}: {answer.stdout}")
    if answer.returncode == DRIFT:
        again = project.alembic("revision", "--autogenerate", "-m", "change once more")
        require(again, 0, "autogenerate once more")
        if "No revision was written" not in again.stdout + again.stderr:
            raise BrokenPromise(f"autogenerate writes more the second time: {again.stdout} {again.stderr}")


def _kind(feature: Feature) -> tuple[object, ...]:
    return feature.dialects, feature.since, bool(feature.needs), len(feature.changes)


def _fit(*features: Feature) -> bool:
    if any(feature.name in ALONE for feature in features) and len(features) > 1:
        return False
    if len({(*feature.dialects, feature.since, bool(feature.needs)) for feature in features}) > 1:
        return False
    tables = [name for feature in features for name in _tables(feature.name)]
    return len({*tables}) == len(tables)


@cache
def _tables(feature: str) -> set[str]:
    """Returns the tables that a feature has before or after any of its changes."""
    return {
        name for change in (AS_IT_IS, *FEATURES[feature].changes) for name in metadata_of([(feature, change)]).tables
    }
