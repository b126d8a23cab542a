"""`schema lint` on deploy order: for each rule a revision that is found, and ones that aren't; whole texts."""

import json

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.migrations.errors import ConfigurationError, HistoryError
from app.migrations.lint import Linted, formatted, lint
from app.migrations.releases import Release
from app.migrations.rules.releases import RELEASES
from tests.support.alembic_in_process import History
from tests.support.approved_texts import Approve

FACTS = {
    "table users": {},
    "column users.id": {"type": "bigint", "nullable": False},
    "column users.name": {"type": "text", "nullable": True},
    "column users.legacy": {"type": "text", "nullable": True},
    "column users.seen": {"type": "text", "nullable": True, "default": "'never'"},
    "table old": {},
    "column old.a": {"type": "text", "nullable": True},
    "view names": {"definition": "SELECT name FROM users"},
    "column users.rank": {"type": "integer", "nullable": False, "default": "0"},
    "trigger users.names": {"definition": "CREATE TRIGGER names …"},
    "function fill()": {"definition": "CREATE OR REPLACE FUNCTION fill() …"},
}
UNMAPPED = ["users.legacy", "old"]
DROP = 'op.drop_column("users", "name")'
REQUIRE = 'with op.concurrently():\n    op.alter_column("users", "name", existing_type=sa.Text, nullable=False)'
VIEW = 'op.execute("CREATE VIEW users AS SELECT * FROM people")'
NEW = 'op.add_column("users", sa.Column("nick", sa.Text))'
NO_DEFAULT = 'op.execute("ALTER TABLE users ALTER rank DROP DEFAULT")'
NO_TRIGGER = 'op.execute("DROP TRIGGER IF EXISTS names ON users")'
NO_FUNCTION = 'op.execute("DROP FUNCTION public.fill() CASCADE")'
NO_RIGHT = 'op.execute("REVOKE SELECT ON users, old FROM PUBLIC")'
POLICIES = 'op.execute("ALTER TABLE users ENABLE ROW LEVEL SECURITY")'
REQUIRED = 'op.add_column("users", sa.Column("nick", sa.Text, server_default="x", nullable=False))'
Bodies = list[tuple[str, str]]  # the phase of a revision, and what it does

