"""The options `-x NAME=VALUE` of Alembic's command line that the package reads."""

import difflib
import re

from alembic.runtime.environment import EnvironmentContext

from app.migrations.errors import ConfigurationError
from app.migrations.phases import Phase
from app.migrations.session import Command, Session

ACCEPT_DATA_LOSS = "accept-data-loss"
DECRYPT_SECRETS = "decrypt_secrets"
LOCK_TIMEOUT = "lock_timeout"
NOT_A_RENAME = "not-a-rename"
PHASE = "phase"
PLAIN = "plain"
KNOWN = (ACCEPT_DATA_LOSS, DECRYPT_SECRETS, LOCK_TIMEOUT, NOT_A_RENAME, PHASE, PLAIN)
_SIMILAR = 0.8  # of 1; a misspelling of one or two letters is above, another word below


def require_spelling(env: EnvironmentContext) -> None:
    """Raises `ConfigurationError` for a name that is nearly a known one, which would be ignored.

    Other names are left to the project's `env.py`, which may read options of its own.
    """
    for argument in env.get_x_argument():
        name = argument.partition("=")[0]
        meant = _misspelt(name)
        if meant is not None:
            raise ConfigurationError(f"There is no option -x {name!r}: write -x {meant}=VALUE")


def lock_wait(env: EnvironmentContext, default: float) -> float:
    """Returns the longest wait for another run, in seconds: `-x lock_timeout=SECONDS`."""
    try:
        value = float(env.get_x_argument(as_dictionary=True).get(LOCK_TIMEOUT, default))
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise ConfigurationError(f"-x {LOCK_TIMEOUT} must be a number of seconds, 0 or more.")
    return value


def wants_plain(env: EnvironmentContext) -> bool:
    """Returns whether operations are to be plain, in a new revision and in a run: `-x plain=yes`."""
    value = env.get_x_argument(as_dictionary=True).get(PLAIN, "no")
    if value not in ("yes", "no"):
        raise ConfigurationError(f"-x {PLAIN} must be yes or no.")
    return value == "yes"


def last_phase(env: EnvironmentContext, command: Command) -> Phase | None:
    """Returns the last phase that an upgrade runs: `-x phase=expand`; None for all."""
    value = env.get_x_argument(as_dictionary=True).get(PHASE, Session.of(env.config).phase)
    if value is None:
        return None
    if value not in list(Phase):
        raise ConfigurationError(f"-x {PHASE} must be one of {', '.join(Phase)}.")
    if command.moves_revisions and command is not Command.UPGRADE:
        raise ConfigurationError(f"-x {PHASE} goes with alembic upgrade: no other command stops at a phase.")
    return Phase(value)


def accepted_losses(env: EnvironmentContext) -> set[str]:
    """Returns the revisions whose losses the operator accepts: `-x accept-data-loss=REVISION,REVISION`."""
    pairs = [argument.partition("=") for argument in env.get_x_argument()]
    values = [value.strip(" ,") for name, _, value in pairs if name == ACCEPT_DATA_LOSS]
    named = {revision.strip() for value in values for revision in value.split(",")}
    return named | set(Session.of(env.config).accepted_losses)


def _misspelt(name: str) -> str | None:
    """Returns the known name that another one resembles; None if it is one itself, or resembles none."""
    if name in KNOWN:
        return None
    letters = {_letters(known): known for known in KNOWN}
    similar = difflib.get_close_matches(_letters(name), letters, n=1, cutoff=_SIMILAR)
    return letters[similar[0]] if similar else None


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
