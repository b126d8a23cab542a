"""The command `schema`: what it says of itself, and `schema secrets keygen`."""

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from app.cli import texts
from app.cli.main import app
from app.encryption import PassphraseKey, RawKey
from app.migrations.commands import WrittenRevision
from app.project import PROJECT
from tests.support.approved_texts import APPROVED, Approve

HEX = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff"
AS_BASE64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8="


def names(group: typer.Typer = app, *above: str) -> Iterator[str]:
    """Every command and group, as it is typed."""
    yield " ".join(["schema", *above])
    for info in group.registered_commands:
        assert info.callback is not None
        yield " ".join(["schema", *above, info.name or info.callback.__name__])
    for below in group.registered_groups:
        assert below.typer_instance is not None
        yield from names(below.typer_instance, *above, str(below.name))


def schema(*args: str, answer: bytes = b"") -> Result:
    """Runs the command in this process."""
    logger = logging.getLogger("app.migrations")
    handlers = list(logger.handlers)
    try:
        return CliRunner(env={"COLUMNS": "80"}).invoke(app, args, answer, prog_name="schema", obj=PROJECT)
    finally:
        logger.handlers = handlers  # what was added writes to a stream that is closed by now


@pytest.mark.parametrize("name", list(names()))
def test_help_reads_like_a_man_page(name: str, approve: Approve) -> None:
    done = schema(*name.split()[1:], "--help")
    assert (done.exit_code, done.stderr) == (0, "")
    _, _, example = done.stdout.partition("\n  Example:\n    ")
    assert f"{name} " in example.replace("\n", " ")
    approve(f"help/{name.removeprefix('schema ')}.txt", done.stdout)


def test_no_other_help_is_approved() -> None:
    assert {f"{name.removeprefix('schema ')}.txt" for name in names()} == {
        file.name for file in (APPROVED / "help").iterdir()
    }


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("--write-revision --revert", "say one of"),
        ("--message x", "--message goes with --write-revision"),
        ("--yes", "--yes goes with --revert"),
        ("--write-revision --accept-data-loss", "--accept-data-loss goes with --revert"),
        ("--reason x", "--reason goes with --accept"),
    ],
)
def test_an_option_of_another_way_out_is_not_ignored(args: str, said: str) -> None:
    done = schema("check", *args.split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())


def keygen(*options: str, answer: bytes = b"") -> str:
    """What `schema secrets keygen` prints."""
    done = schema("secrets", "keygen", *options, answer=answer)
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def test_fresh_keys_are_lines_for_the_environment_or_json() -> None:
    lines, values = keygen(), json.loads(keygen("--json"))
    pairs = dict(line.split("=", 1) for line in lines.splitlines())
    assert [*pairs] == [*values] == ["ENCRYPTION_KEY", "GITHUB_TOKEN_ENCRYPTION_KEY", "API_KEY_HASH_KEY"]
    assert len({*pairs.values(), *values.values()}) == 6
    for keys in (pairs, values):
        assert RawKey.from_base64(keys["ENCRYPTION_KEY"]).weakness is None
        assert RawKey.from_base64(keys["API_KEY_HASH_KEY"]).weakness is None
        assert PassphraseKey(keys["GITHUB_TOKEN_ENCRYPTION_KEY"]).weakness is None


def test_a_key_in_hexadecimal_is_converted() -> None:
    assert base64.urlsafe_b64decode(AS_BASE64).hex() == HEX
    assert keygen("--from-hex", answer=HEX.encode()) == f"ENCRYPTION_KEY={AS_BASE64}\n"
    in_capitals = f"  {HEX.upper()}\r\n".encode()
    assert json.loads(keygen("--from-hex", "--json", answer=in_capitals)) == {"ENCRYPTION_KEY": AS_BASE64}


@pytest.mark.parametrize(
    "text",
    [b"", HEX.encode() + b"00", b"\xff\xfe"],
    ids=["nothing", "33 bytes", "no text"],
)
def test_a_malformed_hexadecimal_key_is_refused_and_not_repeated(text: bytes) -> None:
    done = schema("secrets", "keygen", "--from-hex", answer=text)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "That isn't a key of 64 hexadecimal digits.\n"


def test_a_key_is_never_an_argument() -> None:
    done = schema("secrets", "keygen", "--from-hex", HEX)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "unexpected extra argument" in done.stderr


@pytest.mark.parametrize(("kind", "other"), [("sqlite", "PostgreSQL"), ("postgresql", "SQLite")])
@pytest.mark.parametrize("command", ["schema snapshot", "python3 scripts/dev.py schema snapshot"])
def test_an_adoption_says_how_the_other_snapshot_is_made(kind: str, other: str, command: str) -> None:
    made = Path("alembic/snapshots", kind, "1.json")
    text = texts.written_revision(WrittenRevision("1", Path("alembic/versions/1.py"), made, command, [])).text
    assert text.splitlines()[-1] == f"Wrote {made}. Make the snapshot for {other}, and commit both: {command}"
