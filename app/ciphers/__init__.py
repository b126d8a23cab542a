"""Two ciphertext formats, the keys that open them, and the cipher of a column.

`ENC` is `enc:` and URL-safe base64 of nonce (12 bytes), ciphertext and tag (16 bytes). `TOKEN` is
`salt:iv:tag:ciphertext`, four parts in standard base64 of 32, 16, 16 and any number of bytes. Both are AES-256-GCM, to
the letter as the services that share the database read and write them.

The columns also hold what is older than encryption. A stored string is told apart by its *marker*, the way its format
begins, and never by whether some key happens to open it:

>>> ENC.state("sk-123"), ENC.state("enc:oops")
(<State.PLAINTEXT: 'plaintext'>, <State.MALFORMED: 'malformed'>)

A keyring writes with one key and reads with all of them, so a key can be replaced without a pause:

>>> old, new = RawKey.generate(), RawKey.generate()
>>> before = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, old))
>>> after = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, new, [old]))
>>> stored = before.encrypt("sk-123")
>>> after.decrypt(stored), after.under_writing_key(stored)
('sk-123', False)

No message, repr, pickle or chained exception that comes from here carries a secret, a key or a ciphertext.
"""

from app.ciphers.errors import (
    CipherError,
    DecryptionError,
    KeyConfigurationError,
    MalformedCiphertext,
    PlaintextRefused,
    PlaintextWarning,
    WeakKeyWarning,
)
from app.ciphers.fields import Batch, FieldCipher, Opened, Plaintext
from app.ciphers.formats import ENC, TOKEN, Ciphertext, Format, Parts, State
from app.ciphers.keys import Key, Keyring, PassphraseKey, RawKey

__all__ = [
    "ENC",
    "TOKEN",
    "Batch",
    "CipherError",
    "Ciphertext",
    "DecryptionError",
    "FieldCipher",
    "Format",
    "Key",
    "KeyConfigurationError",
    "Keyring",
    "MalformedCiphertext",
    "Opened",
    "Parts",
    "PassphraseKey",
    "Plaintext",
    "PlaintextRefused",
    "PlaintextWarning",
    "RawKey",
    "State",
    "WeakKeyWarning",
]

# A traceback and a pickle name the way in, wherever behind it the class is.
for _shown in (
    Ciphertext,
    CipherError,
    DecryptionError,
    KeyConfigurationError,
    MalformedCiphertext,
    PlaintextRefused,
    PlaintextWarning,
    WeakKeyWarning,
):
    _shown.__module__ = __name__
