"""Rules of partitions: what is done to a partitioned table, or to a part of it, while others use it."""

from app.migrations.rules.stall_rule import CONCURRENT, Severity, StallRule

_OUTSIDE = "with op.get_context().autocommit_block():\n"

PARTITIONS: dict[str, StallRule] = {
    "attach": StallRule(
        "ATTACH PARTITION reads all of {table} while nobody can read or write it: no valid CHECK tells its bounds.",
        "prove the bounds with a CHECK first, and drop that afterwards.",
        CONCURRENT + 'op.create_check_constraint("{table}_bounds", "{table}", "…")',
        grows=True,
    ),
    "detach": StallRule(
        "DETACH PARTITION waits for everybody who uses {table}, and keeps all others waiting behind it.",
        "detach it concurrently, outside the transaction.",
        _OUTSIDE + '    op.execute("ALTER TABLE {table} DETACH PARTITION {to} CONCURRENTLY")',
        Severity.WARNING,
    ),
    "create-partition": StallRule(
        "CREATE TABLE {to} PARTITION OF {table} waits for everybody who uses {table}, and keeps all others waiting "
        "behind it.",
        "make the table by itself, with a CHECK of its bounds, and attach it; or let schema partitions maintain do it.",
        'op.execute("CREATE TABLE {to} (LIKE {table} INCLUDING ALL, CONSTRAINT bounds CHECK (…))")\n'
        'op.execute("ALTER TABLE {table} ATTACH PARTITION {to} FOR VALUES FROM (…) TO (…)")',
        Severity.WARNING,
    ),
    "drop-partition": StallRule(
        "dropping {table} while it is a partition of {to} waits for everybody who uses {to}, or a table that it refers "
        "to, and keeps all others waiting behind it.",
        "let schema partitions maintain retire it; or detach it concurrently first, and drop its foreign keys.",
        _OUTSIDE + '    op.execute("ALTER TABLE {to} DETACH PARTITION {table} CONCURRENTLY")\n'
        '    op.execute("DROP TABLE IF EXISTS {table}")',
        Severity.WARNING,
    ),
    "index-on-parent": StallRule(
        "{table} may be partitioned, and PostgreSQL builds no index of a partitioned table concurrently: {name} fails "
        "there.",
        "leave it to op.concurrently(), which builds it partition by partition.",
        CONCURRENT + 'op.create_index("{name}", "{table}", [{columns}])',
    ),
}
