"""Cost of one secret: the cipher, and the encrypted attribute, beside what a program would write without us.

python -m benchmarks.property [--rounds 15] [--json]

The bare lines are `base64` and AES-GCM, as documented by `cryptography`: no check of the spelling, one key, no error of
its own. All values of the token format share a salt, whose key is derived before.
"""

import base64
import os
from collections.abc import Callable

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.attributes import set_committed_value

from app.encryption import ENC, TOKEN, EncryptedText, FieldCipher, Keyring, PassphraseKey, RawKey, encrypted
from app.encryption.formats import Format
from app.encryption.keys import Key
from benchmarks import measure
from benchmarks.measure import Case

ROWS = 10_000
Convert = Callable[[str], str]


def main() -> None:
    """Measures and prints."""
    options = measure.arguments("Times 10,000 secrets, alone and through the ORM.")
    cases = []
    passphrase = "a passphrase of more than 32 characters"  # noqa: S105 - of nobody
    for format_, key in ((ENC, RawKey.from_base64(RawKey.generate())), (TOKEN, PassphraseKey(passphrase))):
        cases += of_format(format_, key)
    measure.finish(
        measure.summary(measure.measure(cases, options.rounds), options.rounds, [measure.sqlite()]),
        measure.text,
        as_json=options.json,
    )


def bare_enc(aes: AESGCM) -> tuple[Convert, Convert]:
    """Returns what a program would write for the enc format: encrypting, and decrypting."""

    def encrypt(text: str) -> str:
        nonce = os.urandom(12)
        return "enc:" + base64.urlsafe_b64encode(nonce + aes.encrypt(nonce, text.encode(), None)).decode()

    def decrypt(stored: str) -> str:
        data = base64.urlsafe_b64decode(stored[4:])
        return aes.decrypt(data[:12], data[12:], None).decode()

    return encrypt, decrypt


def bare_token(aes: AESGCM, salt: bytes) -> tuple[Convert, Convert]:
    """Returns the same for the token format; the key of a salt is derived once."""
    encode, decode, salt_digits = base64.b64encode, base64.b64decode, base64.b64encode(salt).decode()

    def encrypt(text: str) -> str:
        nonce = os.urandom(16)
        data = aes.encrypt(nonce, text.encode(), None)
        return f"{salt_digits}:{encode(nonce).decode()}:{encode(data[-16:]).decode()}:{encode(data[:-16]).decode()}"

    def decrypt(stored: str) -> str:
        _salt, nonce, tag, data = stored.split(":")
        return aes.decrypt(decode(nonce), decode(data) + decode(tag), None).decode()

    return encrypt, decrypt


def of_format(format_: Format, key: Key) -> list[Case]:
    """Returns the cases of one format."""
    cipher = FieldCipher(format_, Keyring("K", key))

    class Base(DeclarativeBase): ...

    class Holder(Base):
        __tablename__ = "holders"
        id: Mapped[int] = mapped_column(primary_key=True)
        plain: Mapped[str]
        _secret: Mapped[str | None] = mapped_column("secret", EncryptedText(cipher))
        secret = encrypted(_secret, cipher)

    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    secrets = [f"sk-{number:047d}" for number in range(ROWS)]
    parts = format_.parse(cipher.encrypt(secrets[0]))
    assert parts is not None
    aes = key.cipher(parts.salt)
    bare_encrypt, bare_decrypt = bare_enc(aes) if format_ is ENC else bare_token(aes, parts.salt)
    stored = [*map(bare_encrypt, secrets)]  # all of one salt
    records = [{"id": number, "plain": value[:50], "secret": value} for number, value in enumerate(stored)]
    session = Session(engine)
    session.execute(sa.text("INSERT INTO holders (id, plain, secret) VALUES (:id, :plain, :secret)"), records)
    session.commit()
    holders = list(session.scalars(sa.select(Holder)))
    fresh = [Holder(id=-1 - number) for number in range(ROWS)]

    def each(convert: Convert, values: list[str]) -> Callable[[], None]:
        def run() -> None:
            for value in values:
                convert(value)

        return run

    def read() -> None:
        for holder in holders:
            holder.secret  # noqa: B018 - reading is what is timed

    def read_plain() -> None:
        for holder in holders:
            holder.plain  # noqa: B018 - as above

    def empty() -> None:
        for holder in fresh:
            set_committed_value(holder, "_secret", None)

    def assign() -> None:
        for holder, secret in zip(fresh, secrets, strict=True):
            holder.secret = secret

    def assign_plain() -> None:
        for holder, secret in zip(fresh, secrets, strict=True):
            holder.plain = secret

    reading, writing = (f"{what} {ROWS:,} secrets, {format_.name}" for what in ("decrypting", "encrypting"))
    cases = [
        Case(reading, "bare: base64 and AES-GCM", each(bare_decrypt, stored)),
        Case(reading, "cipher.decrypt", each(cipher.decrypt, stored)),
        Case(reading, "reading the attribute of a loaded object", read),
        Case(reading, "a plain attribute", read_plain),
    ]
    if format_ is ENC:  # each value of the token format has a salt of its own, and so a key to derive
        cases += [
            Case(writing, "bare: base64 and AES-GCM", each(bare_encrypt, secrets)),
            Case(writing, "cipher.encrypt", each(cipher.encrypt, secrets)),
            Case(writing, "assigning to the attribute", assign, empty),
            Case(writing, "a plain attribute", assign_plain),
        ]
    return cases


if __name__ == "__main__":
    main()
