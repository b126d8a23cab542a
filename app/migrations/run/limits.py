"""What the operator says for one run, with Alembic's `-x`."""

from alembic.runtime.environment import EnvironmentContext

from app.migrations.errors import ConfigurationError
from app.migrations.session import Session


def lock_wait(env: EnvironmentContext, default: float) -> float:
    """Returns the longest wait for another run, in seconds: `-x lock_timeout=SECONDS`.

    Raises:
        ConfigurationError: it is no number of seconds.
    """
    try:
        value = float(env.get_x_argument(as_dictionary=True).get("lock_timeout", default))
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise ConfigurationError("-x lock_timeout must be a number of seconds, 0 or more.")
    return value


def accepted_losses(env: EnvironmentContext) -> set[str]:
    """Returns the revisions whose losses the operator accepts: `-x accept-data-loss=REVISION`, as often as needed."""
    pairs = [argument.partition("=") for argument in env.get_x_argument()]
    named = {value for name, _, value in pairs if name == "accept-data-loss"}
    return named | set(Session.of(env.config).accepted_losses)
