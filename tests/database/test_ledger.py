"""The ledger: one true row for each attempt, whatever happened."""

import signal
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from app import database_url, db
from app.migrations import checksums, commands
from app.migrations.errors import MigrationError
from app.migrations.line import Line
from app.migrations.run import ledger, preflight
from app.migrations.run.ledger import Outcome
from app.project import PROJECT
from tests.support.alembic_in_process import REVISIONS, Alembic, downgrade, revision_of, upgrade
from tests.support.approved_texts import Approve, plain
from tests.support.database_access import connected, execute, query, rows, run
from tests.support.ledger_rows import applied, attempts, holder
from tests.support.project_copy import WAITS_UNREHEARSED, ProjectCopy
from tests.support.waiting import wait_until

TABLE = "op.create_table('t', sa.Column('n', sa.Integer, unique=True))"
SECRET = "sk-live-do-not-show-me"


@pytest.fixture
def project(tmp_path: Path) -> ProjectCopy:
    """A history of a test's own."""
    folder = tmp_path / "project"
    folder.mkdir()
    return ProjectCopy(folder, revisions=False)


def entries(url: str) -> list[ledger.Entry]:
    with db.migration_engine(url).connect() as connection:
        return ledger.Ledger(connection).entries()


def has_table(url: str, name: str) -> bool:
    with connected(url) as connection:
        return sa.inspect(connection).has_table(name)


# --- what leaves a row --------------------------------------------------------


@pytest.mark.exhaustive
def test_upgrades_downgrades_and_stamps_leave_a_row_for_each_revision(project: ProjectCopy, url: str) -> None:
    first, second = project.add(TABLE, "op.drop_table('t')"), project.add("pass")
    for line in ("upgrade head", "downgrade base", "stamp head", f"stamp {first}", "stamp base", "upgrade +1"):
        assert project.alembic(*line.split(), url=url).returncode == 0, line
    assert attempts(url) == [
        (first, "upgrade", "applied"),
        (second, "upgrade", "applied"),
        (second, "downgrade", "applied"),
        (first, "downgrade", "applied"),
        (second, "stamp", "applied"),
        (first, "stamp", "applied"),
        ("base", "stamp", "applied"),
        (first, "upgrade", "applied"),
    ]


def test_a_row_says_when_how_long_by_whom_and_from_what_code(project: ProjectCopy, url: str) -> None:
    project.add(TABLE)
    project.alembic("upgrade", "head", url=url, env={"SCHEMA_CODE_VERSION": "v7"})
    (entry,) = entries(url)
    assert entry.finished_at is not None
    assert entry.finished_at >= entry.started_at
    assert entry.duration_ms is not None
    assert (entry.code_version, entry.repeatable, entry.error) == ("v7", True, None)
    assert entry.checksum == checksums.checksum(project.file(entry.revision).read_text(encoding="utf-8"))
    assert entry.database_user == ("postgres" if url.startswith("postgresql") else entry.database_user)
    assert entry.pid
    assert entry.host


def test_a_command_that_has_nothing_to_do_leaves_none(head_url: str, alembic: Alembic) -> None:
    before = entries(head_url)
    assert alembic("upgrade", "head", url=head_url).returncode == 0
    assert entries(head_url) == before


@pytest.mark.parametrize("line", ["current", "history", "heads", "check", "upgrade head --sql", "revision -m more"])
def test_reading_creates_nothing(line: str, project: ProjectCopy, url: str) -> None:
    project.add(TABLE)
    project.alembic(*line.split(), url=url)
    if (file := database_url.sqlite_file(database_url.parse(url))) is not None:
        assert list(file.parent.iterdir()) == []
    else:
        assert not has_table(url, "alembic_version")
        assert not has_table(url, "schema_ledger")


def test_autogenerate_and_check_see_no_ledger(head_url: str, alembic: Alembic) -> None:
    assert has_table(head_url, "schema_ledger")
    done = alembic("check", url=head_url)
    assert done.returncode == 0, done.stdout
    assert "ledger" not in done.stdout + done.stderr


# --- success and failure ------------------------------------------------------


