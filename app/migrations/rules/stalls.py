"""The rules of what stalls a busy table on PostgreSQL: harm, what to do instead, and the code for it.

Source: PostgreSQL's manual, "Explicit Locking" and ALTER TABLE, "Notes"; what rewrites a table was
measured on 15 and 18.
"""

from dataclasses import dataclass

from app.migrations.rules.hand_written import HAND_WRITTEN
from app.migrations.rules.partitions import PARTITIONS
from app.migrations.rules.releases import RELEASES
from app.migrations.rules.stall_rule import CONCURRENT as _CONCURRENT
from app.migrations.rules.stall_rule import Severity, StallRule
from app.migrations.sql import Work

__all__ = ["RULES", "Severity", "Stall", "StallRule"]


@dataclass(frozen=True)
class Stall:
    """Something in a revision that a rule matches.

    Attributes:
        rule: the rule's name.
        work: what is done.
        where: the line of the revision.
    """

    rule: str
    work: Work
    where: str

    @property
    def severity(self) -> Severity:
        """Returns how bad it is."""
        return RULES[self.rule].severity

    @property
    def name(self) -> str:
        """Returns the spelling of a waiver: `index users.users_nick_idx`."""
        return f"{self.rule} {self._object}".strip()

    @property
    def _object(self) -> str:
        return ".".join(filter(None, (self.work.table, self.work.name)))

    def beats(self) -> tuple[str, str, str]:
        """Returns the harm, what to do instead, and the code to paste."""
        rule, work = RULES[self.rule], self.work
        words = {"table": work.table, "name": work.name or "…", "to": work.to, "object": self._object}
        words["columns"] = ", ".join(f'"{column}"' for column in work.columns) or '"…"'
        harm, instead, code = (text.format(**words) for text in (rule.harm, rule.instead, rule.code))
        return harm, instead, code


