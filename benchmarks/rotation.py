"""Rotation of a key, and verification: the engine beside one bare statement, and beside a loop.

python -m benchmarks.rotation [--rows 200000] [--salts 300] [--rounds 5] [--before FOLDER]
                              [--only sqlite|postgresql] [--json]

The floor of a rotation is one UPDATE that writes each row anew at the same length; that of a verification, one query
that reads each secret. Tokens are verified twice: `--rows` of them share a salt for each 4,096 values, as the engine
writes them, and `--salts` have a salt each, as the running service writes them. Their floor is the same query.
"""

import base64
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from app import db
from app.encryption import FieldCipher
from benchmarks import columns, measure, tables, ways
from benchmarks.property import bare_enc
from benchmarks.ways import Target, Way
from tests.support.environment import ROOT

ROUNDS_OF_PBKDF2 = 100_000
BATCH = 4096  # values that share a salt
_, open_old = bare_enc(AESGCM(columns.OLD))
seal_new, open_new = bare_enc(AESGCM(columns.NEW))


def floor(target: Target) -> None:
    """Writes each row anew, in one statement."""
    target.execute(f"UPDATE {target.table} SET secret = substr(secret, 1, 4) || upper(substr(secret, 5))")


def reading(target: Target) -> None:
    """Reads each secret, in one query whose answer isn't kept."""
    if target.url.startswith("postgresql"):
        with psycopg.connect(target.url.replace("+psycopg", "")) as connection:
            cursor = connection.cursor("all")
            cursor.itersize = ways.PAGE
            for _ in cursor.execute(f"SELECT secret FROM {target.table}".encode()):
                pass
        return
    with db.engine(target.url).connect() as connection:
        for _ in connection.execution_options(yield_per=ways.PAGE).exec_driver_sql(
            f"SELECT secret FROM {target.table}"
        ):
            pass


@cache
def cipher_of(salt: bytes) -> AESGCM:
    """Derives the key of a salt, and keeps it, as a program would."""
    derivation = PBKDF2HMAC(SHA256(), 32, salt, ROUNDS_OF_PBKDF2)
    return AESGCM(derivation.derive(columns.PASSPHRASE.encode()))


def open_token(stored: str) -> str:
    """Opens a value of the token format, without any check of its own."""
    salt, nonce, tag, data = map(base64.b64decode, stored.split(":"))
    return cipher_of(salt).decrypt(nonce, data + tag, None).decode()


def encrypted(rows: int, cipher: FieldCipher) -> tables.Rows:
    """Makes rows of ciphertexts; those of a batch share a salt where the format has one."""
    for first in range(1, rows + 1, BATCH):
        numbers = range(first, min(first + BATCH, rows + 1))
        values = cipher.batch().encrypt([tables.PLAIN.format(number) for number in numbers])
        for number, value in zip(numbers, values, strict=True):
            yield number, value, f"{number:060d}"


def salted(rows: int) -> tables.Rows:
    """Makes rows of tokens with a salt each."""
    for number in range(1, rows + 1):
        yield number, str(columns.TOKENS.encrypt(tables.PLAIN.format(number))), ""


def of_place(place: tables.Place, rows: int, salts: int, rounds: int, before: Path | None) -> Iterator[dict[str, Any]]:
    """Measures on one database."""
    engines = {"the engine": ROOT} | ({"before": before} if before else {})
    workers = {"one": 1} | ({"two workers, their start included": 2} if place.dialect == "postgresql" else {})

    def measured(
        title: str, table: str, contents: tables.Rows, number: int, first: Way, bare: ways.Run, action: str
    ) -> dict[str, Any]:
        changes = action == "rotate"
        size = max(number // 20, 1) if table == "tokens" and number == salts else None
        compared = [first]
        for name, folder in engines.items():
            for count_, of_them in workers.items():
                run = ways.engine(action, of_them, folder=folder, range_rows=size)
                compared.append(Way(f"{name}, {count_}", run, changes=changes))
        compared.append(Way("bare code", forgetting(bare), changes=changes))
        found = ways.take_turns(place, place.filled(table, contents), table, number, compared, rounds, check)
        return {"title": f"{place.name}, {title}", "lines": found}

    writes = Way("one statement: the floor", floor, changes=False)
    opens = ways.each_value(open_token)
    reads = [Way("one query: the floor", reading, changes=False) for _ in range(3)]
    rotated = ways.in_batches(lambda stored: seal_new(open_old(stored)))
    old, new, tokens = (encrypted(rows, c) for c in (columns.OLD_CIPHER, columns.CIPHER, columns.TOKENS))
    yield measured(f"rotating {rows:,} API keys", "accounts", old, rows, writes, rotated, "rotate")
    of_keys = ways.each_value(open_new)
    yield measured(f"verifying {rows:,} API keys", "accounts", new, rows, reads[0], of_keys, "verify")
    yield measured(f"verifying {rows:,} tokens", "tokens", tokens, rows, reads[1], opens, "verify")
    yield measured(f"verifying {salts:,} salts", "tokens", salted(salts), salts, reads[2], opens, "verify")


def forgetting(run: ways.Run) -> ways.Run:
    """Returns a run that begins without derived keys, as a new process does."""

    def forgetful(target: Target) -> None:
        cipher_of.cache_clear()
        run(target)

    return forgetful


def check(target: Target) -> None:
    """Checks that the new key opens each value."""
    ways.each_value(open_new)(target)


def main() -> None:
    """Measures and prints."""
    options = ways.options("Times the rotation of a key, and verification.", salts=(300, "tokens with a salt each"))
    with tempfile.TemporaryDirectory() as folder, measure.DurableServer() as server:
        places: list[tables.Place] = [tables.InFiles(Path(folder), measure.sqlite()), tables.OnServer(server)]
        groups = [
            group
            for place in places
            if options.only in (None, place.dialect)
            for group in of_place(place, options.rows, options.salts, options.rounds, options.before)
        ]
    where = measure.where([place.name for place in places], rounds=options.rounds, cores=os.cpu_count())
    measured = {"where": where, "groups": groups}
    measure.finish(measured, text, as_json=options.json)


def text(measured: dict[str, Any]) -> str:
    """Returns the tables."""
    made = [measure.heading(measured)]
    for group in measured["groups"]:
        made += ["", *ways.lines(group["title"], group["lines"])]
    return "\n".join(made)


if __name__ == "__main__":
    main()
