"""Runs Alembic's commands: what `env.py` calls."""

import logging.config
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.util import CommandError

from app import db
from app.failures import Failure
from app.migrations import operations, terminal
from app.migrations.autogenerate import renames
from app.migrations.errors import ConfigurationError, Interrupted, MigrationError, PendingRevisions
from app.migrations.run import preflight, signals
from app.migrations.run.reporter import Progress
from app.migrations.run.runner import Runner
from app.settings import SettingsError

PLUGINS = ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname", operations.PLUGIN, renames.PLUGIN]


def run(context: EnvironmentContext, target_metadata: Callable[[], sa.MetaData]) -> None:
    """Runs the Alembic command that `context` stands for.

    A connection or an engine in `config.attributes["connection"]` is used as it is, instead of the setting
    `DATABASE_URL`. Logging is set up for the command line alone, and only there a failure ends the process, with an
    exit code of its own; in process it is raised as the error that carries the code.

    Args:
        context: Alembic's `context`.
        target_metadata: gives the metadata that a command compares with; others don't call it.

    Raises:
        MigrationError: what went wrong, in one line. Revisions that had finished stay applied, the one that failed is
            rolled back, except for what it did in an `autocommit_block()`.
    """
    on_command_line = context.config.cmd_opts is not None
    try:
        with ExitStack() as stack:
            if on_command_line:
                stack.enter_context(signals.heard())
                stack.enter_context(terminal.warnings_in_one_line())
            _run(context, target_metadata)
    except Exception as error:
        told = _as_operator_error(error)
        if told is None:
            raise
        failure = told
    except KeyboardInterrupt:
        if not on_command_line:
            raise
        failure = Interrupted("Interrupted while no revision was running.")
    else:
        return
    if not on_command_line or context.config.cmd_opts.raiseerr:  # type: ignore[union-attr]
        raise failure
    sys.stderr.write(f"FAILED: {failure}\n")
    raise SystemExit(failure.exit_code)


def _run(context: EnvironmentContext, target_metadata: Callable[[], sa.MetaData]) -> None:
    given = context.config.attributes.get("connection")
    dialect = given.dialect.name if given is not None else db.database_url().get_backend_name()
    context.configure(dialect_name=dialect)
    # From here on the environment itself: `context` stands for that of whichever thread came last.
    env = context.get_context().environment_context
    assert env is not None
    command = env.get_context().opts
    if env.config.cmd_opts is not None and env.config.config_file_name is not None:
        logging.config.fileConfig(env.config.config_file_name, disable_existing_loggers=False)
    options: dict[str, Any] = {"transaction_per_migration": True, "transactional_ddl": True}
    preflight.loadable(env.script)
    if env.is_offline_mode():
        _write_script(env, dialect, options)
        return
    if "template_args" in command:
        options |= _comparison(env.config, target_metadata)
    writes = "destination_rev" in command or command["fn"].__name__ == "do_ensure_version"
    with _connection(given, command, read_only=not writes) as connection:
        if not writes:
            _read(env, connection, options)
            return
        progress = env.config.attributes.get("progress") or Progress(live=_on_terminal(env))
        try:
            Runner(env, connection, progress, lambda: list(target_metadata().tables)).run(**options)
        finally:
            progress.close()


def _on_terminal(env: EnvironmentContext) -> bool:
    return env.config.cmd_opts is not None and sys.stderr.isatty()


def _as_operator_error(error: Exception) -> MigrationError | None:
    from app.backfill import BackfillError
    from app.encryption import CipherError

    if isinstance(error, SettingsError | CipherError):
        return ConfigurationError(str(error))
    if isinstance(error, BackfillError | db.DatabaseUnreachable):
        return MigrationError(str(error))
    if isinstance(error, sa.exc.DBAPIError):
        return MigrationError(f"The database refuses: {Failure.of(error)}")
    return error if isinstance(error, MigrationError) else None


def _comparison(config: Config, target_metadata: Callable[[], sa.MetaData]) -> dict[str, Any]:
    from app.migrations.autogenerate import revision
    from app.migrations.autogenerate.unmanaged import Unmanaged

    return {
        "target_metadata": target_metadata(),
        "autogenerate_plugins": PLUGINS,
        "compare_type": True,
        "compare_server_default": revision.compare_server_default,
        "include_name": revision.include_name,
        "include_object": Unmanaged(config).include_object,
        "render_item": revision.render_item,
        "process_revision_directives": revision.process_revision_directives,
    }


def _write_script(context: EnvironmentContext, dialect: str, options: dict[str, Any]) -> None:
    options |= {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}}
    if dialect == "sqlite":
        from app.migrations.operations.script import SqliteScript

        output = context.config.output_buffer or sys.stdout
        script = SqliteScript(output, context.script, _start(context))
        options |= {
            "output_buffer": script,
            "sqlite_table": script.table,
            "on_version_apply": lambda **_: script.verify(),
        }
    context.configure(dialect_name=dialect, **options)
    with context.begin_transaction():
        context.run_migrations()


def _start(context: EnvironmentContext) -> str | None:
    asked = context.get_starting_revision_argument()
    revision = None if asked in (None, "base") else context.script.get_revision(str(asked))
    return revision.revision if revision is not None else None


def _read(context: EnvironmentContext, connection: sa.Connection, options: dict[str, Any]) -> None:
    context.configure(connection=connection, dont_mutate=True, **options)
    opts = context.get_context().opts
    try:
        context.run_migrations()
    except CommandError as error:
        if "not up to date" in str(error):
            raise PendingRevisions("The database isn't at head. Bring it there: alembic upgrade head") from None
        raise
    if opts["fn"].__qualname__.startswith("check."):
        from app.migrations.autogenerate import revision

        revision.no_differences(opts["revision_context"])


@contextmanager
def _connection(
    given: sa.Engine | sa.Connection | None, command: Mapping[str, Any], *, read_only: bool
) -> Iterator[sa.Connection]:
    if isinstance(given, sa.Connection):
        if given.in_transaction() and not read_only:
            raise MigrationError(
                "The connection that was handed over is in a transaction, and each revision needs one of its own: "
                "hand over an engine, or a connection before its first statement."
            )
        yield given
        return
    engine = given if given is not None else _engine(command, read_only=read_only)
    connection = db.connect(engine)
    with connection:
        yield connection


def _engine(command: Mapping[str, Any], *, read_only: bool) -> sa.Engine:
    revision = command.get("revision_context")
    if revision is not None and not revision.command_args["autogenerate"]:
        return db.migration_engine("sqlite://")  # `alembic revision` without --autogenerate asks no database
    return db.migration_engine(read_only=read_only)
