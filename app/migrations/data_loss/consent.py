"""Consents to losing data: the revision's own, for its upgrade and with a reason, or the operator's, each time."""

from collections.abc import Callable

from app.migrations.errors import ConfigurationError
from app.migrations.rules import Finding, Verdict
from app.migrations.session import Direction, Step

ACCEPTED = "accepted by the operator"


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
        """Compares what the operator accepts with what is about to run.

        Raises:
            ConfigurationError: a revision that the operator accepts isn't about to run.
        """
        for revision in sorted(self._accepted - set(planned)):
            raise ConfigurationError(
                f"accept-data-loss speaks of {revision!r}, which isn't about to run; these are: {', '.join(planned)}."
            )

    def require_founded(self, step: Step, findings: list[Finding], names: set[str]) -> None:
        """Compares what a revision acknowledges with the names of the effects that were previewed.

        Raises:
            ConfigurationError: it acknowledges something else than what is at risk, so it looks misspelt.
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
        """Returns whether somebody has consented."""
        name = finding.effect.name()
        reason = self._acknowledged.get(finding.revision, {}).get(name)
        if finding.revision in self._accepted:
            reason = ACCEPTED
        if reason is not None:
            self._used.setdefault(finding.revision, {})[name] = reason
        return reason is not None

    def settle(self, step: Step, done: set[str], *, outside: bool) -> str | None:
        """Compares what a revision acknowledges with what it has done, before its transaction ends.

        Args:
            step: the revision.
            done: names of what it did.
            outside: it has left its transaction, so it can't be undone for a word too many.

        Returns:
            The consents that were needed.

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
    if step.direction is not Direction.UPGRADE:
        return {}
    acknowledged = getattr(step.module, "acknowledged", {})
    texts = [*acknowledged, *acknowledged.values()] if isinstance(acknowledged, dict) else [acknowledged]
    if not all(isinstance(text, str) for text in texts) or not isinstance(acknowledged, dict):
        raise ConfigurationError(
            f'{step.file_name}: acknowledged must look like {{"drop_column users.legacy": "reason"}}.'
        )
    for name, reason in acknowledged.items():
        if not reason.strip():
            raise ConfigurationError(f"{step.file_name}: acknowledged gives no reason for {name!r}.")
    return acknowledged


def _unfounded(step: Step, name: str, names: set[str]) -> ConfigurationError:
    return ConfigurationError(
        f"{step.file_name}: acknowledged speaks of {name!r}, and the revision does no such thing; it does: "
        f"{', '.join(sorted(names)) or 'nothing that could lose data'}."
    )
