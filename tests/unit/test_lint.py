"""`schema lint`: for each rule a revision that is found, and one that isn't; whole texts."""

import json
from xml.etree import ElementTree as ET

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.migrations.errors import ConfigurationError
from app.migrations.lint import FORMATS, Linted, formatted, lint
from app.migrations.rules.releases import RELEASES
from app.migrations.rules.stalls import RULES, Severity
from tests.support.alembic_in_process import History
from tests.support.approved_texts import Approve

TABLES = """
op.create_table("parents", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("a", sa.Integer))
op.create_table("users", sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("name", sa.String(20)))
op.create_index("users_name_id_idx", "users", ["name", "id"])
"""
FACTS = {
    "table users": {},
    "column users.id": {"type": "bigint", "nullable": False, "default": "nextval('users_id_seq'::regclass)"},
    "column users.name": {"type": "character varying(20)", "nullable": True},
    "column users.age": {"type": "integer", "nullable": True},
    "column users.parent": {"type": "bigint", "nullable": True},
    "column users.code": {"type": "character varying(5)", "nullable": True},
    "column users.nick": {"type": "text", "nullable": True},
    "constraint users.users_code_check": {"definition": "CHECK (((code)::text <> ''::text))", "valid": True},
    "constraint users.users_name_key": {"definition": "UNIQUE (name, age)", "valid": True},
    "index users.users_nick_idx": {"definition": "CREATE INDEX users_nick_idx ON users USING btree (nick)"},
    "table logs": {"kind": "partitioned", "partitioned_by": "RANGE (at)"},
    "table logs_1": {},
    "domain positive": {"type": "integer", "nullable": True, "checks": ["positive_check CHECK ((VALUE > 0))"]},
    "domain word": {"type": "text", "nullable": True},
    "function rebuild()": {"definition": "CREATE OR REPLACE FUNCTION rebuild() …"},
    "constraint users.users_pkey": {"definition": "PRIMARY KEY (id)"},
    "index users.users_name_id_idx": {"definition": "CREATE INDEX users_name_id_idx ON users USING btree (name, id)"},
}
NOT_VALID = 'op.create_check_constraint("users_age_check", "users", "age > 0", postgresql_not_valid=True)'


FINE = """op.execute("ALTER TYPE mood ADD VALUE 'fine'")"""
ATTACH = """op.execute("ALTER TABLE logs ATTACH PARTITION {logs} FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')")"""
AUTOCOMMIT = "op.get_context().autocommit_block()"


def block(call: str, within: str = "op.concurrently()") -> str:
    return f"with {within}:\n    {call}"


