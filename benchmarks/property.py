"""Cost of reading an encrypted attribute: beside decrypting in a bare loop, and beside a plain attribute.

python -m benchmarks.property [--rounds 15] [--json]
"""

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from app.encryption import ENC, TOKEN, EncryptedText, FieldCipher, Keyring, PassphraseKey, RawKey, encrypted
from app.encryption.formats import Format
from app.encryption.keys import Key
from benchmarks import measure
from benchmarks.measure import Case

ROWS = 10_000


def main() -> None:
    """Measures and prints."""
    options = measure.arguments("Times reading 10,000 secrets through the ORM.")
    cases = []
    passphrase = "a passphrase of more than 32 characters"  # noqa: S105 - of nobody
    for format_, key in ((ENC, RawKey.from_base64(RawKey.generate())), (TOKEN, PassphraseKey(passphrase))):
        cases += of_format(format_, key)
    measure.report(measure.measure(cases, options.rounds), options.rounds, [measure.sqlite()], as_json=options.json)


def of_format(format_: Format, key: Key) -> list[Case]:
    """Returns the cases of one format; all values share a salt, so that its key is derived before."""
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
    batch = cipher.batch()
    secrets = [f"sk-{number:047d}" for number in range(ROWS)]
    stored = [value for start in range(0, ROWS, 1000) for value in batch.encrypt(secrets[start : start + 1000])]
    records = [{"id": number, "plain": value[:50], "secret": value} for number, value in enumerate(stored)]
    session = Session(engine)
    session.execute(sa.text("INSERT INTO holders (id, plain, secret) VALUES (:id, :plain, :secret)"), records)
    session.commit()
    holders = list(session.scalars(sa.select(Holder)))
    parsed = [format_.parse(value) for value in stored]

    def bare() -> None:
        for value in stored:
            cipher.decrypt(value)

    def primitive() -> None:
        for parts in parsed:
            assert parts is not None
            key.decrypt(parts)

    def attribute() -> None:
        for holder in holders:
            holder.secret  # noqa: B018 - reading is what is timed

    def plain() -> None:
        for holder in holders:
            holder.plain  # noqa: B018 - as above

    group = f"reading {ROWS:,} loaded secrets, {format_.name}"
    return [
        Case(group, "decrypting in a bare loop", bare),
        Case(group, "the encrypted attribute", attribute),
        Case(group, "a plain attribute", plain),
        Case(group, "AES-GCM alone, ciphertext taken apart before", primitive),
    ]


if __name__ == "__main__":
    main()
