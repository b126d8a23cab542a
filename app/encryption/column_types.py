"""SQLAlchemy types of encrypted columns: the values that may be stored, and the SQL that may use them."""

import warnings
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DontWrapMixin, InvalidRequestError
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.encryption.cipher import FieldCipher
from app.encryption.errors import CipherError, PlaintextRefused, PlaintextWarning
from app.encryption.formats import Ciphertext, State, WholeCiphertext


class EncryptedColumnComparison(CipherError, InvalidRequestError):  # noqa: N818 - the word that users search for
    """Raised when a statement would compare, sort or search ciphertexts."""


# SQLAlchemy would wrap any other error of a bind parameter in one that prints all parameters.
class UnencryptedValue(PlaintextRefused, DontWrapMixin):
    """Raised when plaintext is sent to an encrypted column, before the statement is executed."""

    __module__ = "app.encryption"


class NotTextError(TypeError, DontWrapMixin):
    """Raised when something else than text is sent to an encrypted column, before the statement is executed."""

    __module__ = "app.encryption"


class EncryptedText(TypeDecorator[str]):
    """TEXT that should hold ciphertext: the type of the private attribute under an `encrypted` one.

    A whole ciphertext is loaded as `Ciphertext`, anything else as a plain `str`.

    Args:
        cipher: the column's; only its format and its policy are used, no key.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, cipher: FieldCipher) -> None:
        super().__init__()
        self.cipher = cipher
        self.label = "a column of secrets"
        self._unwarned = iter([True])  # shared by the copies that SQLAlchemy makes for each dialect

    def process_bind_param(self, value: object, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """Passes ciphertext on; refuses plaintext or warns of it, as the policy says."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise NotTextError(f"{self.label} must be a str, not {type(value).__name__}")
        if not isinstance(value, Ciphertext) or self.cipher.state(value) is not State.ENCRYPTED:
            self._refuse_or_warn()
        return str(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """Marks ciphertext as such."""
        format_ = self.cipher.format
        return WholeCiphertext(value, format_, parts) if value and (parts := format_.parse(value)) else value

    def coerce_compared_value(self, op: object, value: object) -> TypeEngine[Any]:  # noqa: ARG002
        """Accepts any text in a comparison, which stores nothing."""
        return sa.Text()

    def _refuse_or_warn(self) -> None:
        advice = "Assign it to the attribute of the model, or encrypt it before."
        if self.cipher.refuses_plaintext:
            raise UnencryptedValue(f"{self.label} was sent unencrypted and ENCRYPTION_PLAINTEXT=refuse. {advice}")
        if next(self._unwarned, False):
            warnings.warn(f"{self.label} was stored unencrypted. {advice}", PlaintextWarning, stacklevel=2)


class _Comparator(TypeDecorator.Comparator[Any]):
    def operate(self, op: operators.OperatorType, *other: Any, **options: Any) -> sa.ColumnElement[Any]:
        equality = op in (operators.eq, operators.ne, operators.is_, operators.is_not)
        if equality and (other[0] is None or isinstance(other[0], sa.Null)):
            return super().operate(op, *other, **options)
        label = getattr(self.type, "label", "the value")
        raise EncryptedColumnComparison(
            f"{label} is encrypted with a random nonce: SQL cannot compare, sort or search it "
            f"(operator {getattr(op, '__name__', op)!r}). Only .is_(None) and .is_not(None) work; "
            "select the row by another column and compare in Python."
        )

    def reverse_operate(self, op: operators.OperatorType, other: Any, **options: Any) -> sa.ColumnElement[Any]:
        return self.operate(op, other, **options)


class DecryptedOnRead(TypeDecorator[str]):
    """Type of an encrypted attribute in a statement: decrypts the results, and refuses comparisons."""

    impl = sa.Text
    cache_ok = True
    comparator_factory = _Comparator

    def __init__(self, cipher: FieldCipher, label: str) -> None:
        super().__init__()
        self.cipher = cipher
        self.label = label

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """Decrypts a value."""
        return None if value is None else self.cipher.decrypt(value, label=self.label)