# What is found, and what does the same without.
CASES = {
    "index": (
        'op.create_index("users_age_idx", "users", ["age"])',
        'with op.concurrently():\n    op.create_index("users_age_idx", "users", ["age"])',
    ),
    "drop-index": (
        'op.drop_index("users_name_id_idx", "users")',
        'with op.concurrently():\n    op.drop_index("users_name_id_idx", "users")',
    ),
    "concurrent-in-transaction": (
        'op.execute("CREATE INDEX CONCURRENTLY users_age_idx ON users (age)")',
        block(
            'op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS users_age_idx ON users (age)")',
            AUTOCOMMIT,
        ),
    ),
    "unique": (
        'op.create_unique_constraint("users_age_key", "users", ["age"])',
        'with op.concurrently():\n    op.create_unique_constraint("users_age_key", "users", ["age"])',
    ),
    "primary-key": (
        'op.create_primary_key("users_key", "users", ["age"])',
        'op.execute("ALTER TABLE users ADD CONSTRAINT users_key PRIMARY KEY USING INDEX users_age_key")',
    ),
    "exclude": (
        'op.execute("ALTER TABLE users ADD CONSTRAINT users_one EXCLUDE USING gist (age WITH =)")',
        'op.execute("CREATE TABLE rooms (a int, EXCLUDE USING gist (a WITH =))")',
    ),
    "foreign-key": (
        'op.create_foreign_key("users_id_fkey", "users", "parents", ["id"], ["id"])',
        'with op.concurrently():\n    op.create_foreign_key("users_id_fkey", "users", "parents", ["id"], ["id"])',
    ),
    "check": (
        'op.create_check_constraint("users_age_check", "users", "age > 0")',
        NOT_VALID,
    ),
    "not-null": (
        'op.alter_column("users", "age", existing_type=sa.Integer, nullable=False)',
        'with op.concurrently():\n    op.alter_column("users", "id", existing_type=sa.BigInteger, nullable=False)',
    ),
    "validate-in-transaction": (
        f'{NOT_VALID}\nop.validate_constraint("users_age_check", "users")',
        'op.validate_constraint("users_age_check", "users")',
    ),
    "rewrite-type": (
        'op.alter_column("users", "age", type_=sa.BigInteger)',
        'op.alter_column("users", "name", type_=sa.String(30))',
    ),
    "volatile-default": (
        'op.add_column("users", sa.Column("token", sa.Uuid, server_default=sa.text("gen_random_uuid()")))',
        'op.add_column("users", sa.Column("seen", sa.DateTime, server_default=sa.func.now()))',
    ),
    "required-column": (
        'op.add_column("users", sa.Column("nick", sa.Text, nullable=False))',
        'op.add_column("users", sa.Column("nick", sa.Text, nullable=False, server_default="none"))',
    ),
    "stored-column": (
        'op.add_column("users", sa.Column("twice", sa.Integer, sa.Computed("age * 2", persisted=True)))',
        'op.add_column("users", sa.Column("twice", sa.Integer))',
    ),
    "counting-column": (
        'op.add_column("users", sa.Column("number", sa.Integer, sa.Identity()))',
        'op.add_column("users", sa.Column("number", sa.Integer))',
    ),
    "column-with-constraint": (
        'op.execute("ALTER TABLE users ADD COLUMN nick text UNIQUE")',
        'op.execute("ALTER TABLE users ADD COLUMN parent bigint CONSTRAINT users_parent_fkey REFERENCES parents (id)")',
    ),
    "rewrite": (
        'with op.get_context().autocommit_block():\n    op.execute("VACUUM FULL users")',
        'with op.get_context().autocommit_block():\n    op.execute("VACUUM users")',
    ),
    "second-lock": (
        'op.add_column("users", sa.Column("nick", sa.Text))\nop.add_column("parents", sa.Column("nick", sa.Text))',
        'op.add_column("users", sa.Column("nick", sa.Text))\nop.add_column("users", sa.Column("nock", sa.Text))',
    ),
    "rows-in-transaction": (
        'op.add_column("users", sa.Column("nick", sa.Text))\nop.execute("UPDATE users SET nick = name")',
        'op.execute("UPDATE users SET age = 1 WHERE age = 0")',
    ),
    "unindexed-foreign-key": (
        'with op.concurrently():\n    op.create_foreign_key("users_age_fkey", "users", "parents", ["age"], ["a"])',
        'with op.concurrently():\n    op.create_foreign_key("users_id_fkey", "users", "parents", ["id"], ["id"])',
    ),
    "prefix-index": (
        'with op.concurrently():\n    op.create_index("users_name_idx", "users", ["name"])',
        'with op.concurrently():\n    op.create_index("users_id_name_idx", "users", ["age", "name"])',
    ),
    "constrained-domain": (
        'op.execute("ALTER TABLE users ADD COLUMN rank positive")',
        'op.execute("ALTER TABLE users ADD COLUMN rank word")',
    ),
    "check-rescan": (
        'op.alter_column("users", "code", type_=sa.String(9))',
        'op.drop_constraint("users_code_check", "users")\nop.alter_column("users", "code", type_=sa.String(9))',
    ),
    "index-rebuild": (
        'op.execute("ALTER TABLE users ALTER nick TYPE citext")',
        'op.execute("ALTER TABLE users ALTER nick TYPE varchar")',
    ),
    "enforced": (
        'op.execute("ALTER TABLE users ALTER CONSTRAINT users_fkey ENFORCED")',
        'op.execute("ALTER TABLE users ALTER CONSTRAINT users_fkey DEFERRABLE")',
    ),
    "attach": (
        ATTACH.format(logs="logs_1"),
        f'op.execute("CREATE TABLE logs_2 (LIKE logs)")\n{ATTACH.format(logs="logs_2")}',
    ),
    "detach": (
        'op.execute("ALTER TABLE logs DETACH PARTITION logs_1")',
        block('op.execute("ALTER TABLE logs DETACH PARTITION logs_1 CONCURRENTLY")', AUTOCOMMIT),
    ),
    "create-partition": (
        """op.execute("CREATE TABLE logs_2 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')")""",
        f'op.execute("CREATE TABLE logs_2 (LIKE logs INCLUDING ALL)")\n{ATTACH.format(logs="logs_2")}',
    ),
    "drop-partition": (
        'op.drop_table("logs_p20260105")',
        block(
            'op.execute("ALTER TABLE logs DETACH PARTITION logs_p20260105 CONCURRENTLY")\n'
            '    op.execute("DROP TABLE IF EXISTS logs_p20260105")',
            AUTOCOMMIT,
        ),
    ),
    "index-on-parent": (
        block('op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS logs_at_idx ON logs (at)")', AUTOCOMMIT),
        block('op.create_index("logs_at_idx", "logs", ["at"])'),
    ),
    "long-backfill": (
        'op.execute("UPDATE users SET nick = lower(name) WHERE nick IS NULL")',
        'op.fill_column("users", "nick", "lower(name)")',
    ),
    "missing-lock-timeout": ('op.execute("SET lock_timeout = 0")', "op.execute(\"SET lock_timeout = '2s'\")"),
    "enum-value-used": (
        f"""{FINE}\nop.execute("ALTER TABLE users ALTER nick SET DEFAULT 'fine'")""",
        FINE,
    ),
    "not-repeatable": (
        block('op.execute("ALTER TABLE users ADD COLUMN rank int")', AUTOCOMMIT),
        block('op.execute("ALTER TABLE users ADD COLUMN IF NOT EXISTS rank int")', AUTOCOMMIT),
    ),
    "column-order": (
        'op.execute("INSERT INTO parents SELECT * FROM users")',
        'op.execute("INSERT INTO parents (id, a) SELECT id, age FROM users")',
    ),
    "duplicate-index": (
        block('op.create_index("users_again", "users", ["name", "age"], unique=True)'),
        block('op.create_index("users_again", "users", ["name", "parent"], unique=True)'),
    ),
    "read-under-lock": (
        'op.add_column("users", sa.Column("rank", sa.Text))\nop.execute("CREATE TABLE n AS SELECT age FROM users")',
        'op.execute("CREATE TABLE n AS SELECT age FROM users")\nop.add_column("users", sa.Column("rank", sa.Text))',
    ),
    "unreadable": ('op.execute("ALTR TABLE users")', 'op.execute("ALTER TABLE users SET (fillfactor = 70)")'),
}


