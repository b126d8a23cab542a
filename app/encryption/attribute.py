"""The attribute over a private column, and the list of all encrypted columns."""

from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, overload

import sqlalchemy as sa
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedColumn, Mapper

from app.encryption.cipher import FieldCipher
from app.encryption.column_types import DecryptedOnRead, EncryptedText
from app.encryption.errors import CipherError, MalformedCiphertext
from app.encryption.formats import Ciphertext, State

_T = TypeVar("_T")


class EncryptedAttribute(hybrid_property[_T]):
    """Reads and writes plaintext over a column of ciphertext: see `encrypted`."""

    key: str  # the name of the private attribute

    def __init__(self, column: Mapped[Any], cipher: FieldCipher, *, nullable: bool, blank_as_none: bool) -> None:
        column_type = column.column.type if isinstance(column, MappedColumn) else None
        if not isinstance(column_type, EncryptedText) or column_type.cipher is not cipher:
            raise TypeError("encrypted() takes a mapped_column() whose type is EncryptedText of the same cipher")
        super().__init__(
            self._get, self._set, expr=self._expression, update_expr=self._values, bulk_dml_setter=self._fill
        )
        self.__doc__ = "Plaintext of a secret that is stored encrypted."
        self.cipher = cipher
        self._column = column
        self._column_type = column_type
        self._nullable = nullable
        self._blank_as_none = blank_as_none

    def __set_name__(self, owner: type, name: str) -> None:
        self.__name__ = name
        self.key = next(key for key, value in vars(owner).items() if value is self._column)
        self._column_type.label = f"{owner.__name__}.{name}"

    def _get(self, instance: Any) -> Any:
        # Only a value that isn't loaded, or was never set, needs SQLAlchemy's attribute.
        if (stored := instance.__dict__.get(self.key)) is None and (stored := getattr(instance, self.key)) is None:
            return None
        try:
            return self.cipher.decrypt(stored)
        except CipherError:  # `suppress` would cost a tenth of a decryption, and the label a half
            pass
        return self.cipher.decrypt(stored, label=self._label(instance))  # raises again, with the label

    def _set(self, instance: Any, value: Any) -> None:
        stored = instance.__dict__.get(self.key)  # an expired value isn't loaded for this
        if isinstance(stored, Ciphertext) and self._is_current(stored, value):
            return
        encrypted, failed = None, False
        try:
            encrypted = self._encrypt(value, "the value")
        except (CipherError, TypeError):  # see `_get`
            failed = True
        setattr(instance, self.key, self._encrypt(value, self._label(instance)) if failed else encrypted)

    def _expression(self, cls: Any) -> sa.Label[Any]:
        # Without a label of its own, two models' attributes of one name can't be selected together.
        decrypted = DecryptedOnRead(self.cipher, self._class_label(cls))
        return sa.type_coerce(getattr(cls, self.key), decrypted).label(self.__name__)

    def _values(self, cls: Any, value: Any) -> list[tuple[Any, Any]]:
        return [(getattr(cls, self.key), self._encrypt(value, self._class_label(cls)))]

    def _fill(self, cls: Any, mapping: MutableMapping[str, Any], value: Any) -> None:
        mapping[self.key] = self._encrypt(value, self._class_label(cls))

    def _encrypt(self, value: Any, label: str) -> Ciphertext | None:
        if self._nullable and (value is None or (self._blank_as_none and isinstance(value, str) and not value)):
            return None
        if not isinstance(value, Ciphertext):
            return self.cipher.encrypt(value, label=label)
        if self.cipher.state(value) is not State.ENCRYPTED:
            raise MalformedCiphertext(f"{label} was given a Ciphertext that is not one of its format.")
        return value

    def _is_current(self, stored: Ciphertext, value: Any) -> bool:
        if not isinstance(value, str) or isinstance(value, Ciphertext):
            return False
        with suppress(CipherError):
            opened = self.cipher.open(stored)
            return opened.plaintext == value and opened.key == self.cipher.keyring.writing
        return False

    def _label(self, instance: Any) -> str:
        label, identity = self._class_label(type(instance)), sa.inspect(instance).identity
        return f"{label} of {', '.join(map(str, identity))}" if identity else label

    def _class_label(self, cls: Any) -> str:
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

    Reading raises `CipherError` for a value that can't be decrypted, or that the policy refuses. Assigning raises it
    where there is no key, and `TypeError` for what isn't text. The message names model, attribute and primary key.

    Args:
        column: the `mapped_column` above it in the class body, of type `EncryptedText(cipher)`.
        cipher: the cipher of its values.
        nullable: whether the attribute may be None.
        blank_as_none: store an empty string as NULL.
    """
    return EncryptedAttribute(column, cipher, nullable=nullable, blank_as_none=blank_as_none)


def encrypted_check(column: str, cipher: FieldCipher) -> sa.CheckConstraint:
    """Returns a CHECK constraint for `__table_args__` that refuses plaintext in a column: see docs/rotation.md."""
    # The name is in databases already, and stays.
    return sa.CheckConstraint(cipher.format.encrypted_sql(column), name=f"{column}_sealed")


@dataclass(frozen=True)
class EncryptedColumn:
    """An encrypted column; errors spell its `name` as `ServiceProvider.api_key`."""

    name: str
    mapper: Mapper[Any]
    table: sa.Table
    column: sa.Column[Any]
    cipher: FieldCipher


def encrypted_columns(base: type[DeclarativeBase]) -> Iterator[EncryptedColumn]:
    """Lists the encrypted columns of all models of a base, each once, by the model that declares it."""
    for mapper in sorted(base.registry.mappers, key=lambda mapper: mapper.class_.__name__):
        inherited = set(mapper.inherits.all_orm_descriptors.keys() if mapper.inherits else ())
        for name, attribute in mapper.all_orm_descriptors.items():
            if isinstance(attribute, EncryptedAttribute) and name not in inherited:
                column = mapper.columns[attribute.key]
                label = f"{mapper.class_.__name__}.{name}"
                yield EncryptedColumn(label, mapper, column.table, column, attribute.cipher)
