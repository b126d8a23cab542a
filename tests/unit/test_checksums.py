"""Edits of a revision that change its checksum, and edits that don't."""

import pytest

from app.migrations import checksums

SOURCE = '''\
"""Words."""
revision = "a"
acknowledged = {"drop_table t": "why"}


def upgrade() -> None:
    """More words."""
    op.execute("UPDATE t SET n = 1")
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Words."""', '"""Others."""'),
        ('"""Words."""\n', ""),
        ('    """More words."""\n', ""),
        ("\n\n\n", "\n# a comment\n\n\n\n"),
        ('"UPDATE t SET n = 1"', "(\n        'UPDATE t '\n        'SET n = 1'\n    )"),
        ('{"drop_table t": "why"}', '{"drop_table t": "because"}'),
        ('acknowledged = {"drop_table t": "why"}\n', ""),
        ('acknowledged = {"drop_table t": "why"}', 'acknowledged: dict[str, str] = {"drop_table t": "why"}'),
    ],
)
def test_words_are_no_edit(old: str, new: str) -> None:
    assert SOURCE.count(old) == 1
    assert checksums.checksum(SOURCE.replace(old, new)) == checksums.checksum(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("n = 1", "n = 2"),
        ('revision = "a"', 'revision = "b"'),
        ('revision = "a"', 'revision = "a"\nrepeatable = True'),
        ("def upgrade()", "async def upgrade()"),
        ('    op.execute("UPDATE t SET n = 1")', "    pass"),
        ('op.execute("UPDATE t SET n = 1")', 'op.execute("UPDATE t SET n = 1") or 1'),
        ('"UPDATE t SET n = 1"', 'b"UPDATE t SET n = 1"'),
        ('op.execute("UPDATE t SET n = 1")', 'op.execute(None, "UPDATE t SET n = 1")'),
        ('op.execute("UPDATE t SET n = 1")', 'op.execute(x="UPDATE t SET n = 1")'),
    ],
)
def test_code_is_an_edit(old: str, new: str) -> None:
    assert SOURCE.count(old) == 1
    assert checksums.checksum(SOURCE.replace(old, new)) != checksums.checksum(SOURCE)
