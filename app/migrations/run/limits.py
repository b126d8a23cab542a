"""How long a run waits and tries, and what it may lose: the settings, and Alembic's `-x`."""

from dataclasses import dataclass

from alembic.runtime.environment import EnvironmentContext

from app import settings
from app.migrations.errors import ConfigurationError
from app.migrations.run.timeouts import Timeouts


@dataclass(frozen=True)
class Limits:
    """What one run keeps to.

    Attributes:
        lock_wait: the longest wait for another run, in seconds.
        retry: how long after its first failure a revision that meets a lock is tried again, in seconds.
        timeouts: of a statement, where its revision declares none.
        accepted_losses: the revisions whose losses the operator accepts.
    """

    lock_wait: float
    retry: float
    timeouts: Timeouts
    accepted_losses: frozenset[str]

    @classmethod
    def of(cls, env: EnvironmentContext) -> "Limits":
        """Those of a command.

        Raises:
            ConfigurationError: `-x lock_timeout` is no number of seconds.
            SettingsError: a setting isn't.
        """
        options = settings.load()
        return cls(
            lock_wait=_lock_wait(env, options.number("SCHEMA_LOCK_TIMEOUT", 60)),
            retry=options.number("SCHEMA_RETRY_TIMEOUT", 120),
            timeouts=Timeouts(
                options.number("SCHEMA_TABLE_LOCK_TIMEOUT", 3), options.number("SCHEMA_STATEMENT_TIMEOUT", 60)
            ),
            accepted_losses=_accepted_losses(env),
        )


def _lock_wait(env: EnvironmentContext, default: float) -> float:
    try:
        value = float(env.get_x_argument(as_dictionary=True).get("lock_timeout", default))
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise ConfigurationError("-x lock_timeout must be a number of seconds, 0 or more.")
    return value


def _accepted_losses(env: EnvironmentContext) -> frozenset[str]:
    """`-x accept-data-loss=REVISION`, as often as needed."""
    pairs = [argument.partition("=") for argument in env.get_x_argument()]
    named = {value for name, _, value in pairs if name == "accept-data-loss"}
    return frozenset(named | set(env.config.attributes.get("accept_data_loss", ())))
