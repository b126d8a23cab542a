"""Two branches merged in git: from every state there is a way out that is printed, and it works.

The branches are `x1 x2` and `y1 y2`, both after the project's head. A state is what a database has run of them. The way
out is followed mechanically: edits as they are printed, then `alembic upgrade head`, until that succeeds.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from alembic import command

from app.migrations import checksums, commands
from app.migrations.drift import Claim
from app.migrations.errors import HistoryError, MigrationError, PendingRevisions, UnresolvedFailure
from app.migrations.run import Outcome
from app.project import PROJECT
from tests.support.alembic_in_process import HEAD, command_line, config, downgrade, upgrade
from tests.support.database_access import engine, execute, query
from tests.support.databases import At, everyday
from tests.support.editable_project import EditableProject
from tests.support.environment import variables
from tests.support.ledger_rows import attempts

pytestmark = pytest.mark.exhaustive

EDIT = re.compile(r"in (\S+) write down_revision = (\S+|\(.*?\)) instead of (\(.*?\)|'\w+'|None)")
X, Y = ["20270101000001", "20270101000003"], ["20270101000002", "20270101000004"]
Z = ["20270101000005", "20270101000006"]
BRANCHES = {"X": X, "Y": Y, "Z": Z}
ALL = sorted([*X, *Y])
MERGE = "cafe12345678"
# By what has run, as Alembic's branches allow it: each branch as far as it was.
STATES: dict[str, list[str]] = {
    "nothing": [],
    "first": X,
    "half of the first": X[:1],
    "later": Y,
    "half of the later": Y[:1],
    "both": [*X, *Y],
    "both, half": [*X[:1], *Y[:1]],
    "all of the first, half of the later": [*X, *Y[:1]],
}
OTHER_ORDERS = {"later first": [*Y, *X], "in turn": [X[0], Y[0], X[1], Y[1]], "later in turn": [Y[0], X[0], Y[1], X[1]]}
_REVISION = '''\
"""A revision of a test."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {parent!r}


def upgrade() -> None:
    op.create_table("t{revision}", sa.Column("n", sa.Integer, nullable=False))


def downgrade() -> None:
    op.drop_table("t{revision}")
