"""Operations for the differences that none of Alembic's comparators has seen."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops
from alembic.util import sqla_compat

from app.migrations.autogenerate.expressions import DIALECTS, escaped, expression_of, texts_of
from app.migrations.autogenerate.facts import enumerations
from app.migrations.autogenerate.facts.checks import constraints_of
from app.migrations.autogenerate.facts.columns import alter_on_other_side, changes_of_table, remaining_of
from app.migrations.autogenerate.facts.sides import Side, Subject, as_postgresql_keeps
from app.migrations.autogenerate.facts.statements import execute_on
from app.migrations.autogenerate.facts.unwritten import UnwrittenOp
from app.migrations.snapshots import NAME, Difference, kind_of, own_name, owner_of
from app.migrations.sql import create_table, lexer

_TYPES = {"CHECK": "check", "UNIQUE": "unique", "FOREIGN": "foreignkey", "PRIMARY": "primary"}


def operations_for(subject: Subject, upgrade_ops: ops.UpgradeOps, covered: set[str]) -> None:
    """Adds the operations, or the names, of what `covered` doesn't have."""
    altered = {id(difference) for difference in _altered(subject)}
    left = [d for d in subject.own.differences if id(d) not in altered and not _is_covered(d, covered)]
    left += _parts_of_new_tables(subject)
    rest: list[Difference] = []
    recreated: set[str] = set()
    for difference in left:
        match kind_of(difference.name):
            case "column" if difference.attribute in ("generated", "default", "type", "collation") and _is_generated(
                subject.own, difference
            ):
                if difference.name not in recreated:
                    changes_of_table(upgrade_ops, owner_of(difference.name)).ops += _recreated(subject, difference)
                recreated.add(difference.name)
            case "index" if difference.attribute in ("", "definition"):
                _add(upgrade_ops, difference, _index_operations(subject, difference), rest)
            case "constraint" if difference.attribute in ("", "definition"):
                _add(upgrade_ops, difference, _constraint_operations(subject, difference), rest)
            case "enum" if difference.attribute == "labels":
                upgrade_ops.ops[:0] = enumerations.changed(subject, difference)
            case "column" if difference.attribute == "type":
                upgrade_ops.ops.append(UnwrittenOp(difference))
            case "trigger" | "function":
                continue  # compare_triggers has seen them, or they are a revision's own
            case _:
                rest.append(difference)
    execute_on(subject, upgrade_ops, subject.own, rest)
    if subject.other is not None:
        execute_on(subject, upgrade_ops, subject.other, _only_there(subject, upgrade_ops))


def _only_there(subject: Subject, upgrade_ops: ops.UpgradeOps) -> list[Difference]:
    """Returns what differs on the other database alone; gives its columns their operations."""
    assert subject.other is not None
    own = {d.name for d in subject.own.differences if not _is_only_here(d)}
    altered = _altered(subject)
    left: list[Difference] = []
    columns: dict[str, dict[str, Difference]] = {}
    for difference in subject.other.differences:
        name, kind = difference.name, kind_of(difference.name)
        if kind in ("trigger", "function") or (as_postgresql_keeps(name) in own and kind != "column"):
            continue
        if kind == "column" and difference.attribute:
            here = {d.attribute for d in altered if d.name == name}
            if difference.attribute not in here and not _is_generated(subject.own, difference):
                columns.setdefault(name, {})[difference.attribute] = difference
        elif kind != "column" or name not in own:
            left.append(difference)
    left += [d for d in subject.other.differences if d.attribute == NAME and d not in left]
    for name, differences in columns.items():
        alter_on_other_side(subject, upgrade_ops, name, differences)
    return left


def _is_only_here(difference: Difference) -> bool:
    """Returns whether the statements for a difference are for one database alone."""
    return kind_of(difference.name) in ("enum", "domain", "sequence")


def _altered(subject: Subject) -> list[Difference]:
    remaining = {id(difference) for difference in remaining_of(subject)}
    columns = [d for d in subject.own.differences if kind_of(d.name) == "column" and d.attribute]
    return [d for d in columns if id(d) not in remaining]


def _is_covered(difference: Difference, covered: set[str]) -> bool:
    if difference.attribute == "comment" and kind_of(difference.name) == "table":
        return f"{difference.name}: comment" in covered
    if difference.name not in covered:
        return False
    return kind_of(difference.name) == "column" or difference.attribute in ("", "definition")


def _parts_of_new_tables(subject: Subject) -> list[Difference]:
    """Returns facts that Alembic's CREATE TABLE doesn't make, as differences of parts that are there."""
    new = {owner_of(d.name) for d in subject.own.differences if kind_of(d.name) == "table" and d.found is None}
    new = {table for table in new if not subject.own.facts_of(f"table {table}")}
    return [
        Difference(name, "comment", facts["comment"], None)
        for name, facts in subject.own.comparison.models.items()
        if kind_of(name) == "constraint" and owner_of(name) in new and "comment" in facts
    ]


def _add(
    upgrade_ops: ops.UpgradeOps,
    difference: Difference,
    operations: list[MigrateOperation],
    rest: list[Difference],
) -> None:
    if operations:
        changes_of_table(upgrade_ops, owner_of(difference.name)).ops += operations
    else:
        rest.append(difference)


