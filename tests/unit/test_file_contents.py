"""Files that a process reads once, as long as they don't change."""

import os
from pathlib import Path

import pytest

from app.migrations import file_contents


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read; all count as changed long ago."""
    made: list[Path] = []
    read_bytes = Path.read_bytes

    def counted(path: Path) -> bytes:
        made.append(path)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    monkeypatch.setattr(file_contents, "_SETTLED_NS", -1)
    return made


def test_a_file_that_stays_is_read_once(tmp_path: Path, reads: list[Path]) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b"one")
    assert [file_contents.read(str(file)) for _ in range(3)] == [b"one"] * 3
    assert reads == [file]


def test_another_file_of_that_name_is_read(tmp_path: Path, reads: list[Path]) -> None:
    file, other = tmp_path / "a.py", tmp_path / "b.py"
    file.write_bytes(b"one")
    assert file_contents.read(str(file)) == b"one"
    other.write_bytes(b"two")
    os.utime(other, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    other.replace(file)
    assert file_contents.read(str(file)) == b"two"
    assert len(reads) == 2


def test_a_file_that_was_just_changed_is_read_each_time(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    for text in (b"one", b"two", b"six"):
        file.write_bytes(text)
        os.utime(file, (0, 0))
        assert file_contents.read(str(file)) == text


def test_a_file_that_is_gone(tmp_path: Path, reads: list[Path]) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b"one")
    assert file_contents.read(str(file)) == b"one"
    file.unlink()
    with pytest.raises(FileNotFoundError):
        file_contents.read(str(file))
    assert len(reads) == 1
