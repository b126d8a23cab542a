"""`alembic revision`: what is written after a model was edited, in a copy of the project."""

import datetime as dt
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import Done, Unprepared
from tests.conftest import ONE_A_DAY, ROOT, Approve, Servers, database, variables
from tests.migrations.catalog import Schema, schema_of
from tests.migrations.conftest import At
from tests.migrations.histories import downgrade, execute, failed, upgrade
from tests.migrations.processes import Project
from tests.migrations.test_history import REVISIONS

HEAD = REVISIONS[-1]
NEW_TABLE = '''

class ProviderQuota(Base):
    """What a provider lets us use."""

    __tablename__ = "provider_quotas"
    __table_args__ = (
        sa.UniqueConstraint("provider_id", "name"),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.Index("idx_provider_quotas_resets_at", "resets_at"),
        {"comment": "What a provider lets us use; it's \\"theirs\\"."},
    )

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True, comment="Key of the row.")
    provider_id: Mapped[int] = mapped_column(
        sa.ForeignKey("service_providers.id", ondelete="CASCADE"), index=True, comment="The provider."
    )
    name: Mapped[str] = mapped_column(sa.String(100), server_default="ours", comment="Name of the quota.")
    amount: Mapped[Decimal] = mapped_column(sa.Numeric(12, 4), server_default=sa.text("1"), comment="How much.")
    is_hard: Mapped[bool] = mapped_column(server_default=FALSE, comment="Whether they mean it.")
    scopes: Mapped[list[str] | None] = mapped_column(TEXT_ARRAY, server_default=EMPTY_TEXT_ARRAY, comment="Of what.")
    details: Mapped[Any] = _json("As they say it.")
    owner: Mapped[uuid.UUID | None] = mapped_column(comment="Who asked for it.")
    _secret: Mapped[str | None] = mapped_column("secret", EncryptedText(API_KEYS), comment="Its key, encrypted.")
    secret = encrypted(_secret, API_KEYS)
    resets_at: Mapped[dt.datetime | None] = mapped_column(UtcDateTime(timezone=True), comment="When it starts again.")
    created_at: Mapped[dt.datetime] = _created_at()
    updated_at: Mapped[dt.datetime] = _updated_at()


UpdatedAtTrigger(ProviderQuota.__table__)
'''
MORE_COLUMNS = """\
    region: Mapped[str | None] = mapped_column(sa.String(20), comment="Where it is.")
    is_metered: Mapped[bool] = mapped_column(server_default=FALSE, comment="Whether it counts.")
    fallback_id: Mapped[int | None] = mapped_column(sa.ForeignKey("service_providers.id"), comment="Who helps out.")
"""
EDITS = [
    ("import datetime as dt\n", "import datetime as dt\nimport uuid\n"),
    ("import BIG_ID,", "import BIG_ID, EMPTY_TEXT_ARRAY, TEXT_ARRAY,"),
    ("\n\ndef _created_at", "\nfrom app.triggers import UpdatedAtTrigger\n\n\ndef _created_at"),
    # a column more: one that may be NULL, a flag, one with a foreign key
    ("    base_url: Mapped", MORE_COLUMNS + "    base_url: Mapped"),
    # another type, another default, NOT NULL
    ("key_name: Mapped[str] = mapped_column(sa.String(100)", "key_name: Mapped[str] = mapped_column(sa.String(200)"),
    ('server_default="round_robin"', 'server_default="weighted"'),
    ("proxy_url: Mapped[str | None] = mapped_column(sa.Text,", "proxy_url: Mapped[str] = mapped_column(sa.String(90),"),
]


UNPREPARED = Unprepared()


class Copy(Project):
    """A copy of the whole project, as it is laid out, with models that can be edited."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ini = folder / "alembic.ini"
        self.versions = folder / "alembic" / "versions"
        for name in ("app", "alembic"):
            # With the bytecode, but for what another process is writing at this moment.
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
        for name in ("alembic.ini", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)

    def edit(self, model: str, *edits: tuple[str, str], end: str = "") -> None:
        """Replaces texts in a file of models, and adds one."""
        file = self.folder / "app" / "models" / model
        text = file.read_text(encoding="utf-8")
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        file.write_text(text + end, encoding="utf-8")

    def edited(self, *args: str, url: str) -> Done:
        """Runs the command `alembic` with the edited models, which takes a process that has imported nothing yet."""
        return UNPREPARED.run("alembic", *args, env=variables(url), folder=self.folder)

    def written(self) -> list[Path]:
        """The files of revisions that the project doesn't have."""
        return sorted(file for file in self.versions.glob("*.py") if file.name[:14] not in REVISIONS)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    folder = tmp_path / "copy"
    folder.mkdir()
    return Copy(folder)


def timeless(file: Path) -> str:
    """The text of a revision without its id and its parent's."""
    return file.read_text(encoding="utf-8").replace(file.name[:14], "YYYYMMDDHHMMSS").replace(HEAD, "HEAD")


# --- what is written ----------------------------------------------------------


def test_the_same_revision_is_written_against_both_databases_and_works(copy: Copy, at: At, approve: Approve) -> None:
    url = at(HEAD)
    before = schema_of(url)
    copy.edit("gateway.py", *EDITS, end=NEW_TABLE)
    done = copy.edited("revision", "--autogenerate", "-m", "add provider quotas", url=url)
    assert done.returncode == 0, done.stderr
    (file,) = copy.written()
    assert re.fullmatch(r"\d{14}_add_provider_quotas\.py", file.name)
    approve("autogenerated.py.txt", timeless(file))

    upgrade(url, ini=copy.ini)
    assert copy.edited("check", url=url).returncode == 0
    downgrade(url, HEAD, ini=copy.ini)
    assert schema_of(url) == before


