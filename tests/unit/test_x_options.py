"""Options `-x NAME=VALUE`: a misspelt one is refused with the right name, another project's is left alone."""

import pytest
from alembic.config import CommandLine, Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from app import revision_api
from app.migrations import x_options
from app.migrations.errors import ConfigurationError
from tests.support.alembic_in_process import INI


def environment(*names: str) -> EnvironmentContext:
    arguments = [word for name in names for word in ("-x", name)]
    options = CommandLine().parser.parse_args([*arguments, "current"])
    config = Config(INI, cmd_opts=options)
    return EnvironmentContext(config, ScriptDirectory.from_config(config))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lock-timeout=5", "lock_timeout"),
        ("LOCK_TIMEOUT=5", "lock_timeout"),
        ("locktimeout=5", "lock_timeout"),
        ("lock_timout=5", "lock_timeout"),
        ("lock_timeouts=5", "lock_timeout"),
        ("lock_timeout =5", "lock_timeout"),
        ("lock_timeout:5", "lock_timeout"),
        ("lock-timeout", "lock_timeout"),
        ("accept_data_loss=1", "accept-data-loss"),
        ("accept-dataloss=1", "accept-data-loss"),
        ("acept-data-loss=1", "accept-data-loss"),
        ("Accept-Data-Loss=1", "accept-data-loss"),
        ("decrypt-secrets=yes", "decrypt_secrets"),
        ("decrypt_secret=yes", "decrypt_secrets"),
        ("not_a_rename=users.nick", "not-a-rename"),
        ("not-rename=users.nick", "not-a-rename"),
        ("phases=expand", "phase"),
        ("Phase=expand", "phase"),
    ],
)
def test_a_name_that_is_nearly_known_is_refused(name: str, meant: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        x_options.require_spelling(environment("tenant=north", name))
    assert str(caught.value) == f"There is no option -x {name.partition('=')[0]!r}: write -x {meant}=VALUE"


@pytest.mark.parametrize("name", [*x_options.KNOWN, "tenant", "data", "schema", "statement_timeout", "secrets", ""])
def test_known_names_and_those_of_other_projects_are_accepted(name: str) -> None:
    x_options.require_spelling(environment(f"{name}=1", name))


def test_the_name_that_revisions_read_is_known() -> None:
    assert revision_api._wants_decryption({x_options.DECRYPT_SECRETS: "yes"}, as_sql=False)
