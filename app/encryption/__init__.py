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

A mapped attribute that reads and writes plaintext while its column holds ciphertext.

The column is mapped under a private name, and an attribute over it encrypts what is assigned and decrypts what is read:

>>> import sqlalchemy as sa
>>> from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
>>> from app.encryption import ENC, FieldCipher, Keyring, RawKey

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
app.encryption.EncryptedColumnComparison: Provider.api_key is encrypted with a random nonce: SQL cannot compare...
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

from app.encryption.attribute import EncryptedAttribute, EncryptedColumn, encrypted, encrypted_columns, sealed_check
from app.encryption.cipher import Batch, FieldCipher, Opened, Plaintext
from app.encryption.column_types import EncryptedColumnComparison, NotTextError, SealedText, UnsealedValue
from app.encryption.errors import (
    CipherError,
    DecryptionError,
    KeyConfigurationError,
    MalformedCiphertext,
    PlaintextRefused,
    PlaintextWarning,
    WeakKeyWarning,
)
from app.encryption.formats import ENC, TOKEN, Ciphertext, Format, Parts, State
from app.encryption.keys import Key, Keyring, PassphraseKey, RawKey

__all__ = [
    "ENC",
    "TOKEN",
    "Batch",
    "CipherError",
    "Ciphertext",
    "DecryptionError",
    "EncryptedAttribute",
    "EncryptedColumn",
    "EncryptedColumnComparison",
    "FieldCipher",
    "Format",
    "Key",
    "KeyConfigurationError",
    "Keyring",
    "MalformedCiphertext",
    "NotTextError",
    "Opened",
    "Parts",
    "PassphraseKey",
    "Plaintext",
    "PlaintextRefused",
    "PlaintextWarning",
    "RawKey",
    "SealedText",
    "State",
    "UnsealedValue",
    "WeakKeyWarning",
    "encrypted",
    "encrypted_columns",
    "sealed_check",
]

# A traceback and a pickle name the way in, wherever behind it the class is.
for _shown in (
    Ciphertext,
    CipherError,
    DecryptionError,
    EncryptedColumnComparison,
    KeyConfigurationError,
    MalformedCiphertext,
    NotTextError,
    PlaintextRefused,
    PlaintextWarning,
    UnsealedValue,
    WeakKeyWarning,
):
    _shown.__module__ = __name__
