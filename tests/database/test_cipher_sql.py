"""The SQL condition for plaintext on both databases, and the documented examples, which use one."""

import doctest
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app import encryption
from app.encryption import ENC, TOKEN, State
from app.encryption.formats import Format
from tests.support.stored_texts import BLANKS, SEALED, hostile


@pytest.fixture
def connection(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.exhaustive
@pytest.mark.parametrize("format_", [ENC, TOKEN], ids=["enc", "token"])
@given(values=st.lists(hostile, min_size=20, max_size=40))
@example(values=["x" + blank + SEALED[0] for blank in BLANKS])
@example(
    values=[blank + mark for blank in BLANKS for mark in ("enc:", "eNC:x", "A" * 43 + ":", "A" * 43 + "=:", "A" * 44)]
)
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sql_agrees_with_python(connection: sa.Connection, format_: Format, values: list[str]) -> None:
    dialect = connection.dialect.name
    storable = [value.encode("utf-8", "replace").decode() for value in values]
    if dialect == "postgresql":
        storable = [value.replace("\0", "") for value in storable]
    condition = format_.plaintext_sql('v."a value"', "postgresql" if dialect == "postgresql" else "sqlite")
    rows = " UNION ALL ".join(f'SELECT CAST(:v{n} AS text) AS "a value", {n} AS n' for n in range(len(storable) + 1))
    parameters = {f"v{n}": value for n, value in enumerate([*storable, None])}
    found = connection.execute(sa.text(f"SELECT {condition} FROM ({rows}) AS v ORDER BY n"), parameters)
    expected = [format_.state(value) is State.PLAINTEXT for value in [*storable, None]]
    assert [bool(value) if value is not None else None for (value,) in found] == expected


def test_the_examples_of_the_encryption_run() -> None:
    result = doctest.testmod(encryption, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted
    assert not result.failed