def test_success_is_written_in_the_transaction_of_the_revision(project: ProjectCopy, url: str) -> None:
    """What makes the commit itself fail takes "applied" with it."""
    first = project.add(TABLE)
    if url.startswith("postgresql"):
        last = project.add(
            "op.execute('CREATE TABLE child (n integer REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)')\n"
            "op.execute('INSERT INTO child VALUES (1)')"
        )
    else:
        last = project.add("op.execute('CREATE TABLE child (n integer)')")
        # SQLite's commit has nothing to fail for; the last statement before it is the ledger's.
        assert project.alembic("upgrade", first, url=url).returncode == 0
        late = "CREATE TRIGGER late AFTER UPDATE ON schema_ledger WHEN NEW.outcome = 'applied'"
        run(url, f"{late} BEGIN SELECT raise(ABORT, 'too late'); END")
    done = project.alembic("upgrade", "head", url=url)
    assert done.returncode == 1
    assert attempts(url) == [(first, "upgrade", "applied"), (last, "upgrade", "failed")]
    assert revision_of(url) == first
    assert not has_table(url, "child")


def test_a_failure_is_written_after_the_rollback_without_values_of_rows(
    project: ProjectCopy, url: str, approve: Approve
) -> None:
    project.add(
        f"op.create_table('t', sa.Column('secret', sa.Text, sa.CheckConstraint('secret = 1', name='c'), unique=True))\n"
        f"op.get_bind().execute(sa.text('INSERT INTO t VALUES (:s)'), {{'s': '{SECRET}'}})"
        if url.startswith("sqlite")
        else "op.create_table('t', sa.Column('secret', sa.Text, unique=True))\n"
        f"for _ in range(2):\n    op.get_bind().execute(sa.text('INSERT INTO t VALUES (:s)'), {{'s': '{SECRET}'}})"
    )
    done = project.alembic("upgrade", "head", url=url)
    assert done.returncode == 1
    assert not has_table(url, "t")
    (entry,) = entries(url)
    assert (entry.outcome, entry.repeatable) == (Outcome.FAILED, True)
    assert entry.finished_at is not None
    told = f"{done.stderr}{entry.error_class} {entry.sqlstate}: {entry.error}\n"
    assert SECRET not in told
    approve(f"runner/failed.{sa.make_url(url).get_backend_name()}.txt", plain(told))


def test_an_error_text_is_cut_to_its_length(project: ProjectCopy, url: str) -> None:
    project.add("raise ValueError('x' * 5000)")
    assert project.alembic("upgrade", "head", url=url).returncode == 1
    assert entries(url)[0].error == "x" * ledger._ERROR_LENGTH


@pytest.mark.exhaustive
def test_a_row_that_says_running_is_one_at_work_or_one_that_crashed(project: ProjectCopy, url: str) -> None:
    revision = project.add(WAITS_UNREHEARSED)
    running = project.start("upgrade", "head", url=url)
    wait_until((project.folder / "begun").exists)
    if url.startswith("postgresql"):  # on SQLite the revision's transaction keeps readers of this kind out
        assert attempts(url) == [(revision, "upgrade", "running")]
    assert holder(url) is not None
    running.send(signal.SIGKILL)
    running.wait()
    wait_until(lambda: holder(url) is None)
    assert attempts(url) == [(revision, "upgrade", "running")]
    (project.folder / "go").touch()
    done = project.alembic("upgrade", "head", url=url)
    assert done.returncode == 0
    assert "was left unfinished by a run that crashed" in done.stderr
    crashed, finished = entries(url)
    assert (crashed.outcome, crashed.error_class) == (Outcome.FAILED, "Crashed")
    assert finished.outcome is Outcome.APPLIED


# --- databases that are older than the ledger ---------------------------------


@pytest.mark.exhaustive
def test_a_database_from_before_the_ledger_is_taken_over(url: str, alembic: Alembic) -> None:
    upgrade(url, REVISIONS[5])
    execute(url, "DROP TABLE schema_ledger")
    for line in (["current"], ["upgrade", "head"], ["upgrade", "head"], ["downgrade", REVISIONS[4]]):
        assert alembic(*line, url=url).returncode == 0
    assert applied(url) == REVISIONS[6:]
    assert [revision for revision, direction, _ in attempts(url) if direction == "downgrade"] == REVISIONS[:4:-1]