'''
_EMPTY = """\
revision = "cafe12345678"
down_revision = {parents!r}


def upgrade(): ...


def downgrade(): ...
"""


class Branches:
    """The project's history with two branches at its end, and databases that ran some of it."""

    def __init__(self, editable: EditableProject) -> None:
        self.editable = editable
        self.project = replace(PROJECT, root=editable.folder)
        tables = "; ".join(f"sa.Table('t{r}', metadata, sa.Column('n', sa.Integer, nullable=False))" for r in ALL)
        editable.edit_models(tables)

    def write(self, *order: str, parent: str = HEAD) -> None:
        """Writes revisions, each after the one before it."""
        for revision in order:
            text = _REVISION.format(revision=revision, parent=parent)
            (self.editable.versions / f"{revision}_test.py").write_text(text, encoding="utf-8")
            parent = revision

    def checkout(self, *names: str) -> None:
        """Leaves the files of these branches: `X`, `Y`, or both as after a merge."""
        for revision in [*ALL, *Z, MERGE]:
            (self.editable.versions / f"{revision}_test.py").unlink(missing_ok=True)
        for name in names:
            self.write(*BRANCHES[name])

    def bring(self, url: str, state: Sequence[str]) -> None:
        """Lets a database run what is in `state`, each branch by the code of that branch."""
        rows = []
        for name, branch in BRANCHES.items():
            if ran := [revision for revision in state if revision in branch]:
                self.checkout(name)
                execute(url, f"UPDATE alembic_version SET version_num = '{HEAD}'")
                upgrade(url, ran[-1], self.editable.ini)
                rows.append(ran[-1])
        for row in rows[:-1]:  # as `alembic upgrade heads` of older code left it
            execute(url, f"INSERT INTO alembic_version VALUES ('{row}')")

    def merge(self, *ends: str) -> None:
        """Writes what `alembic merge heads` wrote."""
        text = _EMPTY.format(parents=ends or (X[-1], Y[-1]))
        (self.editable.versions / f"{MERGE}_test.py").write_text(text, encoding="utf-8")

    def ran_merge(self, url: str, ends: tuple[str, ...]) -> None:
        """Leaves a database as older code did, which ran the merge revision."""
        checksum = checksums.checksum(_EMPTY.format(parents=ends).encode())
        execute(
            url,
            "DELETE FROM alembic_version",
            f"INSERT INTO alembic_version VALUES ('{MERGE}')",
            "INSERT INTO schema_ledger (revision, direction, outcome, started_at, checksum, repeatable) VALUES "
            f"('{MERGE}', 'upgrade', 'applied', '2027-01-01 00:00:00', '{checksum}', true)",
        )

    def follow(self, url: str) -> list[str]:
        """Follows what is printed until the upgrade succeeds; returns the messages."""
        messages: list[str] = []
        while refusal := self.refusal(url):
            messages.append(refusal)
            edits = EDIT.findall(refusal)
            assert edits, refusal
            assert len(messages) < 4, messages
            for name, new, old in edits:
                self.edit(name, f"down_revision = {old}", f"down_revision = {new}")
        return messages

    def refusal(self, url: str, kind: type[MigrationError] = HistoryError) -> str:
        """Runs an upgrade, and returns why it is refused."""
        try:
            upgrade(url, "head", self.editable.ini)
        except kind as error:
            return str(error)
        return ""

    def edit(self, name: str, old: str, new: str) -> None:
        (file,) = self.editable.versions.glob(f"{name.removesuffix('.py')}*")
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, (old, text)
        file.write_text(text.replace(old, new), encoding="utf-8")

    def require_in_order(self, url: str, revisions: Sequence[str] = ALL) -> None:
        """Asserts that a database is at head, has what the models want, and ran every revision once."""
        command.check(config(url, self.editable.ini))
        ran = [
            revision for revision, direction, outcome in attempts(url) if (direction, outcome) == ("upgrade", "applied")
        ]
        assert sorted(revision for revision in ran if revision in revisions) == [*revisions]
        status = commands.read_status(PROJECT, engine(url))
        assert (status.code, status.at, status.pending) == ("ok", [status.head], [])
        assert query(url, "SELECT count(*) FROM alembic_version") == [(1,)]
        assert self.missing(url) == []
        upgrade(url, "head", self.editable.ini)  # nothing to do

    def missing(self, url: str) -> list[str]:
        """Asks as a new process of an application does."""
        from app.migrations import project

        project._line.cache_clear()
        return self.project.missing(engine(url))


@pytest.fixture
def branches(editable: EditableProject) -> Branches:
    return Branches(editable)


@pytest.mark.parametrize("state", STATES)
def test_the_printed_edit_and_an_upgrade_lead_out(state: str, branches: Branches, head_url: str) -> None:
    branches.bring(head_url, STATES[state])
    branches.checkout("X", "Y")
    assert commands.read_status(PROJECT, engine(head_url)).code == "history"
    assert branches.missing(head_url) == [revision for revision in ALL if revision not in STATES[state]]
    (said,) = branches.follow(head_url)
    assert "2 ends" in said
    branches.require_in_order(head_url)


@pytest.mark.one_database
@pytest.mark.parametrize("order", everyday(OTHER_ORDERS, {"later in turn"}))
@pytest.mark.parametrize("state", everyday(STATES, {"first", "both, half"}))
def test_every_other_order_leads_out_too(state: str, order: str, branches: Branches, head_url: str) -> None:
    line = OTHER_ORDERS[order]
    branches.bring(head_url, STATES[state])
    branches.write(*line)
    lacks = [revision for revision in line if revision not in STATES[state]]
    assert branches.missing(head_url) == lacks
    assert [revision.revision for revision in commands.read_status(PROJECT, engine(head_url)).pending] == lacks
    assert branches.follow(head_url) == []
    branches.require_in_order(head_url)


@pytest.mark.one_database
@pytest.mark.parametrize("state", everyday(STATES, {"half of the later", "all of the first, half of the later"}))
def test_a_second_edit_turns_the_order_around(state: str, branches: Branches, head_url: str) -> None:
    branches.bring(head_url, STATES[state])
    branches.write(*X, *Y)
    upgrade(head_url, "head", branches.editable.ini)
    for line in ([*Y, *X], [X[0], Y[0], X[1], Y[1]], [*X, *Y]):
        branches.write(*line)
        assert branches.missing(head_url) == []
        assert branches.follow(head_url) == []
        branches.require_in_order(head_url)


@pytest.mark.parametrize("state", everyday(STATES, {"later", "both"}))
def test_a_merge_revision_is_refused_with_the_edits_that_make_one_line(
    state: str, branches: Branches, head_url: str
) -> None:
    branches.bring(head_url, STATES[state])
    branches.checkout("X", "Y")
    branches.merge()
    lacks = [revision for revision in ALL if revision not in STATES[state]]
    assert branches.missing(head_url) == [*lacks, MERGE]
    (said,) = branches.follow(head_url)
    assert "merges two branches" in said
    branches.require_in_order(head_url)


def test_a_merge_revision_that_older_code_has_run_becomes_part_of_the_line(branches: Branches, head_url: str) -> None:
    branches.bring(head_url, ALL)
    branches.checkout("X", "Y")
    branches.merge()
    branches.ran_merge(head_url, (X[-1], Y[-1]))
    assert branches.missing(head_url) == []
    branches.follow(head_url)
    branches.require_in_order(head_url)


def test_a_downgrade_waits_until_nothing_is_missing(branches: Branches, head_url: str) -> None:
    branches.bring(head_url, Y)
    branches.write(*X, *Y)
    url, ini = head_url, branches.editable.ini
    told = f"lacks {', '.join(X)}, .* before {Y[-1]} now.*alembic upgrade head"
    for refused in (
        lambda: downgrade(url, "-1", ini),
        lambda: command.check(config(url, ini)),
        lambda: commands.check(PROJECT, engine(url)),
        lambda: commands.plan_revert(PROJECT, engine(url)),
        lambda: commands.script(PROJECT, engine(url)),
    ):
        with pytest.raises(PendingRevisions, match=told):
            refused()
    status = commands.read_status(PROJECT, engine(url))
    assert (status.code, [revision.revision for revision in status.pending]) == ("pending", X)
    assert re.search(told, status.notes[0])
    assert commands.deploy(PROJECT, engine(url), dry_run=True).applied == X
    upgrade(head_url, "head", branches.editable.ini)
    downgrade(head_url, HEAD, branches.editable.ini, accept=ALL)
    assert query(head_url, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert branches.missing(head_url) == [*X, *Y]


def test_one_order_serves_databases_that_ran_different_branches(branches: Branches, head_url: str) -> None:
    branches.bring(head_url, X)
    branches.checkout("Y")  # the other branch's code
    assert branches.missing(head_url) == Y
    with pytest.raises(HistoryError, match="ahead of the code"):
        upgrade(head_url, "head", branches.editable.ini)
    branches.write(*X, *Y)
    branches.follow(head_url)
    branches.require_in_order(head_url)


@pytest.mark.parametrize("line", ["merge heads -m both", "revision -m more", "check", "upgrade head --sql"])
def test_commands_that_need_one_line_print_the_edit(line: str, branches: Branches, sqlite_head: str) -> None:
    branches.checkout("X", "Y")
    files = [*branches.editable.versions.glob("*.py")]
    done = command_line(*line.split(), env=variables(sqlite_head), folder=branches.editable.folder)
    assert (done.returncode, done.stderr.partition(" (")[0]) == (5, "FAILED: The history has 2 ends")
    assert [*branches.editable.versions.glob("*.py")] == files


def test_what_is_missing_and_was_made_by_hand_is_resolved_as_applied(branches: Branches, at: At) -> None:
    url, spare = at(HEAD), at(HEAD)
    branches.bring(url, Y)
    branches.write(*X, *Y)
    branches.editable.snap(spare, *X, *Y)
    for revision in X:
        with pytest.raises(UnresolvedFailure, match=f"table t{X[1]}: is not there"):
            commands.resolve(PROJECT, Claim(revision, True), engine(url))
    execute(url, *(f"CREATE TABLE t{revision} (n INTEGER NOT NULL)" for revision in X))
    assert "already exists" in branches.refusal(url, MigrationError)
    for revision in X:
        assert commands.resolve(PROJECT, Claim(revision, True), engine(url)).outcomes == {revision: Outcome.ADOPTED}
    assert branches.missing(url) == []
    assert commands.check(PROJECT, engine(url)).code == "ok"
    upgrade(url, "head", branches.editable.ini)


def test_an_edit_of_more_than_the_parent_is_an_edit(branches: Branches, head_url: str) -> None:
    branches.bring(head_url, Y)
    branches.write(*X, *Y)
    branches.edit(Y[0], '"n", sa.Integer', '"n", sa.BigInteger')
    with pytest.raises(MigrationError, match=f"{Y[0]} was edited after it was applied"):
        upgrade(head_url, "head", branches.editable.ini)


def test_two_edits_that_were_merged_make_a_circle(branches: Branches, head_url: str) -> None:
    branches.bring(head_url, X)
    branches.write(*X, parent=Y[-1])
    branches.write(*Y, parent=X[-1])
    (said,) = branches.follow(head_url)
    assert "follow each other" in said
    branches.require_in_order(head_url)


# --- three branches -----------------------------------------------------------

OF_THREE = sorted([*ALL, *Z])
STATES_OF_THREE: dict[str, list[str]] = {
    "nothing": [],
    "the first": X,
    "the middle": Y,
    "half of the last": Z[:1],
    "first and last": [*X, *Z],
    "middle, half of the last": [*Y, *Z[:1]],
    "all, half": [X[0], Y[0], Z[0]],
    "all": [*X, *Y, *Z],
}


@pytest.fixture
def three(branches: Branches) -> Branches:
    branches.editable.edit_models(
        "; ".join(f"sa.Table('t{r}', metadata, sa.Column('n', sa.Integer, nullable=False))" for r in OF_THREE)
    )
    return branches


@pytest.mark.one_database
@pytest.mark.parametrize("state", everyday(STATES_OF_THREE, {"middle, half of the last", "all"}))
@pytest.mark.parametrize("merged", [False, True], ids=["three ends", "a merge"])
def test_three_branches_have_a_way_out_in_one_message(state: str, merged: bool, three: Branches, head_url: str) -> None:
    three.bring(head_url, STATES_OF_THREE[state])
    three.checkout("X", "Y", "Z")
    if merged:
        three.merge(Y[-1], Z[-1], X[-1])
    lacks = [revision for revision in OF_THREE if revision not in STATES_OF_THREE[state]]
    assert three.missing(head_url) == [*lacks, *[MERGE] * merged]
    (said,) = three.follow(head_url)
    assert ("merges three branches" if merged else "3 ends") in said
    three.require_in_order(head_url, OF_THREE)


@pytest.mark.one_database
@pytest.mark.parametrize("ends", [(X[-1], Y[-1], Z[-1]), (Z[-1], X[-1], Y[-1])], ids=["sorted", "as found"])
def test_a_merge_of_three_that_older_code_has_run_becomes_part_of_the_line(
    ends: tuple[str, ...], three: Branches, head_url: str
) -> None:
    three.bring(head_url, OF_THREE)
    three.checkout("X", "Y", "Z")
    three.merge(*ends)
    three.ran_merge(head_url, ends)
    assert three.missing(head_url) == []
    three.follow(head_url)
    three.require_in_order(head_url, OF_THREE)


def test_branches_of_branches_and_a_merge_before_another_have_a_way_out(three: Branches, head_url: str) -> None:
    three.bring(head_url, X)
    three.checkout("X", "Y")
    three.merge()
    three.write(*Z, parent=X[0])  # begins in the midst of a branch
    three.follow(head_url)
    three.require_in_order(head_url, OF_THREE)