DROPPED = ["provider_options", "proxy_enabled", "last_used_at", "total_cost", "is_stream", "weight", "api_type"]


@pytest.mark.parametrize("at", ONE_A_DAY, indirect=True)
def test_what_a_revision_drops_comes_back_on_either_database(
    copy: Copy, at: At, stops: Callable[[str, str], str | None], servers: Servers, tmp_path: Path
) -> None:
    written_on = at(HEAD)
    models = (copy.folder / "app" / "models" / "gateway.py").read_text(encoding="utf-8")
    columns = [re.findall(rf"    {name}: Mapped(?:.+\n)(?:        .+\n|    \)\n)*", models)[-1] for name in DROPPED]
    copy.edit("gateway.py", *((column, "") for column in columns))
    copy.edit("auth.py", ("UpdatedAtTrigger(ServiceRegistry.__table__)\n", ""), (USER_INDEX, ""))
    done = copy.edited("revision", "--autogenerate", "-m", "drop much", url=written_on)
    assert done.returncode == 0, done.stderr
    for kind in ("sqlite", "postgresql"):
        with database(kind, servers, tmp_path, template=stops(kind, HEAD)) as url:
            before = schema_of(url)
            upgrade(url, ini=copy.ini)
            assert len(before) - len(schema_of(url)) == len(DROPPED) + 2
            downgrade(url, HEAD, ini=copy.ini)
            same = commented if "postgresql" in written_on else uncommented
            assert same(schema_of(url)) == same(before)


USER_INDEX = '        sa.Index("service_audit_logs_user_id_idx", "user_id"),\n'


def commented(schema: Schema) -> Schema:
    return schema


def uncommented(schema: Schema) -> Schema:
    """A schema as SQLite knows it, which has no place for comments."""
    return {name: value[:-1] if name.startswith("column") else value for name, value in schema.items()}


def test_nothing_is_written_where_nothing_has_changed(copy: Copy, at: At) -> None:
    done = copy.alembic("revision", "--autogenerate", "-m", "nothing", url=at(HEAD))
    assert done.returncode == 0, done.stderr
    assert copy.written() == []


def test_an_empty_revision_needs_no_database(copy: Copy, approve: Approve) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    done = copy.alembic("revision", "-m", "Move users' quotas, by hand", url=nowhere)
    assert done.returncode == 0, done.stderr
    (file,) = copy.written()
    assert file.name[14:] == "_move_users_quotas_by_hand.py"
    approve("revision.py.txt", timeless(file))


def test_without_ruff_a_revision_is_written_and_not_formatted(copy: Copy, sqlite_url: str) -> None:
    (copy.folder / "app" / "__init__.py").write_text('import sys\n\nsys.modules["ruff"] = None\n', encoding="utf-8")
    upgrade(sqlite_url)
    copy.edit("auth.py", (USER_INDEX, ""))
    done = copy.edited("revision", "--autogenerate", "-m", "drop an index", url=sqlite_url)
    assert done.returncode == 0, done.stderr
    (file,) = copy.written()
    assert f"{file.name} was written, and not formatted: ruff isn't installed." in done.stderr
    assert "###" not in file.read_text(encoding="utf-8")
    upgrade(sqlite_url, ini=copy.ini)


# --- how it is named ----------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["--autogenerate"], ["-m", "  "]])
def test_a_revision_needs_a_message(options: list[str], copy: Copy, at: At) -> None:
    url = at(HEAD)
    execute(url, "DROP INDEX idx_request_logs_time")  # which a revision would create
    assert "needs a message" in failed(copy.alembic("revision", *options, url=url), 1)
    assert copy.written() == []


def test_a_revision_sorts_after_its_parent_even_in_the_same_second(copy: Copy, sqlite_url: str) -> None:
    last_of_the_century = copy.alembic("revision", "-m", "first", "--rev-id", "20991231235959", url=sqlite_url)
    assert last_of_the_century.returncode == 0, last_of_the_century.stderr
    assert copy.alembic("revision", "-m", "second", url=sqlite_url).returncode == 0
    assert [file.name for file in copy.written()] == ["20991231235959_first.py", "21000101000000_second.py"]
    assert 'down_revision = "20991231235959"' in copy.written()[1].read_text(encoding="utf-8")


def test_a_revision_is_named_after_the_time_in_utc(copy: Copy, sqlite_url: str) -> None:
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    copy.alembic("revision", "-m", "now", url=sqlite_url, env={"TZ": "Asia/Kolkata"})
    (file,) = copy.written()
    named_after = dt.datetime.strptime(file.name[:14], "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC)
    assert before <= named_after <= dt.datetime.now(dt.UTC)


@pytest.mark.parametrize("asked", ["quotas", "20261301000000", "2026010100000", "20260101T000000"])
def test_an_id_that_is_no_time_is_refused(asked: str, copy: Copy, sqlite_url: str) -> None:
    done = copy.alembic("revision", "-m", "quotas", "--rev-id", asked, url=sqlite_url)
    assert f"The revision id {asked} isn't a time" in failed(done, 1)
    assert copy.written() == []