def looked_at(history: History, *bodies: str, extra: str = "", waived: str = "") -> Linted:
    """The findings in revisions with these bodies; the snapshot before each has the table `users`."""
    revisions = [history.add(body) for body in bodies]
    folder = history.ini.parent
    if extra:
        file = folder / "versions" / f"{revisions[-1]}.py"
        file.write_text(file.read_text(encoding="utf-8") + extra, encoding="utf-8")
    (folder / "snapshots" / "postgresql").mkdir(parents=True)
    for revision in revisions:
        (folder / "snapshots" / "postgresql" / f"{revision}.json").write_text(json.dumps(FACTS), encoding="utf-8")
    if waived:
        history.ini.write_text(
            f"{history.ini.read_text(encoding='utf-8')}\n[schema]\nwaived = {waived}\n", encoding="utf-8"
        )
    config = Config(history.ini)
    scripts = [*ScriptDirectory.from_config(config).walk_revisions()][::-1]
    return lint(config, scripts[1:])


def test_each_rule_has_its_cases() -> None:
    assert CASES.keys() | RELEASES.keys() == RULES.keys()  # those of releases have theirs in test_lint_releases


@pytest.mark.parametrize("rule", CASES)
def test_the_bad_one_is_found(rule: str, history: History, approve: Approve) -> None:
    found = looked_at(history, TABLES, CASES[rule][0])
    assert rule in {finding.stall.rule for finding in found.findings}
    assert found.exit_code == (0 if RULES[rule].severity is Severity.NOTE else 9)
    approve(f"lint/{rule}.txt", formatted(found, "text"))