def test_a_database_at_head_from_before_the_ledger_gets_one_with_its_first_change(head_url: str) -> None:
    execute(head_url, "DROP TABLE schema_ledger")
    upgrade(head_url)
    assert not has_table(head_url, "schema_ledger")
    downgrade(head_url, REVISIONS[-2])
    assert attempts(head_url) == [(REVISIONS[-1], "downgrade", "applied")]


# --- a table of other code -----------------------------------------------------

# The ledger of version 0.1, to the letter.
OF_0_1 = {
    "sqlite": """CREATE TABLE schema_ledger (
        id INTEGER NOT NULL, revision VARCHAR(32) NOT NULL, direction VARCHAR(20) NOT NULL,
        outcome VARCHAR(20) NOT NULL, started_at DATETIME NOT NULL, finished_at DATETIME, duration_ms INTEGER,
        checksum VARCHAR(64), repeatable BOOLEAN DEFAULT true NOT NULL, error_class VARCHAR(200), sqlstate VARCHAR(5),
        error TEXT, database_user VARCHAR(200), host VARCHAR(200), pid INTEGER, code_version VARCHAR(200), reason TEXT,
        subject TEXT, PRIMARY KEY (id))""",
    "postgresql": """CREATE TABLE schema_ledger (
        id BIGSERIAL NOT NULL, revision VARCHAR(32) NOT NULL, direction VARCHAR(20) NOT NULL,
        outcome VARCHAR(20) NOT NULL, started_at TIMESTAMP WITH TIME ZONE NOT NULL,
        finished_at TIMESTAMP WITH TIME ZONE, duration_ms INTEGER, checksum VARCHAR(64),
        repeatable BOOLEAN DEFAULT true NOT NULL, error_class VARCHAR(200), sqlstate VARCHAR(5), error TEXT,
        database_user VARCHAR(200), host VARCHAR(200), pid INTEGER, code_version VARCHAR(200), reason TEXT,
        subject TEXT, PRIMARY KEY (id))""",
}
LACKS = ["subject", "reason", "repeatable", "code_version"]


def columns(url: str) -> set[str]:
    with connected(url) as connection:
        return {column["name"] for column in sa.inspect(connection).get_columns("schema_ledger")}


def with_ledger(url: str, revision: str, *changes: str) -> None:
    """Makes a database at a revision whose ledger is that of version 0.1, changed, with one row in it."""
    upgrade(url, revision)
    insert = f"""INSERT INTO schema_ledger (revision, direction, outcome, started_at, database_user, host, pid)
        VALUES ('{revision}', 'upgrade', 'applied', '2026-11-26 01:02:03+00:00', 'owner', 'old', 7)"""
    made = OF_0_1[url.partition(":")[0].partition("+")[0]]
    execute(url, "DROP TABLE schema_ledger", made, *changes, insert)


@pytest.mark.exhaustive
@pytest.mark.parametrize("lacks", [[], LACKS[:1], LACKS], ids=["nothing", "one", "several"])
def test_newer_code_reads_an_older_table_and_adds_what_it_lacks_with_its_first_write(
    lacks: list[str], url: str
) -> None:
    with_ledger(url, REVISIONS[1], *(f"ALTER TABLE schema_ledger DROP COLUMN {name}" for name in lacks))
    before = columns(url)
    status = commands.read_status(PROJECT, db.migration_engine(url, read_only=True))
    assert (status.exit_code, [entry.by for entry in status.entries]) == (3, ["owner on old pid 7"])
    assert columns(url) == before  # a look changes nothing
    upgrade(url, REVISIONS[2])
    assert columns(url) == {column.name for column in ledger.table.columns}
    assert [(e.revision, e.outcome, e.repeatable) for e in entries(url)] == [
        (REVISIONS[1], Outcome.APPLIED, True),
        (REVISIONS[2], Outcome.APPLIED, True),
    ]


