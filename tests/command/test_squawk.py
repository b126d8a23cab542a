"""The comparison with squawk: what lint renders is what squawk reads."""

from pathlib import Path

import pytest

from tests.support import squawk

REVISION = """\
from alembic import op

revision = "one"


def upgrade():
    {body}
"""
INDEX = 'op.create_index("users_again_idx", "users", ["created_at"])'


@pytest.mark.parametrize(
    ("body", "rules", "peers"),
    [
        (INDEX, ["index"], ["require-concurrent-index-creation"]),
        (f"with op.concurrently():\n        {INDEX}", [], []),
    ],
)
def test_both_find_an_index(body: str, rules: list[str], peers: list[str], tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_text(REVISION.format(body=body), encoding="utf-8")
    assert (squawk.ours(file), squawk.squawk(squawk.as_sql(file))) == (rules, peers)
