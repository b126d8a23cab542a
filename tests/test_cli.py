"""The command `schema`, as a process of its own."""

import base64
import json
import tomllib

import pytest

from app.ciphers import PassphraseKey, RawKey
from tests.conftest import ROOT
from tests.helpers import python

HEX = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1eff"
AS_BASE64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHv8="


def keygen(*options: str, answer: bytes = b"") -> str:
    """What `schema secrets keygen` prints."""
    done = python("-m", "app.cli", "secrets", "keygen", *options, answer=answer)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_fresh_keys_are_lines_for_the_environment_or_json() -> None:
    lines, values = keygen(), json.loads(keygen("--json"))
    pairs = dict(line.split("=", 1) for line in lines.splitlines())
    assert [*pairs] == [*values] == ["ENCRYPTION_KEY", "GITHUB_TOKEN_ENCRYPTION_KEY"]
    assert len({*pairs.values(), *values.values()}) == 4
    for keys in (pairs, values):
        assert RawKey.from_base64(keys["ENCRYPTION_KEY"]).weakness is None
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
def test_what_is_no_hexadecimal_key_is_refused_and_not_repeated(text: bytes) -> None:
    done = python("-m", "app.cli", "secrets", "keygen", "--from-hex", answer=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "That isn't a key of 64 hexadecimal digits.\n"


def test_a_key_is_never_an_argument() -> None:
    done = python("-m", "app.cli", "secrets", "keygen", "--from-hex", HEX)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "unexpected extra argument" in done.stderr


def test_help_is_there_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    done = python("-m", "app.cli", "secrets", "keygen", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.lstrip().startswith("Usage: ")


def test_the_installed_command_is_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["schema"].partition(":")
    code = f"import sys, {module}; sys.argv = ['schema', 'secrets', 'keygen', '--json']; {module}.{function}()"
    done = python("-c", code)
    assert (done.returncode, len(json.loads(done.stdout))) == (0, 2)
