"""A mapped attribute that reads and writes plaintext while its column holds ciphertext.

The column is mapped under a private name, and an attribute over it encrypts what is assigned and decrypts what is read:

>>> import sqlalchemy as sa
>>> from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
>>> from app.ciphers import ENC, FieldCipher, Keyring, RawKey

>>> KEYS = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, RawKey.generate()))
>>> class Base(DeclarativeBase): ...
>>> class Provider(Base):
...     __tablename__ = "providers"
...     id: Mapped[int] = mapped_column(primary_key=True)
...     _api_key: Mapped[str | None] = mapped_column("api_key", SealedText(KEYS))
...     api_key = encrypted(_api_key, KEYS)

>>> engine = sa.create_engine("sqlite://")
>>> Base.metadata.create_all(engine)
>>> with Session(engine) as session:
...     session.add(Provider(id=1, api_key="sk-123"))
...     session.commit()
...     session.get_one(Provider, 1).api_key, session.scalar(sa.text("SELECT substr(api_key, 1, 4) FROM providers"))
('sk-123', 'enc:')

It works wherever a column does: constructors, bulk inserts, `.values()`, `RETURNING`, `select(Provider.api_key)`,
subqueries, aliases. Nothing is kept decrypted, so no plaintext is in the instance's dictionary, its pickle or a log.
A row that can't be decrypted can be loaded: reading the attribute is what fails.

What is assigned
================

A `str` is always plaintext, and always encrypted, even if it looks like a ciphertext; a `Ciphertext`, which only code
can make, is stored as it stands; None is NULL. Assigning what a row holds already changes nothing, unless it is stored
unencrypted or under a previous key: then that is put right.

What SQL can't do
=================

A value is never encrypted to the same text twice, so the database can't compare it, and asking for it is an error:

>>> sa.select(Provider).where(Provider.api_key == "sk-123")
Traceback (most recent call last):
app.encrypted.EncryptedColumnComparison: Provider.api_key is encrypted with a random nonce: SQL cannot compare, sort ...
>>> print(sa.select(Provider.id).where(Provider.api_key.is_not(None)))
SELECT providers.id
FROM providers
WHERE providers.api_key IS NOT NULL

Not everything can be caught: `order_by(Provider.api_key)` sorts ciphertexts, and `func.lower(Provider.api_key)` is the
lower case of one. Loader options and `refresh` take the private name: `load_only(Provider._api_key)`.

Core statements on the table know nothing of the attribute. `SealedText`, the column's type, is the guard there: under
`ENCRYPTION_PLAINTEXT=refuse` it takes nothing but a `Ciphertext`; under `allow` it warns once for each column. To the
database it is TEXT, and Alembic finds no difference; for revisions that say so too, env.py's `render_item` must return
`"sa.Text()"` for it.
"""

import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

import sqlalchemy as sa
from sqlalchemy.exc import DontWrapMixin, InvalidRequestError
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedColumn, Mapper
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator, TypeEngine

from app import settings
from app.ciphers import (
    ENC,
    TOKEN,
    CipherError,
    Ciphertext,
    FieldCipher,
    Keyring,
    MalformedCiphertext,
    PassphraseKey,
    Plaintext,
    PlaintextRefused,
    PlaintextWarning,
    RawKey,
    State,
)

_T = TypeVar("_T")


class EncryptedColumnComparison(CipherError, InvalidRequestError):  # noqa: N818 - what is wrong, in a word
    """SQL was asked to compare, sort or search what is encrypted."""


# Any other error in a bind parameter would be wrapped in one that prints all the parameters.
class UnsealedValue(PlaintextRefused, DontWrapMixin):
    """A value that isn't encrypted was sent to a column of secrets; nothing was executed."""


class NotTextError(TypeError, DontWrapMixin):
    """What was sent to a column of secrets isn't text; nothing was executed."""


