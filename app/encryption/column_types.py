"""The two types of a column of secrets: what may be sent to it, and what SQL may do with it."""

import warnings
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DontWrapMixin, InvalidRequestError
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.encryption.cipher import FieldCipher
from app.encryption.errors import CipherError, PlaintextRefused, PlaintextWarning
from app.encryption.formats import Ciphertext, State


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


class Opaque(TypeDecorator[str]):
    """The type of an encrypted attribute in a statement: decrypts in results."""

    impl = sa.Text
    cache_ok = True
    comparator_factory = _OpaqueComparator

    def __init__(self, cipher: FieldCipher, of: str) -> None:
        super().__init__()
        self.cipher = cipher
        self.of = of

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """The secret."""
        return None if value is None else self.cipher.decrypt(value, of=self.of)
