"""Consents to losing data: the revision's own, for its upgrade and with a reason, or the operator's, each time."""

from collections.abc import Callable

from app.migrations.errors import ConfigurationError
from app.migrations.rules import Finding, Verdict
from app.migrations.rules.stalls import RULES
from app.migrations.session import Direction, Step


class Consents:
    """The consents of one run.

    Args:
        accepted: revisions whose losses the operator accepts.
        note: takes what isn't certain, in one line each.
    """

    def __init__(self, accepted: set[str], note: Callable[[str], None]) -> None:
        self._accepted = accepted
        self._note = note
        self._acknowledged: dict[str, dict[str, str]] = {}
        self._previewed: dict[str, set[str]] = {}
        self._used: dict[str, dict[str, str]] = {}

    def require_planned(self, planned: list[str]) -> None:
        """Raises a ConfigurationError if the operator accepts a revision that isn't about to run."""
        for revision in sorted(self._accepted - set(planned)):
            raise ConfigurationError(
                f"accept-data-loss speaks of {revision!r}, which isn't about to run; these are: {', '.join(planned)}."
            )

    def require_founded(self, step: Step, findings: list[Finding], names: set[str]) -> None:
        """Raises a ConfigurationError if a revision acknowledges something else than what is at risk: a misspelling.

        Args:
            step: the revision.
            findings: those of its preview.
            names: the names of all its effects.
        """
        revision = step.revision
        acknowledged = self._acknowledged[revision] = _acknowledged(step)
        self._previewed[revision] = names
        risks = {f.effect.name() for f in findings if f.verdict is Verdict.AT_RISK}
        for name in sorted(acknowledged.keys() - names):
            if risks - acknowledged.keys() and revision not in self._accepted:
                raise _unfounded(step, name, names)
            # What a revision does may be seen only when it does it.
            self._note(
                f"{revision}: acknowledged speaks of {name!r}, which wasn't seen beforehand; "
                "if the revision does no such thing, it will be rolled back"
            )

    def give(self, finding: Finding) -> bool:
        """Returns whether the revision or the operator consents to a finding, and remembers the reason."""
        revision, name = finding.step.revision, finding.effect.name()
        reason = self._acknowledged.get(revision, {}).get(name)
        if revision in self._accepted:
            reason = "accepted by the operator"
        if reason is not None:
            self._used.setdefault(revision, {})[name] = reason
        return reason is not None

    def settle(self, step: Step, done: set[str], *, outside: bool) -> str | None:
        """Returns the consents that a revision needed, before its transaction ends.

        Args:
            step: the revision.
            done: names of what it did.
            outside: it has left its transaction, so it can't be undone for a word too many.

        Raises:
            ConfigurationError: it acknowledges something that it hasn't done.
        """
        revision = step.revision
        done = done | self._previewed.get(revision, set())
        for name in sorted(self._acknowledged.get(revision, {}).keys() - done):
            if not outside:
                raise _unfounded(step, name, done)
            self._note(str(_unfounded(step, name, done)))
        return "; ".join(f"{name}: {reason}" for name, reason in self._used.get(revision, {}).items()) or None


def _acknowledged(step: Step) -> dict[str, str]:
    acknowledged = getattr(step.module, "acknowledged", {}) if step.direction is Direction.UPGRADE else {}
    if not isinstance(acknowledged, dict) or not all(
        isinstance(text, str) for pair in acknowledged.items() for text in pair
    ):
        raise ConfigurationError(
            f'{step.file_name}: acknowledged must look like {{"drop_column users.legacy": "reason"}}.'
        )
    for name, reason in acknowledged.items():
        if not reason.strip():
            raise ConfigurationError(f"{step.file_name}: acknowledged gives no reason for {name!r}.")
    return {
        name: reason for name, reason in acknowledged.items() if name.partition(" ")[0] not in RULES
    }  # the linter's


def _unfounded(step: Step, name: str, names: set[str]) -> ConfigurationError:
    return ConfigurationError(
        f"{step.file_name}: acknowledged speaks of {name!r}, and the revision does no such thing; it does: "
        f"{', '.join(sorted(names)) or 'nothing that could lose data'}."
    )
