"""The code of column types: plain SQLAlchemy that spells each type on both databases as the models do."""

import re
from collections.abc import Callable
from typing import Any, cast

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.base import ischema_names

from app.migrations.autogenerate.expressions import DIALECTS
from app.migrations.operations import NamedType

_TYPE = re.compile(r"([a-z ]+?)(?:\((\d+)(?:,(\d+))?\))?( with(?:out)? time zone)?")
_IMPORT = "from sqlalchemy.dialects import {}"
_NAMES: dict[str, Any] = {"sa": sa, "postgresql": postgresql, "sqlite": sqlite}
Add = Callable[[str], object]


def code_of_type(item: sa.types.TypeEngine[Any], context: AutogenContext) -> str:
    """Returns the code of a type; empty for one that plain SQLAlchemy can't spell."""
    imports = set[str]()
    names = {dialect: spelt(impl(item, dialect), dialect) for dialect in DIALECTS}
    base = item.impl if isinstance(item, sa.types.TypeDecorator) and type(item) is not sa.Interval else item
    code = _code(base, imports.add) if "postgresql" not in getattr(base, "_variant_mapping", {}) or base is item else ""
    parts = [code]
    for dialect in DIALECTS if code else ():
        if names[dialect] not in (None, spelt(_made(code), dialect)):
            variant = _code(impl(item, dialect), imports.add)
            if variant != code:
                parts.append(f".with_variant({variant}, {dialect!r})" if variant else "")
    if not all(parts):
        on_postgresql = names["postgresql"]
        other = names["sqlite"] or on_postgresql
        return f"op.type_text(postgresql={on_postgresql!r}, sqlite={other!r})" if on_postgresql else ""
    context.imports.update(imports)
    return "".join(parts)


def spelt(item: Any, dialect: str) -> str | None:
    """Returns a type as a database spells it; None if it can't."""
    try:
        text: str = item.compile(dialect=DIALECTS[dialect])
    except sa.exc.CompileError:
        return None
    return text


def generic(item: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """Returns SQLAlchemy's generic type for a reflected one, if PostgreSQL spells both alike."""
    other = item.as_generic(allow_nulltype=True)
    if isinstance(item, sa.Enum | sa.ARRAY | sa.types.NullType) or isinstance(other, sa.types.NullType):
        return item
    of_sqlite = type(item).__module__.startswith("sqlalchemy.dialects.sqlite")
    return other if of_sqlite or spelt(other, "postgresql") == spelt(item, "postgresql") else item


def type_of(text: str) -> sa.types.TypeEngine[Any] | None:
    """Returns the type that PostgreSQL calls `text`; None for a type that isn't PostgreSQL's own."""
    if text.endswith("[]"):
        item = type_of(text.removesuffix("[]"))
        return postgresql.ARRAY(item) if item is not None else None
    match = _TYPE.fullmatch(text)
    kind = ischema_names.get(match[1]) if match else None
    if match is None or kind is None:
        return None
    numbers = [int(number) for number in (match[2], match[3]) if number]
    if issubclass(kind, postgresql.TIMESTAMP | postgresql.TIME):
        return kind(timezone=match[4] == " with time zone", precision=numbers[0] if numbers else None)
    return cast("sa.types.TypeEngine[Any]", kind(*numbers))


def impl(item: Any, dialect: str) -> Any:
    """Returns the type that stands for `item` on a database: without decorators, and without variants."""
    while True:
        variants = getattr(item, "_variant_mapping", {})
        if dialect in variants:
            item = variants[dialect]
        elif isinstance(item, sa.types.TypeDecorator) and type(item) is not sa.Interval:
            own = item.load_dialect_impl(DIALECTS[dialect])
            item = own if own is not item else item.impl
        else:
            return item


def _code(item: Any, add: Add) -> str:
    module = type(item).__module__
    if isinstance(item, postgresql.DOMAIN):
        add(_IMPORT.format("postgresql"))
        schema = f", schema={item.schema!r}" if item.schema else ""
        return f"postgresql.DOMAIN({item.name!r}, {_code(item.data_type, add)}, create_type=False{schema})"
    if isinstance(item, sa.Enum):
        return _enum(item)
    if isinstance(item, sa.ARRAY):
        add(_IMPORT.format("postgresql"))
        dimensions = f", dimensions={item.dimensions}" if item.dimensions else ""
        inner = _code(impl(item.item_type, "postgresql"), add)
        return f"postgresql.ARRAY({inner}{dimensions})" if inner else ""
    if isinstance(item, sa.Interval) and type(item) is sa.Interval:
        return f"sa.Interval({_interval(item)})"
    if isinstance(item, sa.Boolean):
        return "sa.Boolean()"
    if module.startswith("sqlalchemy.dialects.sqlite"):
        return f"sa.{generic(item)!r}"
    if module.startswith("sqlalchemy.dialects.postgresql"):
        plain = generic(item)
        if plain is not item and hasattr(sa, type(plain).__name__):
            return f"sa.{plain!r}"
        add(_IMPORT.format("postgresql"))
        # SQLAlchemy adapts a type to a subclass of the driver's, which has no public name.
        name = next(kind.__name__ for kind in type(item).__mro__ if not kind.__name__.startswith("_"))
        return f"postgresql.{name}{repr(item).removeprefix(type(item).__name__)}".replace("Text()", "sa.Text()")
    if module.startswith("sqlalchemy."):
        plain = item.as_generic(allow_nulltype=True)
        if isinstance(item, sa.types.NullType | NamedType):
            return ""
        alike = all(spelt(plain, name) == spelt(item, name) for name in DIALECTS)
        return f"sa.{plain if alike and hasattr(sa, type(plain).__name__) else item!r}"
    return _by_spelling(item, add)


def _enum(item: Any) -> str:
    parts = [repr(str(label)) for label in item.enums]
    parts += [f"name={str(item.name)!r}"] if item.name else []
    if item.native_enum:
        parts += ["create_type=False", *([f"schema={item.schema!r}"] if item.schema else [])]
    else:
        parts += ["native_enum=False", *([f"length={item.length}"] if item.length else [])]
    return f"sa.Enum({', '.join(parts)})"


def _interval(item: sa.Interval) -> str:
    options = {"native": item.native, "second_precision": item.second_precision, "day_precision": item.day_precision}
    usual = {"native": True, "second_precision": None, "day_precision": None}
    return ", ".join(f"{name}={value!r}" for name, value in options.items() if value != usual[name])


def _by_spelling(item: Any, add: Add) -> str:
    """Returns the code of a type of the project's own, by its text."""
    for name in DIALECTS:
        found = type_of(str(spelt(item, name)).lower().replace(", ", ","))
        if found is not None and spelt(found, name) == spelt(item, name):
            return _code(found, add)
    return ""


def _made(code: str) -> Any:
    return eval(code, dict(_NAMES))  # noqa: S307 - code that was made here