# The first revision is the released one, where there is evidence.
FOUND: dict[str, tuple[str, bool, Bodies]] = {
    "drop-before-release": ("a drop", False, [("", DROP)]),
    "rename-in-use": ("a rename", False, [("expand", 'op.alter_column("users", "name", new_column_name="nick")')]),
    "rename-table-in-use": ("a renamed table", False, [("expand", 'op.rename_table("users", "people")')]),
    "not-null-before-release": ("a required column", False, [("migrate", REQUIRE)]),
    "rights-before-release": ("rights", False, [("expand", NO_RIGHT.replace(", old", ""))]),
    "contract-before-release": ("a contract", True, [("expand", NEW), ("migrate", "pass"), ("contract", "pass")]),
}
MORE_FOUND: list[tuple[str, bool, Bodies]] = [
    ("drop-before-release", False, [("expand", DROP)]),
    ("drop-before-release", False, [("migrate", 'op.drop_table("users")')]),
    ("drop-before-release", False, [("", 'op.execute("DROP TABLE IF EXISTS users CASCADE")')]),
    ("drop-before-release", False, [("", 'op.execute("DROP VIEW names")')]),
    ("drop-before-release", False, [("", 'op.execute("DROP MATERIALIZED VIEW names")')]),
    ("drop-before-release", True, [("", DROP)]),
    ("drop-before-release", True, [("contract", DROP)]),
    ("drop-before-release", True, [("contract", 'op.drop_table("users")')]),
    ("drop-before-release", True, [("contract", 'op.execute("DROP VIEW names")')]),
    ("rename-in-use", True, [("contract", 'op.alter_column("users", "name", new_column_name="nick")')]),
    ("rename-in-use", False, [("", 'op.execute("ALTER TABLE users RENAME name TO nick")')]),
    ("rename-table-in-use", True, [("", 'op.execute("ALTER TABLE users RENAME TO people")')]),
    ("rename-table-in-use", False, [("", 'op.rename_table("users", "people")'), ("", VIEW)]),
    ("not-null-before-release", True, [("expand", NEW), ("", REQUIRE.replace("name", "nick"))]),
    ("not-null-before-release", False, [("expand", NO_DEFAULT)]),
    ("not-null-before-release", False, [("", REQUIRED + "\n" + NO_DEFAULT.replace("rank", "nick"))]),
    ("drop-before-release", False, [("", NO_TRIGGER)]),
    ("drop-before-release", False, [("migrate", NO_FUNCTION)]),
    ("rename-table-in-use", False, [("", 'op.execute("ALTER TABLE users SET SCHEMA auth")')]),
    ("rights-before-release", True, [("", POLICIES)]),
    ("rights-before-release", False, [("", 'op.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM app")')]),
    ("contract-before-release", True, [("migrate", "pass"), ("", "pass"), ("contract", "pass")]),
]
NOT_FOUND: list[tuple[bool, Bodies]] = [
    (False, [("contract", DROP)]),
    (False, [("contract", 'op.drop_table("users")')]),
    (False, [("", NEW), ("", 'op.drop_column("users", "nick")')]),
    (False, [("", 'op.create_table("notes", sa.Column("id", sa.Integer))'), ("", 'op.drop_table("notes")')]),
    (False, [("", 'op.create_table("notes", sa.Column("id", sa.Integer))'), ("", 'op.rename_table("notes", "n")')]),
    (False, [("", 'op.rename_table("users", "people")\n' + VIEW)]),
    (False, [("contract", 'op.alter_column("users", "name", new_column_name="nick")')]),
    (False, [("contract", 'op.rename_table("users", "people")')]),
    (False, [("", 'op.execute("DROP VIEW names")\nop.execute("CREATE VIEW names AS SELECT id FROM users")')]),
    (False, [("contract", REQUIRE)]),
    (False, [("", REQUIRE.replace("name", "seen"))]),
    (False, [("", 'op.execute("ALTER TABLE users ALTER name DROP NOT NULL")')]),
    (False, [("expand", NEW), ("migrate", "pass"), ("contract", "pass")]),
    (False, [("contract", f"{NO_DEFAULT}\n{NO_TRIGGER}\n{NO_FUNCTION}\n{NO_RIGHT}\n{POLICIES}")]),
    (False, [("", NO_DEFAULT + '\nop.execute("ALTER TABLE users ALTER rank SET DEFAULT 1")')]),
    (False, [("", NO_DEFAULT + '\nop.execute("ALTER TABLE users ALTER rank DROP NOT NULL")')]),
    (False, [("", NO_DEFAULT.replace("rank", "seen"))]),
    (False, [("", NO_TRIGGER + '\nop.execute("CREATE TRIGGER names AFTER DELETE ON users EXECUTE FUNCTION f()")')]),
    (False, [("", NO_TRIGGER.replace("names", "others"))]),
    (False, [("", POLICIES + '\nop.execute("CREATE POLICY all_rows ON users USING (true)")')]),
    (False, [("", 'op.execute("ALTER TABLE users SET SCHEMA auth")\n' + VIEW)]),
    (False, [("", 'op.execute("REVOKE USAGE ON TYPE mood FROM app; ALTER TYPE mood SET SCHEMA auth")')]),
    (True, [("contract", 'op.drop_column("users", "legacy")')]),
    (True, [("", 'op.drop_column("users", "legacy")')]),
    (True, [("", 'op.drop_table("old")')]),
    (True, [("", 'op.drop_column("old", "a")')]),
    (True, [("", 'op.alter_column("users", "legacy", new_column_name="older")')]),
    (True, [("", 'op.drop_table("unknown_then")')]),
    (True, [("", NEW), ("", 'op.drop_column("users", "nick")')]),
    (True, [("contract", "pass"), ("expand", NEW)]),
    (True, [("", "pass"), ("contract", "pass")]),
]