RULES: dict[str, StallRule] = {
    "index": StallRule(
        "building the index {name} keeps the writers of {table} waiting until it is done.",
        "build it concurrently, in a revision of its own.",
        _CONCURRENT + 'op.create_index("{name}", "{table}", [{columns}])',
        grows=True,
    ),
    "drop-index": StallRule(
        "dropping the index {name} waits for everybody who uses its table, and keeps all others waiting behind it.",
        "drop it concurrently, in a revision of its own.",
        _CONCURRENT + 'op.drop_index("{name}")',
        Severity.WARNING,
    ),
    "concurrent-in-transaction": StallRule(
        "{name} can't be built or dropped concurrently inside a transaction: PostgreSQL refuses it.",
        "leave the transaction for it.",
        _CONCURRENT + 'op.create_index("{name}", "{table}", [{columns}])',
    ),
    "unique": StallRule(
        "adding the unique constraint {name} builds its index while nobody can read or write {table}.",
        "build the index concurrently, and declare it a constraint then.",
        _CONCURRENT + 'op.create_unique_constraint("{name}", "{table}", [{columns}])',
        grows=True,
    ),
    "primary-key": StallRule(
        "adding a primary key builds its index, and looks for NULLs, while nobody can read or write {table}.",
        "make the columns NOT NULL and build a unique index concurrently, then declare it the key.",
        'op.execute("ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY USING INDEX …")',
        grows=True,
    ),
    "exclude": StallRule(
        "adding the exclusion constraint {name} builds its index while nobody can read or write {table}.",
        "there is no concurrent form: do it while nobody needs the table, or in a new table that replaces it.",
        "timeouts = {{'lock': 3, 'statement': 0}}",
        grows=True,
    ),
    "foreign-key": StallRule(
        "adding the foreign key {name} reads all of {table} while nobody can write it, nor {to}.",
        "add it NOT VALID, and validate it when that is committed.",
        _CONCURRENT + 'op.create_foreign_key("{name}", "{table}", "{to}", [{columns}], […])',
        grows=True,
    ),
    "check": StallRule(
        "adding the CHECK {name} reads all of {table} while nobody can read or write it.",
        "add it NOT VALID, and validate it when that is committed.",
        _CONCURRENT + 'op.create_check_constraint("{name}", "{table}", "{to}")',
        grows=True,
    ),
    "not-null": StallRule(
        "SET NOT NULL reads all of {table} while nobody can read or write it.",
        "prove first that there is no NULL in {name}.",
        _CONCURRENT + 'op.alter_column("{table}", "{name}", existing_type=…, nullable=False)',
        grows=True,
    ),
    "validate-in-transaction": StallRule(
        "{name} is validated in a transaction that holds a lock of {table} already, and keeps it to the end.",
        "validate it in a revision after this one, or do both in op.concurrently().",
        'op.validate_constraint("{name}", "{table}")',
        grows=True,
    ),
    "rewrite-type": StallRule(
        "changing {table}.{name} to {to} writes every row and every index anew while nobody can read or write {table}.",
        "add a column of the new type, fill it, write both for one release, then use the new one.",
        'op.add_column("{table}", sa.Column("{name}_new", …))\n'
        + _CONCURRENT
        + 'op.fill_column("{table}", "{name}_new", "{name}::{to}")',
        grows=True,
    ),
    "volatile-default": StallRule(
        "the default {to} gives each row another value: adding {name} writes all of {table} while nobody can read it.",
        "add the column without it, set the default for new rows, and fill the others.",
        'op.add_column("{table}", sa.Column("{name}", …))\n'
        'op.alter_column("{table}", "{name}", server_default=sa.text("{to}"))\n'
        + _CONCURRENT
        + 'op.fill_column("{table}", "{name}", "{to}")',
        grows=True,
    ),
    "required-column": StallRule(
        "{name} is NOT NULL without a default: PostgreSQL refuses it where {table} has rows, and code that doesn't "
        "know the column can't add any.",
        "add it nullable, fill it, and make it NOT NULL when the released code writes it.",
        'op.add_column("{table}", sa.Column("{name}", …))\n' + _CONCURRENT + 'op.fill_column("{table}", "{name}", "…")',
    ),
    "stored-column": StallRule(
        "adding the generated column {name} writes all of {table} while nobody can read or write it.",
        "let a trigger fill a plain column, or generate it when it is read (VIRTUAL, from PostgreSQL 18).",
        'op.add_column("{table}", sa.Column("{name}", …, sa.Computed("…", persisted=False)))',
        grows=True,
    ),
    "counting-column": StallRule(
        "a column that counts, serial or identity, writes all of {table} while nobody can read or write it.",
        "add a plain column, give it the sequence as its default, and fill the rows that are there.",
        _CONCURRENT + 'op.fill_column("{table}", "{name}", "nextval(…)")',
        grows=True,
    ),
    "column-with-constraint": StallRule(
        "the constraint of the new column {name} is made with it, while nobody can read or write {table}.",
        "add the column alone, and its constraint after it.",
        'op.add_column("{table}", sa.Column("{name}", …))',
        grows=True,
    ),
    "rewrite": StallRule(
        "{name} writes all of {table} anew while nobody can read or write it.",
        "use a tool that does so beside the table, such as pg_repack.",
        "pg_repack --table {table}",
        grows=True,
    ),
    "second-lock": StallRule(
        "{table} is locked while the transaction still holds the lock of another table: who waits for one has both.",
        "change one table in a revision.",
        'alembic revision -m "…"',
        Severity.WARNING,
    ),
    "rows-in-transaction": StallRule(
        "rows of {table} are changed in a transaction that holds a lock of it, until all are done.",
        "change the rows in a revision of their own, page by page.",
        'Backfill("{table}", (…), …, todo="…")',
        grows=True,
    ),
    "read-under-lock": StallRule(
        "all rows of {table} are read in a transaction that holds a lock of {to}: who waits for that waits until all "
        "are.",
        "read them in a revision of its own.",
        'alembic revision -m "…"',
        grows=True,
    ),
    "unindexed-foreign-key": StallRule(
        "no index begins with the columns of the foreign key {name}: a DELETE in {to} reads all of {table}.",
        "add an index in the same edit.",
        _CONCURRENT + 'op.create_index("{table}_{name}_idx", "{table}", [{columns}])',
        Severity.NOTE,
        grows=True,
    ),
    "prefix-index": StallRule(
        "the columns of {name} are the first ones of the index {to} already.",
        "leave it out: that one serves its queries too.",
        'op.drop_index("{name}", "{table}")',
        Severity.WARNING,
    ),
    "constrained-domain": StallRule(
        "{to} is a domain with a constraint: adding {name} writes all of {table} while nobody can read or write it.",
        "add the column with the domain's base type, and its CHECK not valid at first.",
        'op.add_column("{table}", sa.Column("{name}", …))\n'
        + _CONCURRENT
        + 'op.create_check_constraint("{table}_{name}_check", "{table}", "…")',
        grows=True,
    ),
    "check-rescan": StallRule(
        "the type of {table}.{name} takes a moment, but a CHECK speaks of the column: all rows are read while nobody "
        "can read or write {table}.",
        "drop the CHECK in the same revision, and add it again in op.concurrently().",
        _CONCURRENT + 'op.create_check_constraint("…", "{table}", "…")',
        grows=True,
    ),
    "index-rebuild": StallRule(
        "the type of {table}.{name} keeps the rows, but an index on it is built anew while nobody can read or write "
        "{table}.",
        "drop the index concurrently first, change the type, and build it concurrently again.",
        _CONCURRENT + 'op.create_index("…", "{table}", ["{name}"])',
        grows=True,
    ),
    "enforced": StallRule(
        "ENFORCED reads all of {table} for {name} while nobody can read or write it.",
        "add the constraint NOT VALID under another name, validate it, and drop this one.",
        _CONCURRENT + 'op.create_foreign_key("…", "{table}", "…", […], […])',
        grows=True,
    ),
}
RULES |= PARTITIONS | HAND_WRITTEN | RELEASES
