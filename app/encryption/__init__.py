"""Encrypted attributes of models: plaintext in Python, ciphertext in the column.

>>> import sqlalchemy as sa
>>> from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
>>> from app.encryption import ENC, EncryptedText, FieldCipher, Keyring, RawKey, encrypted

>>> KEYS = FieldCipher(ENC, Keyring.parse("ENCRYPTION_KEY", RawKey.from_base64, RawKey.generate()))
>>> class Base(DeclarativeBase): ...
>>> class Provider(Base):
...     __tablename__ = "providers"
...     id: Mapped[int] = mapped_column(primary_key=True)
...     _api_key: Mapped[str | None] = mapped_column("api_key", EncryptedText(KEYS))
...     api_key = encrypted(_api_key, KEYS)

>>> engine = sa.create_engine("sqlite://")
>>> Base.metadata.create_all(engine)
>>> with Session(engine) as session:
...     session.add(Provider(id=1, api_key="sk-123"))
...     session.commit()
...     session.get_one(Provider, 1).api_key, session.scalar(sa.text("SELECT substr(api_key, 1, 4) FROM providers"))
('sk-123', 'enc:')

A `str` that is assigned is always plaintext and always encrypted. Instances keep ciphertext only, so no plaintext gets
into their dictionary, their pickle or a log. Each ciphertext is random, so the database can't compare it. A stored
string is judged by its marker, the beginning of its format, and never by whether a key opens it:

>>> ENC.state("sk-123"), ENC.state("enc:oops")
(<State.PLAINTEXT: 'plaintext'>, <State.MALFORMED: 'malformed'>)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from app.encryption.cipher import Batch, FieldCipher, Opened, PlaintextPolicy
from app.encryption.errors import (
    CipherError,
    DecryptionError,
    KeyConfigurationError,
    MalformedCiphertext,
    PlaintextRefused,
    PlaintextWarning,
    WeakKeyWarning,
)
from app.encryption.formats import ENC, TOKEN, Ciphertext, State
from app.encryption.keys import Keyring, PassphraseKey, RawKey
from app.encryption.lookup_hash import HashedColumn, LookupHash, hashed_columns, same_text

if TYPE_CHECKING:
    from app.encryption.attribute import EncryptedColumn, encrypted, encrypted_check, encrypted_columns
    from app.encryption.column_types import EncryptedColumnComparison, EncryptedText, NotTextError, UnencryptedValue

__all__ = [
    "ENC",
    "TOKEN",
    "Batch",
    "CipherError",
    "Ciphertext",
    "DecryptionError",
    "EncryptedColumn",
    "EncryptedColumnComparison",
    "EncryptedText",
    "FieldCipher",
    "HashedColumn",
    "KeyConfigurationError",
    "Keyring",
    "LookupHash",
    "MalformedCiphertext",
    "NotTextError",
    "Opened",
    "PassphraseKey",
    "PlaintextPolicy",
    "PlaintextRefused",
    "PlaintextWarning",
    "RawKey",
    "State",
    "UnencryptedValue",
    "WeakKeyWarning",
    "encrypted",
    "encrypted_check",
    "encrypted_columns",
    "hashed_columns",
    "same_text",
]

# Tracebacks and pickles name the public face, not the module behind it.
for _name in __all__:
    if isinstance(_class := globals().get(_name), type) and issubclass(_class, Exception | Ciphertext):
        _class.__module__ = __name__


def __getattr__(name: str) -> Any:
    # These load SQLAlchemy's ORM, which an upgrade doesn't need.
    if name in __all__:
        for module in ("column_types", "attribute"):
            loaded = import_module(f"{__name__}.{module}")
            if hasattr(loaded, name):
                return getattr(loaded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
