"""The entry of Alembic's commands: `env.py` calls `run`."""

import logging.config
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import write_hooks
from alembic.util import CommandError

from app import db, server_session
from app.migrations import one_command, terminal, x_options
from app.migrations.errors import ConfigurationError, Interrupted, MigrationError, PendingRevisions, as_migration_error
from app.migrations.operations import PLAIN
from app.migrations.phases import Phase, until_stop
from app.migrations.project import BASE, Project
from app.migrations.run import preflight, revision_files, signals
from app.migrations.run.ledger import Ledger
from app.migrations.run.reporter import Reporter, log
from app.migrations.run.runner import Runner
from app.migrations.session import Command, Session, Step


def run(context: EnvironmentContext, project: Project) -> None:
    """Runs the Alembic command that `context` stands for.

    The database is, in this order: the connection or engine in `config.attributes["connection"]`, used as it is; the
    `sqlalchemy.url` of the configuration; the project's.
    Logging is set up for the command line alone, and only there a failure ends the process, with an exit code of its
    own; in process it is raised as the error that carries the code.

    Raises:
        MigrationError: in one line, what went wrong. Revisions that had finished stay applied; the one that failed is
            rolled back, except for what it did in an `autocommit_block()`.
    """
    on_command_line = context.config.cmd_opts is not None
    try:
        with ExitStack() as stack:
            if on_command_line:
                terminal.complete_streams()
                if getattr(context.config, "stdout", None) is None:
                    context.config.stdout = sys.stdout
                stack.enter_context(signals.interruptible())
                stack.enter_context(terminal.warnings_in_one_line())
            _run(context, project)
    except Exception as error:
        expected = as_migration_error(error)
        if expected is None:
            raise
        # The cause of a database's error would show its details, which quote rows.
        failure, cause = expected, error.__cause__ if expected is error else None
    except KeyboardInterrupt:
        if not on_command_line:
            raise
        failure, cause = Interrupted("Interrupted while no revision was running."), None
    else:
        return
    if not on_command_line or context.config.cmd_opts.raiseerr:  # type: ignore[union-attr]
        raise failure from cause
    sys.stderr.write(f"FAILED: {failure}\n")
    raise SystemExit(failure.exit_code)


def _run(context: EnvironmentContext, project: Project) -> None:
    one_command.take_turns()
    # The environment itself: the module `context` stands for that of whichever thread came last.
    env: EnvironmentContext = getattr(context, "_proxy", context)
    one_command.require_own(env)
    given = env.config.attributes.get("connection")
    project = project if given is not None else project.with_url_of(env.config)
    dialect = given.dialect.name if given is not None else project.database_url().get_backend_name()
    x_options.require_spelling(env)
    opts = env.context_opts
    command = Command.of(opts)
    if env.config.cmd_opts is not None and env.config.config_file_name is not None:
        if env.config.file_config.has_section("loggers"):
            _set_up_logging(env.config.config_file_name)
        else:  # a project need not say how its progress is shown
            terminal.log_to_stderr()
    options: dict[str, Any] = {"transaction_per_migration": True, "transactional_ddl": True}
    options[PLAIN], phase = x_options.wants_plain(env), x_options.last_phase(env, command)
    revision_files.require_loadable(env.script)
    if command is not Command.LOOK:
        revision_files.require_single_head(env.script)
    if env.is_offline_mode():
        env.configure(dialect_name=dialect)
        with terminal.output_errors_in_one_line("The script is cut off: don't run it."):
            _write_script(env, dialect, phase, options)
        return
    if command.compares:
        options |= _comparison(env.config, project, command)
    with _connection(given, project, opts, command) as connection:
        preflight.require_one_schema(connection)
        if not command.moves_revisions:
            _read(env, connection, options, command)
            return
        on_terminal = env.config.cmd_opts is not None and sys.stderr.isatty()
        reporter = Session.of(env.config).reporter or Reporter(live=on_terminal)
        try:
            Runner(env, connection, reporter, project, command, phase).run(**options)
        finally:
            reporter.close()


def _set_up_logging(file: Any) -> None:
    try:
        logging.config.fileConfig(file, disable_existing_loggers=False)
    except Exception as error:  # noqa: BLE001 - whatever a handler's class raises, or a section that is missing
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigurationError(
            f"{file}: logging can't be set up as its [loggers] and [handlers] say ({reason})."
        ) from None


