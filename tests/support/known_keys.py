"""Holds the keys and ciphers that the tests encrypt with."""

from collections.abc import Callable

from app.encryption import ENC, TOKEN, CipherError, FieldCipher, Keyring, PassphraseKey, RawKey

PASSPHRASE = "a passphrase of more than 32 characters"
KEY = RawKey.generate()
ENVIRONMENT = {"ENCRYPTION_KEY": KEY, "GITHUB_TOKEN_ENCRYPTION_KEY": PASSPHRASE}
ENC_CIPHER = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, KEY))
TOKEN_CIPHER = FieldCipher(TOKEN, Keyring.parse("GITHUB_TOKEN_ENCRYPTION_KEY", PassphraseKey, PASSPHRASE))


def one_by_one(cipher: FieldCipher) -> Callable[[str], str]:
    """Encrypts single values that share a salt, as pages do: a salt each would take 20 ms each."""
    batch = cipher.batch()
    return lambda plaintext: batch.encrypt([plaintext])[0]


def under_writing_key(cipher: FieldCipher, stored: str) -> bool:
    """Returns whether the writing key opens a stored value."""
    try:
        return cipher.open(stored).key == cipher.keyring.writing
    except CipherError:
        return False