@pytest.mark.exhaustive
@pytest.mark.parametrize("added", ["phase text", "attempts integer NOT NULL DEFAULT 1"])
def test_older_code_goes_on_with_a_newer_table(added: str, url: str) -> None:
    with_ledger(url, REVISIONS[1], f"ALTER TABLE schema_ledger ADD COLUMN {added}")
    upgrade(url, REVISIONS[2])
    downgrade(url, REVISIONS[1])
    assert [entry.direction for entry in entries(url)] == ["upgrade", "upgrade", "downgrade"]
    assert added.partition(" ")[0] in columns(url)


# --- edited revisions ---------------------------------------------------------


@pytest.mark.exhaustive
def test_an_edited_revision_is_refused_until_it_is_what_it_was(
    project: ProjectCopy, url: str, approve: Approve
) -> None:
    first = project.add(TABLE, "op.drop_table('t')")
    assert project.alembic("upgrade", "head", url=url).returncode == 0
    second = project.add("pass")
    original = project.file(first).read_text(encoding="utf-8")
    project.file(first).write_text(original.replace("unique=True", "unique=False"), encoding="utf-8")
    done = project.alembic("upgrade", "head", url=url)
    assert (done.returncode, revision_of(url)) == (5, first)
    approve("runner/edited.txt", plain(done.stderr))
    assert len(attempts(url)) == 1
    for harmless in ("current", "history"):
        assert project.alembic(harmless, url=url).returncode == 0
    project.file(first).write_text(f"# restored\n{original}", encoding="utf-8")
    assert project.alembic("upgrade", "head", url=url).returncode == 0
    assert applied(url) == [first, second]


@pytest.mark.exhaustive
def test_a_revision_may_be_edited_until_it_is_applied_and_after_it_is_reverted(project: ProjectCopy, url: str) -> None:
    revision = project.add("raise ValueError", "pass")
    assert project.alembic("upgrade", "head", url=url).returncode == 1
    for body in (TABLE, TABLE.replace("'t'", "'u'")):
        text = project.file(revision).read_text(encoding="utf-8")
        old = next(line for line in text.splitlines() if "raise ValueError" in line or "create_table" in line)
        project.file(revision).write_text(text.replace(old, f"    {body}"), encoding="utf-8")
        assert project.alembic("upgrade", "head", url=url).returncode == 0
        assert project.alembic("downgrade", "base", url=url).returncode == 0
    assert has_table(url, "u")


# --- failed half-way ----------------------------------------------------------

HALF = """\
with op.get_context().autocommit_block():
    op.execute("CREATE TABLE half (n integer)")
    op.execute("SELECT * FROM nowhere")
"""


def test_a_revision_that_failed_outside_its_transaction_waits_for_the_operator(
    project: ProjectCopy, url: str, approve: Approve
) -> None:
    first, half = project.add("pass"), project.add(HALF)
    done = project.alembic("upgrade", "head", url=url)
    assert done.returncode == 1
    assert has_table(url, "half")
    assert not entries(url)[-1].repeatable
    again = project.alembic("upgrade", "head", url=url)
    assert again.returncode == 4
    assert attempts(url) == [(first, "upgrade", "applied"), (half, "upgrade", "failed")]
    approve(f"runner/half_done.{sa.make_url(url).get_backend_name()}.txt", plain(f"{done.stderr}\n{again.stderr}"))
    # Once the place is cleared and stamped over, it is somebody's word.
    execute(url, "DROP TABLE half")
    assert project.alembic("stamp", "head", url=url).returncode == 0
    assert project.alembic("upgrade", "head", url=url).returncode == 0


def test_a_revision_that_was_killed_outside_its_transaction_waits_for_the_operator(
    project: ProjectCopy, url: str
) -> None:
    revision = project.add(
        "with op.get_context().autocommit_block():\n"
        "    op.execute('CREATE TABLE half (n integer)')\n"
        "    __import__('os').kill(__import__('os').getpid(), 9)"
    )
    assert project.process("upgrade", "head", url=url).returncode == -9
    wait_until(lambda: holder(url) is None)
    for _ in range(2):
        assert project.alembic("upgrade", "head", url=url).returncode == 4
    (entry,) = entries(url)
    assert (entry.revision, entry.repeatable) == (revision, False)