def _comparison(config: Config, project: Project, command: Command) -> dict[str, Any]:
    from app.migrations import autogenerate
    from app.migrations.run import scratch

    writes_revision = command is Command.REVISION
    if writes_revision:
        write_hooks.register("snapshot")(partial(scratch.keep_snapshots, project))
        write_hooks.register("lint")(partial(_show_findings, project))
    return autogenerate.options(config, project.metadata(), writes_revision=writes_revision)


def _show_findings(project: Project, path: str, options: Any) -> None:
    from app.migrations.lint import show_findings  # its parser takes time to load

    show_findings(project.small_tables(), path, options)


def _write_script(context: EnvironmentContext, dialect: str, phase: Phase | None, options: dict[str, Any]) -> None:
    plan_of = context.get_context().opts["fn"]

    def steps(heads: Any, migration_context: Any) -> list[Any]:
        planned, stop = until_stop([*plan_of(heads, migration_context)], phase, Step.of)
        if stop is not None:
            log.warning("%s", stop.text(by_schema=Session.of(context.config).called_by_schema))
        return planned

    options["fn"] = steps
    options |= {"literal_binds": True, "dialect_opts": {"paramstyle": "named"}}
    if dialect == "sqlite":
        from app.migrations.operations.script import SqliteScript

        output = context.config.output_buffer or sys.stdout
        asked = context.get_starting_revision_argument()
        start = None if asked in (None, BASE) else context.script.get_revision(str(asked))
        script = SqliteScript(output, context.script, start.revision if start is not None else None)
        options |= {
            "output_buffer": script,
            "sqlite_image": script.connection,
            "on_version_apply": lambda **_: script.verify(),
        }
    context.configure(dialect_name=dialect, **options)
    with context.begin_transaction():
        context.run_migrations()


def _read(context: EnvironmentContext, connection: sa.Connection, options: dict[str, Any], command: Command) -> None:
    opts = context.context_opts
    writes = command is Command.REVISION and opts["revision_context"].command_args["autogenerate"]
    if writes and connection.dialect.name == "sqlite" and not Session.of(context.config).from_drift:
        from app.migrations.autogenerate import stand_in

        with stand_in.stand_in(context.config, context.script, connection) as other:
            _compare(context, other if other is not None else connection, options, command)
        return
    _compare(context, connection, options, command)


def _compare(context: EnvironmentContext, connection: sa.Connection, options: dict[str, Any], command: Command) -> None:
    context.configure(connection=connection, dont_mutate=True, **options)
    heads = context.get_context().get_current_heads()
    line = preflight.line_of(context.script)
    preflight.require_known_heads(line, heads, [])  # Alembic takes the beginning of an id for the whole
    if command.compares:
        entries = Ledger(connection).entries()
        preflight.require_complete(line.place(heads, entries))
        from app.migrations.run.status import unmanaged  # an upgrade needs none of it

        Session.of(context.config).unmanaged = unmanaged(entries)
    try:
        context.run_migrations()
    except CommandError as error:
        if "not up to date" in str(error):
            raise PendingRevisions("The database isn't at head. Bring it there: alembic upgrade head") from None
        raise
    if command is Command.CHECK:
        from app.migrations import autogenerate

        autogenerate.refuse_differences(context.get_context())


@contextmanager
def _connection(
    given: sa.Engine | sa.Connection | None, project: Project, opts: Mapping[str, Any], command: Command
) -> Iterator[sa.Connection]:
    if isinstance(given, sa.Connection):
        if given.in_transaction() and command.moves_revisions:
            raise MigrationError(
                "The connection that was handed over is in a transaction, and each revision needs one of its own: "
                "hand over an engine, or a connection before its first statement."
            )
        if given.in_transaction():
            yield given
            return
        server_session.pin(given)
        try:
            yield given
        finally:
            server_session.unpin(given)
        return
    if given is None and command is Command.REVISION and not opts["revision_context"].command_args["autogenerate"]:
        given = db.migration_engine("sqlite://")  # `alembic revision` without --autogenerate asks no database
    if given is None:
        given = db.migration_engine(project.database_url(), read_only=not command.moves_revisions)
    with db.connect(given) as connection:
        yield connection