@pytest.mark.parametrize("rule", CASES)
def test_the_good_one_is_not(rule: str, history: History) -> None:
    found = looked_at(history, TABLES, CASES[rule][1])
    assert [finding.text() for finding in found.findings] == []
    assert (found.exit_code, found.notes) == (0, [])


def test_a_finding_is_waived_with_a_reason_or_for_the_project(history: History) -> None:
    name = "index users.users_age_idx"
    bad = CASES["index"][0]
    found = looked_at(history, TABLES, bad, extra=f"\nacknowledged = {{{name!r}: 'at night'}}\n")
    assert found.findings == []


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_waiver_needs_a_reason(reason: str, history: History) -> None:
    found = looked_at(
        history, TABLES, CASES["index"][0], extra=f"\nacknowledged = {{'index users.users_age_idx': {reason!r}}}\n"
    )
    assert [finding.stall.rule for finding in found.findings] == ["index"]


def test_a_waiver_of_nothing_is_refused(history: History) -> None:
    with pytest.raises(ConfigurationError, match=r"acknowledged speaks of .index users\.other., and"):
        looked_at(history, TABLES, CASES["index"][0], extra="\nacknowledged = {'index users.other': 'at night'}\n")


def test_a_project_does_without_a_rule(history: History) -> None:
    assert looked_at(history, TABLES, CASES["index"][0], waived="index").findings == []


def test_a_misspelt_rule_is_refused(history: History) -> None:
    with pytest.raises(ConfigurationError, match=r"waived in alembic\.ini names no rule: indexes"):
        looked_at(history, TABLES, CASES["index"][0], waived="index indexes")


def test_nobody_waits_for_a_table_of_the_same_upgrade(history: History) -> None:
    new = 'op.create_table("notes", sa.Column("id", sa.Integer), sa.Column("a", sa.Integer))'
    found = looked_at(history, TABLES, new, 'op.create_index("notes_a_idx", "notes", ["a"])')
    assert found.findings == []


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("logs_until_20260105", True),
        ("logs_2026_01", True),
        ("logs_y2026m01d05", True),
        ("logs_default", True),
        ("logs_1", False),  # the models' own
        ("logs_archive", False),
        ("users_p20260105", False),
    ],
)
def test_a_partition_is_told_by_its_name(table: str, found: bool, history: History) -> None:
    rules = [finding.stall.rule for finding in looked_at(history, TABLES, f'op.drop_table("{table}")').findings]
    assert rules == ["drop-partition" if found else "drop-before-release"]


def test_what_asks_the_database_is_found(history: History) -> None:
    found = looked_at(history, TABLES, 'op.get_bind().execute(sa.text("SELECT 1")).scalar()')
    assert [finding.stall.name for finding in found.findings] == ["unreadable rest of the revision"]
    assert [note.partition(" ")[2] for note in found.notes] == [
        "not looked at to its end (it asks the database at line 11)"
    ]


def test_the_formats_say_the_same(history: History, approve: Approve) -> None:
    found = looked_at(history, TABLES, CASES["index"][0], CASES["drop-index"][0])
    texts = {form: formatted(found, form) for form in FORMATS}
    assert [each["rule"] for each in json.loads(texts["json"])["findings"]] == ["index", "drop-index"]
    assert [each["ruleId"] for each in json.loads(texts["sarif"])["runs"][0]["results"]] == ["index", "drop-index"]
    suite = ET.fromstring(texts["junit"])  # noqa: S314 - our own
    assert [failure.get("type") for failure in suite.iter("failure")] == ["index", "drop-index"]
    approve("lint/formats.txt", "\n\n".join(f"# {form}\n{text}" for form, text in texts.items()))
