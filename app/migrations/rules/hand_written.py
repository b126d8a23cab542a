"""Rules of SQL that is written by hand: what it leaves to chance, beside what it locks."""

from app.migrations.rules.stall_rule import CONCURRENT, Severity, StallRule

HAND_WRITTEN: dict[str, StallRule] = {
    "long-backfill": StallRule(
        "all rows of {table}, or all without a value, are changed in one transaction: others who change one of them "
        "wait until the last is done, and an interruption loses all.",
        "change them page by page, outside the transaction.",
        CONCURRENT + 'op.fill_column("{table}", "…", "…")',
        grows=True,
    ),
    "missing-lock-timeout": StallRule(
        "{name} is without a limit from here on: a statement that waits for a busy table keeps all others waiting "
        "behind it, for as long as it takes.",
        "leave the limits to the run, or declare others for the revision, in seconds.",
        'timeouts = {{"lock": 10, "statement": 300}}',
    ),
    "enum-value-used": StallRule(
        "PostgreSQL refuses the value {to} of {name} in the transaction that has added it.",
        "add it outside the transaction, in a revision before this one.",
        "with op.get_context().autocommit_block():\n"
        "    op.execute(\"ALTER TYPE {name} ADD VALUE IF NOT EXISTS '{to}'\")",
    ),
    "not-repeatable": StallRule(
        "{name} … stays done when the revision is ended after it, and can't be done twice: the next run fails there.",
        "leave it to the transaction, or write it so that it passes over what is done (IF NOT EXISTS); if it may be "
        "done twice as it is, say so in the module.",
        "repeatable = True",
    ),
    "column-order": StallRule(
        "{name} takes columns in the order of a table, which may differ from database to database.",
        "name the columns.",
        'op.execute("INSERT INTO … (a, b) SELECT a, b FROM …")',
        Severity.WARNING,
    ),
    "duplicate-index": StallRule(
        "{to} is unique over the same columns as {name} already: each row is written to both.",
        "leave it out.",
        'op.drop_index("{name}", "{table}")',
        Severity.WARNING,
    ),
    "unreadable": StallRule(
        "{name} can't be read beforehand: what it locks and changes isn't known.",
        "write it as plain statements, or say in the waiver what it does.",
        "op.execute(…)",
        Severity.WARNING,
    ),
}