def test_a_revision_may_declare_that_it_can_be_run_again(project: ProjectCopy, url: str) -> None:
    again = HALF.replace("CREATE TABLE half", "CREATE TABLE IF NOT EXISTS half")
    revision = project.add(f"{again}    op.execute('INSERT INTO half VALUES (1)')")
    project.declare(revision, "repeatable = True")
    for _ in range(2):
        assert project.alembic("upgrade", "head", url=url).returncode == 1
    execute(url, "CREATE TABLE nowhere (n integer)")
    assert project.alembic("upgrade", "head", url=url).returncode == 0
    assert attempts(url) == [(revision, "upgrade", outcome) for outcome in ("failed", "failed", "applied")]


@pytest.mark.in_turn
@pytest.mark.parametrize(
    "statement", ["CREATE TABLE IF NOT EXISTS half (n integer)", "SELECT 1", "DROP TABLE IF EXISTS x"]
)
def test_harmless_statements_outside_a_transaction_can_be_run_again(
    statement: str, project: ProjectCopy, url: str
) -> None:
    project.add(HALF.replace("CREATE TABLE half (n integer)", statement))
    for _ in range(2):
        assert project.alembic("upgrade", "head", url=url).returncode == 1
    assert entries(url)[-1].repeatable


def test_a_revision_that_fails_in_its_transaction_can_be_run_again(project: ProjectCopy, url: str) -> None:
    revision = project.add(f"{TABLE}\nop.execute('INSERT INTO t SELECT n FROM nowhere')")
    for _ in range(2):
        assert project.alembic("upgrade", "head", url=url).returncode == 1
    execute(url, "CREATE TABLE nowhere (n integer)")
    assert project.alembic("upgrade", "head", url=url).returncode == 0
    assert attempts(url) == [(revision, "upgrade", outcome) for outcome in ("failed", "failed", "applied")]


# --- ahead of the code --------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False], ids=["with-ledger", "without"])
def test_a_database_that_is_ahead_of_the_code(kept: bool, project: ProjectCopy, url: str, approve: Approve) -> None:
    project.add(TABLE)
    newer = project.add("pass")
    env = {"SCHEMA_CODE_VERSION": "0123456789abcdef"}
    assert project.alembic("upgrade", "head", url=url, env=env).returncode == 0
    project.file(newer).unlink()
    if not kept:
        execute(url, "DROP TABLE schema_ledger")
    before = query(url, "SELECT * FROM alembic_version")
    for line in ("upgrade head", "downgrade base", "downgrade -1", "stamp head"):
        done = project.alembic(*line.split(), url=url)
        assert (done.returncode, done.stdout) == (5, ""), line
        approve(f"runner/ahead{'' if kept else '_without_ledger'}.txt", plain(done.stderr))
    assert query(url, "SELECT * FROM alembic_version") == before
    assert has_table(url, "schema_ledger") is kept


# --- who may do what ----------------------------------------------------------


@pytest.fixture
def roles(postgres_url: str, project: ProjectCopy) -> dict[str, str]:
    """URLs of an owner, who has migrated, of a service that uses its tables, and of a reader."""
    project.add(TABLE)
    name = sa.make_url(postgres_url).database
    urls = {}
    for role in ("owner", "service", "reader"):
        run(postgres_url, f"DROP ROLE IF EXISTS {name}_{role}")
        run(postgres_url, f"CREATE ROLE {name}_{role} LOGIN")
        urls[role] = postgres_url.replace("postgres@", f"{name}_{role}@")
    run(postgres_url, f"ALTER DATABASE {name} OWNER TO {name}_owner")
    run(postgres_url, f"ALTER SCHEMA public OWNER TO {name}_owner")
    grant = "ALTER DEFAULT PRIVILEGES GRANT {} ON TABLES TO {}"
    run(urls["owner"], grant.format("SELECT", f"{name}_reader"))
    run(urls["owner"], grant.format("SELECT, INSERT, UPDATE, DELETE", f"{name}_service"))
    assert project.alembic("upgrade", "head", url=urls["owner"]).returncode == 0
    run(urls["owner"], f"REVOKE INSERT, UPDATE, DELETE ON alembic_version, schema_ledger FROM {name}_service")
    return urls