def _is_generated(side: Side, difference: Difference) -> bool:
    name = difference.name
    return "generated" in side.facts_of(name) or "generated" in side.facts_of(name, wanted=True)


def _recreated(subject: Subject, difference: Difference) -> Iterator[MigrateOperation]:
    """Drops a generated column and adds it again: no ALTER changes how it is generated."""
    name, table, own = difference.name, owner_of(difference.name), own_name(difference.name)
    column = subject.column(name)
    assert column is not None
    facts = subject.own.facts_of(name)
    found = subject.reflected(table).columns[own]
    options: dict[str, Any] = {"nullable": bool(facts["nullable"]), "comment": facts.get("comment")}
    old: sa.Column[Any] = sa.Column(own, found.type, **options)
    if "generated" in facts:
        stored = "VIRTUAL" not in facts["generated"]
        text = facts["default"] if "default" in facts else facts["generated"].rpartition(" ")[0][1:-1]
        old = sa.Column(own, found.type, sa.Computed(text, persisted=stored), **options)
    elif found.server_default is not None:
        old.server_default = found.server_default
    indexes = [index for index in subject.tables[table].indexes if _is_on(subject, index, own)]
    yield from (ops.DropIndexOp.from_index(index) for index in indexes)
    yield ops.DropColumnOp(table, own, _reverse=ops.AddColumnOp(table, old))
    yield ops.AddColumnOp.from_column_and_tablename(None, table, column)
    yield from (ops.CreateIndexOp.from_index(index) for index in indexes)


def _is_on(subject: Subject, index: sa.Index, column: str) -> bool:
    """Returns whether an index that is there and stays names a column."""
    facts = subject.own.facts_of(f"index {index.table.name if index.table is not None else ''}.{index.name}")
    return bool(facts) and create_table.mentions(create_table.terms_of(facts["definition"]), column)


def _index_operations(subject: Subject, difference: Difference) -> list[MigrateOperation]:
    table, name = owner_of(difference.name), own_name(difference.name)
    wanted = subject.tables[table].indexes if table in subject.tables else ()
    index = next((index for index in wanted if _final_name(index) == name), None)
    made: list[MigrateOperation] = []
    if subject.own.facts_of(difference.name):
        made.append(ops.DropIndexOp(name, table))
    if subject.own.facts_of(difference.name, wanted=True):
        if index is None:
            return []
        made.append(ops.CreateIndexOp.from_index(index))
    return made


def _constraint_operations(subject: Subject, difference: Difference) -> list[MigrateOperation]:
    """Drops a constraint, and adds it as the models have it; one that the models don't name is left to its text."""
    table, name = owner_of(difference.name), own_name(difference.name)
    wanted = constraints_of(subject.tables[table]) if table in subject.tables else []
    constraint = next((item for item in wanted if _final_name(item) == name), None)
    old, new = (subject.own.facts_of(difference.name, wanted=side) for side in (False, True))
    if name.startswith("(") or (new and constraint is None):
        return []
    kinds = {_TYPES.get(str(facts["definition"]).split(maxsplit=1)[0], "") for facts in (old, new) if facts}
    if kinds not in ({"check"}, {"unique"}, {"primary"}) or subject.own.is_beyond_alembic(difference.name):
        return []
    made: list[MigrateOperation] = []
    called = sa.schema.conv(name)
    if old:
        text = str(subject.own.written(difference.name)["definition"])
        again: ops.AddConstraintOp
        if text.startswith("CHECK"):
            again = ops.CreateCheckConstraintOp(called, table, sa.text(_check_text(text)))
        elif text.startswith("PRIMARY"):
            again = ops.CreatePrimaryKeyOp(called, table, columns_of_key(text))
        else:
            found = next(c for c in subject.reflected(table).constraints if c.name == name)
            again = ops.AddConstraintOp.from_constraint(found)
        kind = _TYPES[text.split(maxsplit=1)[0]]
        made.append(ops.DropConstraintOp(called, table, type_=kind, _reverse=again))
    if new and isinstance(constraint, sa.CheckConstraint):
        made.append(ops.CreateCheckConstraintOp(called, table, expression_of(texts_of(constraint.sqltext))))
    elif new and isinstance(constraint, sa.PrimaryKeyConstraint):
        text = str(subject.own.written(difference.name, wanted=True)["definition"])
        made.append(ops.CreatePrimaryKeyOp(called, table, columns_of_key(text)))
    elif new:
        assert constraint is not None
        made.append(ops.AddConstraintOp.from_constraint(constraint))
    return made


def columns_of_key(definition: str) -> list[str]:
    """Returns the columns of `PRIMARY KEY (a, b)`."""
    inside = create_table.words(definition)[2]
    return [create_table.plain(part.strip()) for part in lexer.split(inside[1:-1])]


def _check_text(definition: str) -> str:
    return escaped(definition.removeprefix("CHECK (").removesuffix(")"))


def _final_name(item: Any) -> str | None:
    if item.name is None:
        return None
    name = sqla_compat._get_constraint_final_name(item, DIALECTS["postgresql"])  # noqa: SLF001 - as Alembic does
    return str(name) if name else None
