"""Who has said that data may be lost: the revision, for its upgrade and with a reason, or the operator, each time."""

from collections.abc import Callable

from app.migrations.errors import ConfigurationError
from app.migrations.rules import Finding, Verdict
from app.migrations.session import Direction, Step

ACCEPTED = "accepted by the operator"


class Consents:
    """The consents of one run.

    Args:
        accepted: revisions whose losses the operator accepts.
        note: hears what couldn't be told, in one line each.
    """

    def __init__(self, accepted: set[str], note: Callable[[str], None]) -> None:
        self._accepted = accepted
        self._note = note
        self._acknowledged: dict[str, dict[str, str]] = {}
        self._foreseen: dict[str, set[str]] = {}
        self._used: dict[str, dict[str, str]] = {}

    def check(self, planned: list[str]) -> None:
        """Compares what the operator accepts with what is about to run.

        Raises:
            ConfigurationError: a revision isn't.
        """
        for revision in sorted(self._accepted - set(planned)):
            raise ConfigurationError(
                f"accept-data-loss speaks of {revision!r}, which isn't about to run; these are: {', '.join(planned)}."
            )

    def compare(self, step: Step, findings: list[Finding], names: set[str]) -> None:
        """Compares what a revision acknowledges with what was seen beforehand.

        Raises:
            ConfigurationError: it is misspelt.
        """
        revision = step.revision
        acknowledged = self._acknowledged[revision] = _acknowledged(step)
        self._foreseen[revision] = names
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
        """Whether somebody has consented."""
        name = finding.effect.name()
        reason = self._acknowledged.get(finding.revision, {}).get(name)
        if finding.revision in self._accepted:
            reason = ACCEPTED
        if reason is not None:
            self._used.setdefault(finding.revision, {})[name] = reason
        return reason is not None

    def settle(self, step: Step, done: set[str], *, outside: bool) -> str | None:
        """Compares what a revision acknowledges with what it has done; to be called in its transaction.

        Args:
            step: the revision.
            done: names of what it did.
            outside: it has left its transaction, so it can't be undone for a word too many.

        Returns:
            What was consented to.

        Raises:
            ConfigurationError: it acknowledges something that it hasn't done.
        """
        revision = step.revision
        done = done | self._foreseen.get(revision, set())
        for name in sorted(self._acknowledged.get(revision, {}).keys() - done):
            if not outside:
                raise _unfounded(step, name, done)
            self._note(str(_unfounded(step, name, done)))
        return "; ".join(f"{name}: {reason}" for name, reason in self._used.get(revision, {}).items()) or None


def _acknowledged(step: Step) -> dict[str, str]:
    if step.direction is not Direction.UPGRADE:
        return {}
    acknowledged = getattr(step.module, "acknowledged", {})
    if not isinstance(acknowledged, dict) or not all(
        isinstance(name, str) and isinstance(reason, str) for name, reason in acknowledged.items()
    ):
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
