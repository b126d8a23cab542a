"""What can be wrong with a secret or a key; no message says what the secret is."""

from app.errors import SchemaError


class CipherError(SchemaError):
    """Something is wrong with a secret; the message says whose, and never what it is."""

    exit_code = 2
    word = "configuration"


class KeyConfigurationError(CipherError):
    """A key is missing, or isn't one."""


class DecryptionError(CipherError):
    """No configured key opens a stored value."""


class MalformedCiphertext(DecryptionError):  # noqa: N818 - what it is, rather than that it's an error
    """A stored value isn't a whole ciphertext: no key could open it."""


class PlaintextRefused(CipherError):  # noqa: N818 - as above
    """A value is, or would be, stored unencrypted, and the policy refuses that."""


class PlaintextWarning(UserWarning):
    """A value that isn't encrypted was sent to a column of secrets."""


class WeakKeyWarning(UserWarning):
    """The key that encrypts can be guessed."""
