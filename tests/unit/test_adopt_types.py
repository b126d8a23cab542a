"""Types of the field beside head's, functions of one effect, and words of the operator."""

import pytest

from app.migrations.adopt.evidence import Evidence, compared
from app.migrations.adopt.explanation.column_types import relation
from app.migrations.adopt.explanation.same_effect import effect_of_function, unique_index
from app.migrations.adopt.look import is_declared

SERVER, FILE = "postgresql", "sqlite"


@pytest.mark.parametrize(
    ("dialect", "found", "expected", "said"),
    [
        (SERVER, "integer", "integer", "same"),
        (SERVER, "integer", "bigint", "smaller"),
        (SERVER, "bigint", "integer", "other"),
        (SERVER, "character varying(50)", "character varying(100)", "cheap"),
        (SERVER, "character varying(200)", "character varying(100)", "other"),
        (SERVER, "character varying(200)", "text", "cheap"),
        (SERVER, "text", "character varying(100)", "other"),
        (SERVER, "numeric(10,4)", "numeric(12,4)", "cheap"),
        (SERVER, "numeric(12,2)", "numeric(12,4)", "contradicts"),
        (SERVER, "numeric(20,8)", "numeric(12,4)", "other"),
        (SERVER, "numeric", "numeric(12,4)", "other"),
        (SERVER, "numeric(12,4)", "numeric", "cheap"),
        (SERVER, "double precision", "numeric(12,4)", "contradicts"),
        (SERVER, "jsonb", "json", "other"),
        (SERVER, "text", "json", "contradicts"),
        (SERVER, "timestamp with time zone", "timestamp(6) with time zone", "other"),
        (SERVER, "timestamp(3) with time zone", "timestamp(6) with time zone", "cheap"),
        (SERVER, "timestamp(3) without time zone", "timestamp(6) with time zone", "contradicts"),
        (SERVER, "text[]", "character varying[]", "other"),
        (SERVER, "text[]", "text", "contradicts"),
        (SERVER, "text", "uuid", "contradicts"),
        (FILE, "TIMESTAMP", "DATETIME", "cheap"),
        (FILE, "VARCHAR(50)", "VARCHAR(100)", "cheap"),
        (FILE, "TEXT", "JSON", "other"),
        (FILE, "INTEGER", "BOOLEAN", "other"),
        (FILE, "TEXT", "INTEGER", "contradicts"),
        (FILE, "VARCHAR(36)", "CHAR(32)", "contradicts"),
    ],
)
def test_a_type_is_the_same_wider_or_another(dialect: str, found: str, expected: str, said: str) -> None:
    assert relation(dialect, found, expected) == said


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN NEW.updated_at = CURRENT_TIMESTAMP; RETURN NEW; END;",
        "\nbegin\n  new.updated_at := now();\n  return new;\nend\n",
        "BEGIN NEW.updated_at = timezone('utc', now()); RETURN NEW; END;",
        "BEGIN -- keeps it\n NEW.updated_at = clock_timestamp();RETURN NEW; END;",
    ],
)
def test_functions_that_set_a_time_are_the_same(body: str) -> None:
    definition = {"definition": f"CREATE OR REPLACE FUNCTION f() AS $x${body}$x$"}
    assert effect_of_function(definition) == "sets updated_at to the present"


def test_another_function_is_another() -> None:
    body = "BEGIN NEW.updated_at = now(); PERFORM pg_notify('x', 'y'); RETURN NEW; END;"
    assert "pg_notify" in effect_of_function({"definition": f"AS $${body}$$"})


def test_a_unique_constraint_has_an_index() -> None:
    assert unique_index({"definition": "UNIQUE (a, b)"}, "t", "k") == "CREATE UNIQUE INDEX k ON t USING btree (a, b)"
    with_more = {"definition": "UNIQUE NULLS NOT DISTINCT (a) INCLUDE (b) DEFERRABLE"}
    assert unique_index(with_more, "t", "k") == (
        "CREATE UNIQUE INDEX k ON t USING btree (a) INCLUDE (b) NULLS NOT DISTINCT"
    )
    assert unique_index({"definition": "CHECK (a > 0)"}, "t", "k") is None


def test_words_of_the_operator_name_tables_and_columns() -> None:
    matches = is_declared(["audit_*", "users.legacy"])
    names = ["table audit_2025", "audit_2026", "column users.legacy", "column users.nick", "table users"]
    assert [matches(name) for name in names] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("checksums", "files", "copied", "state"),
    [
        (("a", "a"), ("1", "1"), [], "unchanged"),
        (("a", "b"), ("1", "1"), [], "changed meanwhile"),
        ((None, None), ("1", "1"), [], "not compared"),
        (("a", None), ("1", "1"), [], "not compared"),
        ((None, "a"), ("1", "2"), [], "written anew, not compared"),
        ((None, None), (None, None), ["t"], "written anew, not compared"),
        (("a", "a"), ("1", "2"), [], "written anew"),
    ],
)
def test_a_table_that_was_not_read_is_not_called_unchanged(
    checksums: tuple[str | None, str | None], files: tuple[str | None, str | None], copied: list[str], state: str
) -> None:
    before, after = (Evidence(3, checksum, "all rows", file) for checksum, file in zip(checksums, files, strict=True))
    assert [proof.state for proof in compared({"t": before}, {"t": after}, copied)] == [state]
