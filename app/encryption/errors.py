"""Errors of secrets and keys; no message contains a secret, a key or a ciphertext."""

from app.errors import SchemaError


class CipherError(SchemaError):
    """Base of the errors of secrets; the message names the value and never shows it."""

    exit_code = 2
    word = "configuration"


class KeyConfigurationError(CipherError):
    """Raised when a key is missing or malformed."""


class DecryptionError(CipherError):
    """Raised when no configured key opens a stored value."""


class MalformedCiphertext(DecryptionError):  # noqa: N818 - the word that users search for
    """Raised when a stored value isn't a whole ciphertext, so that no key could open it."""


class PlaintextRefused(CipherError):  # noqa: N818 - as above
    """Raised when a value is, or would be, stored unencrypted and the policy refuses that."""


class PlaintextWarning(UserWarning):
    """Issued when an unencrypted value is sent to a column of secrets."""


class WeakKeyWarning(UserWarning):
    """Issued when the writing key can be guessed."""
