"""What ours is compared with: Alembic as `alembic init` sets it up, and models without anything of ours.

An environment has its own folder and its own database, and takes the revisions from `alembic/versions`, where ours are.
"""

import contextlib
import io
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Mapper

from app import db
from app.migrations.operations import implementations
from app.models import Base

ROOT = Path(__file__).resolve().parents[1]
MODELS = "from app.models import Base\ntarget_metadata = Base.metadata"
# The revisions need our words for `op`; whatever Alembic can do by itself stays Alembic's.
OPERATIONS = """\
import app.migrations.operations
from alembic.operations import Operations, ops, toimpl
Operations.implementation_for(ops.CreateTableOp, replace=True)(toimpl.create_table)"""
# As SQLAlchemy documents it; without it Python's driver begins none before DDL, and each statement commits by itself.
TRANSACTIONS = """\
    @event.listens_for(connectable, "connect")
    def no_transactions_of_the_driver(driver, record):
        driver.isolation_level = None

    @event.listens_for(connectable, "begin")
    def begin(connection):
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN")

"""
HEAD = """\
import datetime, decimal, typing, uuid
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

class Base(DeclarativeBase): ...

"""
POSTGRESQL: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
# What only PostgreSQL has, and how a model says it.
VARIANTS = {
    "TIMESTAMP(6) WITH TIME ZONE": "postgresql.TIMESTAMP(timezone=True, precision=6)",
    "TEXT[]": "postgresql.ARRAY(sa.Text())",
}


@dataclass(frozen=True)
class Environment:
    """Where an `alembic upgrade head` is run, and on which database."""

    ini: Path
    url: str
    ours: bool = False

    def process(self, variables: Mapping[str, str], *args: str) -> Callable[[], None]:
        """A command of Alembic's as a process of its own: `upgrade head`, where nothing else is said."""
        alembic = (sys.executable, "-m", "alembic", "-c", str(self.ini), *(args or ("upgrade", "head")))
        return process({**variables, "DATABASE_URL": self.url}, *alembic, folder=self.ini.parent)

    def in_process(self) -> Callable[[], None]:
        """What a program calls for it: no file is read, so that env.py sets up no logging."""
        file = Config(self.ini)
        config = Config(stdout=io.StringIO())
        for name in ("script_location", "version_locations", "path_separator", "sqlalchemy.url"):
            if value := file.get_main_option(name):
                config.set_main_option(name, value.replace("%", "%%"))

        def upgrade() -> None:
            if self.ours:  # it is given an engine as fresh as the one that the stock env.py makes
                config.attributes["connection"] = db.migration_engine(self.url)
                # The stock env.py of another case has put back Alembic's own.
                implementations.register()
            command.upgrade(config, "head")

        return upgrade


def ours(url: str, root: Path = ROOT) -> Environment:
    """This project's own environment, or that of another checkout."""
    return Environment(root / "alembic.ini", url, ours=True)


def environment(
    folder: Path, url: str, *, models: bool = True, operations: bool = False, sqlite_transactions: bool = False
) -> Environment:
    """Sets up what `alembic init` does, and fills in what its comments ask for.

    Args:
        folder: one that doesn't exist.
        url: the database.
        models: whether env.py imports the models.
        operations: whether it imports our words for `op`, without which the revisions don't run.
        sqlite_transactions: whether each revision is a transaction, on SQLite too.
    """
    folder.mkdir(parents=True)
    ini = folder / "alembic.ini"
    with contextlib.redirect_stdout(io.StringIO()):
        command.init(Config(ini), str(folder / "alembic"))
    _replace(ini, "prepend_sys_path = .", f"prepend_sys_path = {ROOT}\nversion_locations = {ROOT}/alembic/versions")
    _replace(ini, "driver://user:pass@localhost/dbname", url.replace("%", "%%"))
    env = folder / "alembic" / "env.py"
    if models:
        _replace(env, "target_metadata = None", MODELS)
    if operations:
        _replace(env, "from alembic import context", f"from alembic import context\n{OPERATIONS}")
    if sqlite_transactions:
        _replace(env, "from sqlalchemy import pool", "from sqlalchemy import event, pool")
        _replace(env, "    with connectable.connect()", f"{TRANSACTIONS}    with connectable.connect()")
        _replace(
            env,
            "connection=connection, target_metadata=target_metadata",
            "connection=connection, target_metadata=target_metadata, "
            "transaction_per_migration=True, transactional_ddl=True",
        )
    return Environment(ini, url)


def process(variables: Mapping[str, str], *args: str, folder: Path = ROOT) -> Callable[[], None]:
    """A process with these variables in a folder; it must succeed."""

    def run() -> None:
        done = subprocess.run(args, cwd=folder, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(args)} failed:\n{done.stderr}")

    return run


def models() -> str:
    """A module with the tables of our models in plain declarative: no encryption, no triggers, no classes of ours."""
    mappers = sorted(Base.registry.mappers, key=lambda mapper: mapper.class_.__name__)
    return HEAD + "\n".join(map(_model, mappers))


def _model(mapper: Mapper[Any]) -> str:
    table = mapper.local_table
    assert isinstance(table, sa.Table)
    indexes = sorted(f"sa.Index({i.name!r}, {', '.join(repr(c.name) for c in i.columns)})" for i in table.indexes)
    lines = [
        f"class {mapper.class_.__name__}(Base):",
        f"    __tablename__ = {table.name!r}",
        f"    __table_args__ = ({''.join(f'{index}, ' for index in indexes)}{{'comment': {table.comment!r}}},)",
        *(f"    {column.name}: {_column(column)}" for column in table.columns),
    ]
    for relationship in mapper.relationships:
        target, back = relationship.mapper.class_.__name__, relationship.back_populates
        kind = f"list['{target}']" if relationship.uselist else f"'{target}'"
        lines.append(f"    {relationship.key}: Mapped[{kind}] = relationship(back_populates={back!r})")
    return "\n".join(lines) + "\n"


def _column(column: sa.Column[Any]) -> str:
    kind: object = column.type.impl if isinstance(column.type, sa.TypeDecorator) else column.type
    assert isinstance(kind, sa.types.TypeEngine)
    python = "typing.Any" if isinstance(kind, sa.JSON) else _name(kind.python_type)
    variant = VARIANTS.get(column.type.compile(POSTGRESQL))
    types = f"sa.{kind!r}" + (f".with_variant({variant}, 'postgresql')" if variant else "")
    arguments = [types, *(f"sa.ForeignKey({k.target_fullname!r})" for k in column.foreign_keys)]
    arguments += [f"{name}=True" for name in ("primary_key", "unique", "nullable") if getattr(column, name)]
    if isinstance(column.server_default, sa.DefaultClause):
        arguments.append(f"server_default={_default(column.server_default.arg)}")
    arguments.append(f"comment={column.comment!r}")
    optional = " | None" if column.nullable else ""
    return f"Mapped[{python}{optional}] = mapped_column({', '.join(arguments)})"


def _default(default: object) -> str:
    if isinstance(default, sa.TextClause):
        return f"sa.text({default.text!r})"
    return repr(default) if isinstance(default, str) else "sa.text('CURRENT_TIMESTAMP')"


def _name(python: type) -> str:
    return python.__name__ if python.__module__ == "builtins" else f"{python.__module__}.{python.__name__}"


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ValueError(f"alembic init no longer writes {old!r} into {file.name}")
    file.write_text(text.replace(old, new), encoding="utf-8")
