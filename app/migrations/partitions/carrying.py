"""Statements that give one table what another one has beside its rows: grants, comments, statistics targets."""

from collections.abc import Iterator
from dataclasses import replace

from app.migrations.partitions.facts import Column, Grant, Index, Publication, Statistics, TableFacts, Trigger
from app.migrations.snapshots import quote
from app.sql_text import literal

_STATES = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
_IDENTITIES = {"d": "DEFAULT", "f": "FULL", "n": "NOTHING"}


def as_made_like(source: TableFacts) -> TableFacts:
    """Returns the facts of a new table that was made LIKE another one, with the same indexes and constraints."""
    return replace(
        source,
        comment=None,
        replica_identity="d",
        replica_index=None,
        columns=as_new(source.columns),
        constraints=[one if one.kind == "c" else replace(one, comment=None) for one in source.constraints],
        indexes=[replace(index, comment=None, statistics=[]) for index in source.indexes],
        grants=source.defaults,
    )


def as_new(columns: list[Column]) -> list[Column]:
    """Returns the columns as those of a new table are that was made LIKE theirs."""
    return [replace(column, statistics=None, options=[]) for column in columns]


def carry(source: TableFacts, target: TableFacts, address: str) -> Iterator[str]:
    """Yields the statements that make a table equal to another one, where its indexes and constraints have its names.

    Args:
        source: the facts that are wanted.
        target: the facts that are there, by the names of the source.
        address: the table as a statement spells it.
    """
    if source.comment != target.comment:
        yield comment_on(f"TABLE {address}", source.comment)
    yield from columns(source.columns, target.columns, address)
    for constraint in source.constraints:
        known = target.constraint(constraint.name)
        if constraint.comment != (known.comment if known else None):
            yield comment_on(f"CONSTRAINT {quote(constraint.name)} ON {address}", constraint.comment)
    for index in source.indexes:
        yield from _index(source, index, target.index(index.name))
    yield from grants(source.grants, target.grants, address)
    if (source.replica_identity, source.replica_index) != (target.replica_identity, target.replica_index):
        yield f"ALTER TABLE ONLY {address} REPLICA IDENTITY {_identity(source)}"


def triggers(made: list[Trigger], address: str) -> Iterator[str]:
    """Yields the statements that make triggers."""
    for trigger in made:
        yield trigger.definition
        if trigger.enabled in _STATES:
            yield f"ALTER TABLE {address} {_STATES[trigger.enabled]} TRIGGER {quote(trigger.name)}"
        if trigger.comment is not None:
            yield comment_on(f"TRIGGER {quote(trigger.name)} ON {address}", trigger.comment)


def statistics(made: Statistics) -> Iterator[str]:
    """Yields the statements that make extended statistics."""
    yield made.definition
    if made.target is not None:
        yield f"ALTER STATISTICS {made.address} SET STATISTICS {made.target}"
    if made.comment is not None:
        yield comment_on(f"STATISTICS {made.address}", made.comment)


def published(publication: Publication, address: str) -> str:
    """Returns the statement that adds a table to a publication."""
    columns = f" ({', '.join(map(quote, publication.columns))})" if publication.columns else ""
    rows = f" WHERE ({publication.filter})" if publication.filter else ""
    return f"ALTER PUBLICATION {quote(publication.name)} ADD TABLE ONLY {address}{columns}{rows}"


def comment_on(described: str, comment: str | None) -> str:
    """Returns the statement that gives an object its comment, or takes it; such as `TABLE public.events`."""
    return f"COMMENT ON {described} IS {'NULL' if comment is None else literal(comment)}"


def columns(wanted: list[Column], present: list[Column], address: str) -> Iterator[str]:
    """Yields the statements that give columns their statistics targets, options and comments."""
    by_name = {column.name: column for column in present}
    for column in wanted:
        known = by_name[column.name]
        alter = f"ALTER TABLE ONLY {address} ALTER COLUMN {quote(column.name)}"
        if column.statistics != known.statistics:
            yield f"{alter} SET STATISTICS {-1 if column.statistics is None else column.statistics}"
        if gone := {_name(one) for one in known.options} - {_name(one) for one in column.options}:
            yield f"{alter} RESET ({', '.join(sorted(gone))})"
        if changed := sorted({*column.options} - {*known.options}):
            yield f"{alter} SET ({', '.join(changed)})"
        if column.comment != known.comment:
            yield comment_on(f"COLUMN {address}.{quote(column.name)}", column.comment)


def _index(source: TableFacts, index: Index, known: Index | None) -> Iterator[str]:
    address = f"{source.schema}.{quote(index.name)}"
    if index.comment != (known.comment if known else None):
        yield comment_on(f"INDEX {address}", index.comment)
    for one in index.statistics:
        if known is None or one not in known.statistics:
            number, _, target = one.partition(" ")
            yield f"ALTER INDEX {address} ALTER COLUMN {number} SET STATISTICS {target}"


def grants(wanted: frozenset[Grant], present: frozenset[Grant], address: str) -> Iterator[str]:
    """Yields the statements that revoke and grant privileges."""
    revoked = present - wanted
    for grant in _in_order(revoked):
        yield f"REVOKE {_privilege(grant)} ON {address} FROM {grant.grantee}"
    # A privilege that is revoked from the table is revoked from its columns as well.
    whole = {(grant.grantee, grant.privilege) for grant in revoked if grant.column is None}
    kept = {one for one in present if one.column is None or (one.grantee, one.privilege) not in whole}
    for grant in _in_order(wanted - kept):
        option = " WITH GRANT OPTION" if grant.is_grantable else ""
        yield f"GRANT {_privilege(grant)} ON {address} TO {grant.grantee}{option}"


def _in_order(grants: frozenset[Grant]) -> list[Grant]:
    return sorted(grants, key=lambda one: (one.column or "", one.grantee, one.privilege))


def _privilege(grant: Grant) -> str:
    return f"{grant.privilege} ({quote(grant.column)})" if grant.column is not None else grant.privilege


def _identity(source: TableFacts) -> str:
    if source.replica_identity == "i" and source.replica_index is not None:
        return f"USING INDEX {quote(source.replica_index)}"
    return _IDENTITIES.get(source.replica_identity, "NOTHING")


def _name(option: str) -> str:
    return option.partition("=")[0]
