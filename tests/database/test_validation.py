"""A CHECK that lets no plaintext into a column any more: how it is written and applied, and what it refuses."""

import pytest
import sqlalchemy as sa

from app.encryption import encrypted_check
from app.models.keys import API_KEYS
from tests.support.alembic_in_process import HEAD, downgrade, upgrade
from tests.support.approved_texts import Approve
from tests.support.database_access import rows, run
from tests.support.databases import ONE_A_DAY, At
from tests.support.gateway_database import Gateway
from tests.support.known_keys import ENC_CIPHER, TOKEN_CIPHER
from tests.support.source_copy import SourceCopy, timeless

pytestmark = pytest.mark.in_turn

MODELS = {
    "gateway.py": [
        ("import EncryptedText, encrypted", "import EncryptedText, encrypted, encrypted_check"),
        (
            '({"comment": "Upstream LLM providers."},)',
            '(encrypted_check("api_key", API_KEYS), {"comment": "Upstream LLM providers."})',
        ),
    ],
    "auth.py": [
        ("import EncryptedText, encrypted", "import EncryptedText, encrypted, encrypted_check"),
        (
            '({"comment": "GitHub accounts that have signed in."},)',
            (
                '(encrypted_check("github_access_token", GITHUB_TOKENS), '
                '{"comment": "GitHub accounts that have signed in."})'
            ),
        ),
    ],
}


@pytest.fixture
def source_copy(source_copy: SourceCopy) -> SourceCopy:
    """A copy whose models have the checks."""
    for file, edits in MODELS.items():
        source_copy.edit(file, *edits)
    return source_copy


@pytest.mark.exhaustive
@pytest.mark.parametrize("at", ONE_A_DAY, indirect=True)
def test_a_check_is_written_and_then_the_database_refuses_plaintext(
    source_copy: SourceCopy, at: At, approve: Approve
) -> None:
    url = at(HEAD)
    gateway = Gateway(url)
    gateway.fill(3)
    done = source_copy.edited("revision", "--autogenerate", "-m", "refuse plaintext", url=url)
    assert done.returncode == 0, done.stderr
    approve("sealed.py.txt", timeless(*source_copy.written()))

    # What is plaintext already is found before it runs.
    refused = source_copy.alembic("upgrade", "head", url=url)
    assert refused.returncode == 7
    assert "which 3 rows would break" in refused.stderr
    assert "do-not-show-me" not in refused.stderr
    assert gateway.schema("encrypt").returncode == 0
    upgrade(url, ini=source_copy.ini)
    assert source_copy.edited("check", url=url).returncode == 0

    for table, column, cipher in (
        ("service_providers", "api_key", ENC_CIPHER),
        ("users", "github_access_token", TOKEN_CIPHER),
    ):
        with pytest.raises(sa.exc.IntegrityError, match=f"{table}_{column}_sealed_check"):
            run(url, f"UPDATE {table} SET {column} = 'sk-plain'")
        for value in (None, "", str(cipher.encrypt("sk"))):
            run(url, f"UPDATE {table} SET {column} = :value", value=value)
    if not url.startswith("sqlite"):
        checks = rows(url, "SELECT convalidated FROM pg_constraint WHERE conname LIKE '%_sealed_check'")
        assert checks == [(True,)] * 2
    downgrade(url, HEAD, ini=source_copy.ini)
    run(url, "UPDATE service_providers SET api_key = 'sk-plain'")


def test_a_table_that_is_new_has_the_check_at_once() -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("api_key", sa.Text), encrypted_check("api_key", API_KEYS))
    engine = sa.create_engine("sqlite://")
    table.create(engine)
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(sa.insert(table).values(api_key="sk-plain"))