def test_the_owner_migrates_and_is_named(roles: dict[str, str], project: ProjectCopy) -> None:
    project.add("op.add_column('t', sa.Column('m', sa.Integer))", "op.drop_column('t', 'm')")
    assert project.alembic("upgrade", "head", url=roles["owner"]).returncode == 0
    assert {entry.database_user for entry in entries(roles["owner"])} == {sa.make_url(roles["owner"]).username}


@pytest.mark.exhaustive
@pytest.mark.parametrize("role", ["service", "reader"])
def test_roles_that_dont_own_the_tables_read_the_revision_and_cant_migrate(
    role: str, roles: dict[str, str], project: ProjectCopy, approve: Approve, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = roles[role]
    if role == "service":
        run(url, "INSERT INTO t VALUES (1)")
    assert rows(url, "SELECT count(*) FROM t") == [(int(role == "service"),)]
    current = project.alembic("current", url=url)
    assert (current.returncode, current.stdout) == (0, f"{revision_of(url)} (head)\n")
    monkeypatch.setenv("ALEMBIC_CONFIG", str(project.ini))
    status = commands.read_status(PROJECT, db.migration_engine(url))
    assert (status.code, status.entries, status.notes) == ("ok", entries(roles["owner"]), [])
    nothing = project.alembic("upgrade", "head", url=url)
    assert (nothing.returncode, nothing.stderr) == (0, "nothing to do\n")
    project.add("op.add_column('t', sa.Column('m', sa.Integer))")
    before = attempts(url)
    for line in ("upgrade head", "downgrade base", "stamp base"):
        done = project.alembic(*line.split(), url=url)
        assert (done.returncode, done.stdout) == (1, ""), line
        if line == "upgrade head":
            approve("runner/not_the_owner.txt", plain(done.stderr))
    assert attempts(url) == before


@pytest.mark.exhaustive
def test_a_role_that_may_read_nothing_is_told_so(
    roles: dict[str, str], project: ProjectCopy, approve: Approve, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = sa.make_url(roles["owner"]).database
    monkeypatch.setenv("ALEMBIC_CONFIG", str(project.ini))
    run(roles["owner"], f"REVOKE ALL ON schema_ledger FROM {name}_reader")
    status = commands.read_status(PROJECT, db.migration_engine(roles["reader"]))
    assert (status.code, status.at) == ("ok", [revision_of(roles["owner"])])
    approve("runner/may_not_read.ledger.txt", "\n".join([*status.notes, ""]))
    run(roles["owner"], f"REVOKE ALL ON alembic_version FROM {name}_reader")
    for line in ("current", "upgrade head"):
        done = project.alembic(*line.split(), url=roles["reader"])
        assert (done.returncode, done.stdout) == (1, "")
        approve(f"runner/may_not_read.{line.split()[0]}.txt", plain(done.stderr))
    with pytest.raises(MigrationError) as caught:
        commands.read_status(PROJECT, db.migration_engine(roles["reader"]))
    approve("runner/may_not_read.status.txt", f"{caught.value}\n")


# --- the revisions' files -----------------------------------------------------


@pytest.mark.parametrize("direction", ["upgrade", "upgrade again", "downgrade"])
def test_the_files_are_read_once_for_the_order_of_a_run(
    direction: str, project: ProjectCopy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        project.add("pass")
    if direction != "upgrade":
        project.upgrade(url)
    read, line_of = [], preflight.line_of

    def counted(script: ScriptDirectory) -> Line:
        read.append(script)
        return line_of(script)

    monkeypatch.setattr(preflight, "line_of", counted)
    (project.downgrade if direction == "downgrade" else project.upgrade)(url)
    assert len(read) == 1
