"""Archives of partitions: the rows as CSV, compressed, with a manifest beside them, read back before it counts.

gzip is in Python and on every machine that loads the file again; zstd would need a library here, and a program there.
CSV with a header can be read by other programs as well. The file gets its name once it is whole, on the disk, and was
read back; its manifest has its name before.
"""

import datetime as dt
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from app import server_session
from app.migrations.code_version import code_version
from app.migrations.errors import MigrationError
from app.migrations.partitions.catalog import Partition
from app.sql_text import literal, quoted

_GZIP = 31  # zlib's window for a gzip header
_LEVEL = 6
_PIECE = 1 << 20
_UNSAFE = re.compile(r"[^\w.-]")
_COLUMNS = """
SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_SERVER = "SELECT current_database()::text, current_setting('server_version'), to_regclass(:table)::oid::bigint"


@dataclass(frozen=True)
class Archive:
    """A file that has the rows of a partition, and was read back."""

    file: Path
    rows: int
    bytes: int
    sha256: str


def require_writable(folder: Path) -> None:
    """Raises `MigrationError` if no file can be made in a folder."""
    probe = folder / f".schema-{os.getpid()}"
    with _errors_in_one_line(folder):
        probe.write_bytes(b"")
        probe.unlink()


def write(connection: sa.Connection, folder: Path, table: str, own: Partition, root: Path | None) -> Archive:
    """Writes the rows of a partition to a folder, which has nothing of it after a failure.

    Args:
        connection: in a transaction that keeps writers from the partition.
        folder: gets the file and its manifest.
        table: the partition's parent.
        own: the partition.
        root: the project's folder, whose commit the manifest names.

    Raises:
        MigrationError: the folder can't be written to, is full, or gives back something else than was written.
    """
    database, version, oid = connection.execute(sa.text(_SERVER), {"table": own.address}).one()
    columns = connection.execute(sa.text(_COLUMNS), {"table": own.address}).all()
    identity = {"database": database, "table": table, "partition": own.name, "oid": oid}
    with _errors_in_one_line(folder):
        part = folder / f".{_UNSAFE.sub('_', own.name)}.{oid}.part"
        try:
            made = _copy(connection, part, own, [str(name) for name, _ in columns])
            file, manifest = _free_names(folder, own.name, identity | {"content_sha256": made.content_sha256})
            values = _manifest(own, identity, columns, made, file.name) | {
                "server_version": version,
                "code_version": code_version(root) if root is not None else None,
                "archived_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            }
            _replace(manifest, json.dumps(values, indent=2).encode() + b"\n")
            part.replace(file)
            _sync(folder)
        finally:
            part.unlink(missing_ok=True)
    return Archive(file, made.rows, made.bytes, made.sha256)


@dataclass
class _Made:
    """The numbers of a written file: its rows, bytes and checksum, and bytes and checksum of the CSV in it."""

    rows: int = 0
    bytes: int = 0
    sha256: str = ""
    content_bytes: int = 0
    content_sha256: str = ""


def _copy(connection: sa.Connection, part: Path, own: Partition, columns: list[str]) -> _Made:
    listed = ", ".join(map(quoted, columns))
    statement = f"COPY {own.address} ({listed}) TO STDOUT WITH (FORMAT csv, HEADER, ENCODING 'UTF8')"
    content, packed, made = hashlib.sha256(), hashlib.sha256(), _Made()
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    driver: Any = connection.connection.driver_connection
    part.unlink(missing_ok=True)  # of a run that was killed; a run on a copy of the database notices the loss
    with part.open("xb") as file:

        def write(piece: bytes) -> None:
            file.write(piece)
            packed.update(piece)
            made.bytes += len(piece)

        try:
            with driver.cursor() as cursor:
                with cursor.copy(statement) as copy:
                    for block in copy:
                        content.update(block)
                        made.content_bytes += len(block)
                        write(compressor.compress(block))
                made.rows = cursor.rowcount
        except connection.dialect.loaded_dbapi.Error as error:
            raise server_session.as_of_sqlalchemy(connection, statement, error) from None
        write(compressor.flush())
        file.flush()
        os.fsync(file.fileno())
    made.sha256, made.content_sha256 = packed.hexdigest(), content.hexdigest()
    _require_same(part, made)
    return made


def _require_same(part: Path, made: _Made) -> None:
    """Reads a file back, from the disk where the system allows it."""
    content, packed, length = hashlib.sha256(), hashlib.sha256(), 0
    unpacker = zlib.decompressobj(_GZIP)
    with part.open("rb") as file:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with suppress(zlib.error):
            for piece in _pieces(file):
                packed.update(piece)
                while piece:
                    plain = unpacker.decompress(piece, _PIECE)
                    content.update(plain)
                    length += len(plain)
                    piece = unpacker.unconsumed_tail  # noqa: PLW2901 - what is left of it
    found = (packed.hexdigest(), content.hexdigest(), length, unpacker.eof)
    if found != (made.sha256, made.content_sha256, made.content_bytes, True):
        raise MigrationError(f"{part.parent}: the archive that was read back isn't the one that was written.")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _manifest(own: Partition, identity: dict[str, Any], columns: Any, made: _Made, name: str) -> dict[str, Any]:
    low, high = own.span
    listed = ", ".join(quoted(column) for column, _ in columns)
    return identity | {
        "low": low and low.isoformat(" "),
        "high": high and high.isoformat(" "),
        "file": name,
        "format": "CSV with a header, UTF-8, gzip",
        "load": f"\\copy {quoted(identity['table'])} ({listed}) FROM PROGRAM {literal(f'gunzip -c {name}')} "
        "WITH (FORMAT csv, HEADER)",
        "columns": [{"name": column, "type": kind} for column, kind in columns],
        "rows": made.rows,
        "bytes": made.bytes,
        "sha256": made.sha256,
        "content_bytes": made.content_bytes,
        "content_sha256": made.content_sha256,
    }


def _free_names(folder: Path, name: str, identity: dict[str, Any]) -> tuple[Path, Path]:
    """Returns file and manifest of a partition: of an earlier try with the same rows, or such as nothing else has.

    A copy of the database has the same names and numbers, and may have other rows.
    """
    stem, number = _UNSAFE.sub("_", name), 1
    while True:
        suffix = f"-{number}" if number > 1 else ""
        file, manifest = folder / f"{stem}{suffix}.csv.gz", folder / f"{stem}{suffix}.json"
        if not os.path.lexists(manifest) and not os.path.lexists(file):
            return file, manifest
        if _is_of(manifest, identity):
            return file, manifest
        number += 1


def _is_of(manifest: Path, identity: dict[str, Any]) -> bool:
    with suppress(OSError, ValueError):
        values = json.loads(manifest.read_bytes())
        return isinstance(values, dict) and identity.items() <= values.items()
    return False


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    """Has the names in a folder on the disk, too."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def _errors_in_one_line(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MigrationError(
            f"The archive in {folder} can't be written ({error.strerror}). No partition was dropped without it."
        ) from None