def looked_at(history: History, bodies: Bodies, release: Release | None, released: str = "") -> Linted:
    """The findings in revisions of these phases and bodies, after one that has the table `users`."""
    revisions = [history.add("pass")]
    for phase, body in bodies:
        revisions.append(history.add(body))
        file = history.ini.parent / "versions" / f"{revisions[-1]}.py"
        declared = f'\nphase = "{phase}"\n' if phase else ""
        file.write_text(file.read_text(encoding="utf-8") + declared, encoding="utf-8")
    folder = history.ini.parent / "snapshots" / "postgresql"
    folder.mkdir(parents=True)
    for revision in revisions:
        (folder / f"{revision}.json").write_text(json.dumps(FACTS), encoding="utf-8")
    text = history.ini.read_text(encoding="utf-8")
    history.ini.write_text(f"{text}\n[schema]\n{released.format(revisions[0])}\n", encoding="utf-8")
    config = Config(history.ini)
    return lint(config, [*ScriptDirectory.from_config(config).walk_revisions()][::-1], release=release)


def evidence(*, is_there: bool) -> str:
    return f"released = {{}}\nunmapped = {', '.join(UNMAPPED)}" if is_there else ""


def rules(found: Linted) -> list[str]:
    """The rules of releases that were found; other rules are tested elsewhere."""
    return [finding.stall.rule for finding in found.findings if finding.stall.rule in RELEASES]


def test_each_rule_has_its_cases() -> None:
    assert FOUND.keys() == RELEASES.keys()


@pytest.mark.parametrize("rule", FOUND)
def test_a_bad_one_is_found(rule: str, history: History, approve: Approve) -> None:
    _, is_there, bodies = FOUND[rule]
    found = looked_at(history, bodies, None, evidence(is_there=is_there))
    assert rules(found) == [rule]
    assert found.exit_code == 9
    approve(f"lint/{rule}.txt", formatted(found, "text"))


@pytest.mark.parametrize(("rule", "is_there", "bodies"), MORE_FOUND)
def test_other_spellings_are_found(rule: str, bodies: Bodies, history: History, *, is_there: bool) -> None:
    assert rules(looked_at(history, bodies, None, evidence(is_there=is_there))) == [rule]


@pytest.mark.parametrize(("is_there", "bodies"), NOT_FOUND)
def test_a_good_one_is_not(bodies: Bodies, history: History, *, is_there: bool) -> None:
    found = looked_at(history, bodies, None, evidence(is_there=is_there))
    assert [finding.text() for finding in found.findings if finding.stall.rule in RELEASES] == []


def test_what_is_released_is_not_judged(history: History) -> None:
    """Nothing can be done about it any more."""
    bodies = [("", DROP), ("expand", NEW), ("contract", 'op.rename_table("users", "people")')]
    assert rules(looked_at(history, bodies, Release("20260101000003", frozenset()))) == []


def test_the_release_of_a_database_replaces_that_of_the_file(history: History) -> None:
    bodies = [("expand", NEW), ("contract", "pass")]
    found = looked_at(history, bodies, Release("20260101000001", frozenset()), evidence(is_there=True))
    assert rules(found) == []


def test_a_waiver_speaks_of_the_object(history: History) -> None:
    history.add("pass")
    found = looked_at(history, [("", DROP), ("", 'op.drop_table("old")')], None)
    assert [finding.stall.name for finding in found.findings] == [
        "drop-before-release users.name",
        "drop-before-release old",
    ]


def test_a_release_that_is_none_is_refused(history: History) -> None:
    with pytest.raises(ConfigurationError, match="The released revision 2025 isn't in this code"):
        looked_at(history, [("", "pass")], Release("2025", frozenset()))


def test_a_release_without_a_snapshot_is_refused(history: History) -> None:
    history.add("pass")
    with pytest.raises(HistoryError, match="20260101000000 has no snapshot for postgresql"):
        looked_at(history, [("", "pass")], Release("20260101000000", frozenset()))