class SealedText(TypeDecorator[str]):
    """TEXT that ought to be ciphertext: the type of the private attribute under an `encrypted` one.

    What is loaded is a `Ciphertext` if it is a whole one, and a plain `str` else.

    Args:
        cipher: the column's, for its format and its policy; keys aren't used.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, cipher: FieldCipher) -> None:
        super().__init__()
        self.cipher = cipher
        self.of = "a column of secrets"
        self._unwarned = iter([True])  # shared by the copies that SQLAlchemy makes for each dialect

    def process_bind_param(self, value: object, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """Lets ciphertext through, and the rest as the policy says.

        Raises:
            UnsealedValue: it isn't ciphertext, and the policy refuses that.
            NotTextError: it isn't text at all.
        """
        if value is None:
            return None
        if not isinstance(value, str):
            raise NotTextError(f"{self.of} must be a str, not {type(value).__name__}")
        if not isinstance(value, Ciphertext) or self.cipher.state(value) is not State.ENCRYPTED:
            self._complain()
        return str(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """Marks what is ciphertext as such."""
        return Ciphertext(value) if value and self.cipher.state(value) is State.ENCRYPTED else value

    def coerce_compared_value(self, op: object, value: object) -> TypeEngine[Any]:  # noqa: ARG002
        """Takes any text in a comparison, where nothing is stored."""
        return sa.Text()

    def _complain(self) -> None:
        advice = "Assign it to the attribute of the model, or encrypt it before."
        if self.cipher.refuses_plaintext:
            raise UnsealedValue(f"{self.of} was sent unencrypted and ENCRYPTION_PLAINTEXT=refuse. {advice}")
        if next(self._unwarned, False):
            warnings.warn(f"{self.of} was stored unencrypted. {advice}", PlaintextWarning, stacklevel=2)


class _OpaqueComparator(TypeDecorator.Comparator[Any]):
    def operate(self, op: operators.OperatorType, *other: Any, **options: Any) -> sa.ColumnElement[Any]:
        equality = op in (operators.eq, operators.ne, operators.is_, operators.is_not)
        if equality and (other[0] is None or isinstance(other[0], sa.Null)):
            return super().operate(op, *other, **options)
        of = getattr(self.type, "of", "the value")
        raise EncryptedColumnComparison(
            f"{of} is encrypted with a random nonce: SQL cannot compare, sort or search it "
            f"(operator {getattr(op, '__name__', op)!r}). Only .is_(None) and .is_not(None) work; "
            "select the row by another column and compare in Python."
        )

    def reverse_operate(self, op: operators.OperatorType, other: Any, **options: Any) -> sa.ColumnElement[Any]:
        return self.operate(op, other, **options)


class _Opaque(TypeDecorator[str]):
    """The type of an encrypted attribute in a statement: decrypts in results."""

    impl = sa.Text
    cache_ok = True
    comparator_factory = _OpaqueComparator

    def __init__(self, cipher: FieldCipher, of: str) -> None:
        super().__init__()
        self.cipher = cipher
        self.of = of

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else self.cipher.decrypt(value, of=self.of)


class EncryptedAttribute(hybrid_property[_T]):
    """What `encrypted` returns; `mapper.all_orm_descriptors` has it.

    Attributes:
        cipher: how its values are encrypted.
        key: the private attribute's name.
    """

    key: str

    def __init__(self, column: Mapped[Any], cipher: FieldCipher, *, nullable: bool, blank_as_none: bool) -> None:
        guard = column.column.type if isinstance(column, MappedColumn) else None
        if not isinstance(guard, SealedText) or guard.cipher is not cipher:
            raise TypeError("encrypted() takes a mapped_column() whose type is SealedText of the same cipher")
        super().__init__(
            self._get, self._set, expr=self._expression, update_expr=self._values, bulk_dml_setter=self._fill
        )
        self.__doc__ = "Plaintext of a secret that is stored encrypted."
        self.cipher = cipher
        self._column = column
        self._guard = guard
        self._nullable = nullable
        self._blank_as_none = blank_as_none

    def __set_name__(self, owner: type, name: str) -> None:
        self.__name__ = name
        self.key = next(key for key, value in vars(owner).items() if value is self._column)
        self._guard.of = f"{owner.__name__}.{name}"

    def _get(self, instance: Any) -> Any:
        stored = getattr(instance, self.key)
        if stored is None:
            return None
        try:
            return self.cipher.decrypt(stored)
        except CipherError:  # `suppress` would cost a tenth of a decryption, and whose it is a half
            pass
        return self.cipher.decrypt(stored, of=self._name(instance))  # fails again, and says whose it is

    def _set(self, instance: Any, value: Any) -> None:
        stored = sa.inspect(instance).dict.get(self.key)  # what is expired isn't loaded for this
        if not self._is_current(stored, value):
            setattr(instance, self.key, self._seal(value, self._name(instance)))

    def _expression(self, cls: Any) -> sa.Label[Any]:
        # Without a label of its own, two models' attributes of one name can't be selected together.
        opaque = _Opaque(self.cipher, self._name_in(cls))
        return sa.type_coerce(getattr(cls, self.key), opaque).label(self.__name__)

    def _values(self, cls: Any, value: Any) -> list[tuple[Any, Any]]:
        return [(getattr(cls, self.key), self._seal(value, self._name_in(cls)))]

    def _fill(self, cls: Any, mapping: MutableMapping[str, Any], value: Any) -> None:
        mapping[self.key] = self._seal(value, self._name_in(cls))

    def _seal(self, value: Any, of: str) -> Ciphertext | None:
        if self._nullable and (value is None or (self._blank_as_none and isinstance(value, str) and not value)):
            return None
        if not isinstance(value, Ciphertext):
            return self.cipher.encrypt(value, of=of)
        if self.cipher.state(value) is not State.ENCRYPTED:
            raise MalformedCiphertext(f"{of} was given a Ciphertext that is not one of its format.")
        return value

    def _is_current(self, stored: Any, value: Any) -> bool:
        if not isinstance(stored, Ciphertext) or not isinstance(value, str) or isinstance(value, Ciphertext):
            return False
        with suppress(CipherError):
            opened = self.cipher.open(stored)
            return opened.plaintext == value and opened.key == self.cipher.keyring.writing
        return False

    def _name(self, instance: Any) -> str:
        name, identity = self._name_in(type(instance)), sa.inspect(instance).identity
        return f"{name} of {', '.join(map(str, identity))}" if identity else name

    def _name_in(self, cls: Any) -> str:
        model = getattr(sa.inspect(cls, raiseerr=False), "class_", cls)  # an alias has the name of its model
        return f"{model.__name__}.{self.__name__}"


@overload
def encrypted(
    column: Mapped[Any], cipher: FieldCipher, *, nullable: Literal[True] = True, blank_as_none: bool = False
) -> EncryptedAttribute[str | None]: ...


@overload
def encrypted(column: Mapped[Any], cipher: FieldCipher, *, nullable: Literal[False]) -> EncryptedAttribute[str]: ...


def encrypted(
    column: Mapped[Any], cipher: FieldCipher, *, nullable: bool = True, blank_as_none: bool = False
) -> EncryptedAttribute[Any]:
    """Declares an attribute whose values are encrypted in `column`.

    Reading it raises `CipherError` where the stored value can't be decrypted or, under the policy `refuse`, isn't
    encrypted; assigning raises it where there is no key, and `TypeError` for what isn't text. The message names model,
    attribute and primary key, and the row is as it was.

    Args:
        column: the `mapped_column` above it in the class body, of type `SealedText(cipher)`.
        cipher: how values are encrypted.
        nullable: whether the attribute may be None.
        blank_as_none: store an empty string as NULL.

    Raises:
        TypeError: the column isn't of that type, so nothing would guard it.
    """
    return EncryptedAttribute(column, cipher, nullable=nullable, blank_as_none=blank_as_none)


def sealed_check(column: str, cipher: FieldCipher) -> sa.CheckConstraint:
    """A CHECK constraint for `__table_args__` that lets nothing into a column but what begins as a ciphertext does.

    It is for a column that holds no plaintext any more. The database refuses what is written past the attribute, too,
    and puts the refused row into its error: see docs/rotation.md.

    Args:
        column: the column's name in the table.
        cipher: the column's.
    """
    return sa.CheckConstraint(cipher.format.sealed_sql(column), name=f"{column}_sealed")


@dataclass(frozen=True)
class EncryptedColumn:
    """A column of secrets, and its `name` as errors say it: `ServiceProvider.api_key`."""

    name: str
    mapper: Mapper[Any]
    table: sa.Table
    column: sa.Column[Any]
    cipher: FieldCipher


def encrypted_columns(base: type[DeclarativeBase]) -> Iterator[EncryptedColumn]:
    """The encrypted columns of all models of a base, each once, by the model that declares it."""
    for mapper in sorted(base.registry.mappers, key=lambda mapper: mapper.class_.__name__):
        inherited = set(mapper.inherits.all_orm_descriptors.keys() if mapper.inherits else ())
        for name, attribute in mapper.all_orm_descriptors.items():
            if isinstance(attribute, EncryptedAttribute) and name not in inherited:
                column = mapper.columns[attribute.key]
                of = f"{mapper.class_.__name__}.{name}"
                yield EncryptedColumn(of, mapper, column.table, column, attribute.cipher)


def _api_keys() -> Keyring:
    keys = settings.load().encryption_key
    return Keyring.parse(keys.name, RawKey.from_base64, keys.writing, keys.previous)


def _github_tokens() -> Keyring:
    keys = settings.load().github_token_encryption_key
    return Keyring.parse(keys.name, PassphraseKey, keys.writing, keys.previous)


def _policy() -> Plaintext:
    return settings.load().encryption_plaintext


API_KEYS = FieldCipher(ENC, _api_keys, _policy)
GITHUB_TOKENS = FieldCipher(TOKEN, _github_tokens, _policy)
