"""Settings: where they are read from, which of two wins, and what is refused."""

import os
import string
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from app import settings
from app.errors import SettingsError
from app.project import PROJECT
from app.settings import KeyStrings, Settings

SECRET = "not-for-anybody's-eyes"
KEYRINGS = [
    "ENCRYPTION_KEY",
    "GITHUB_TOKEN_ENCRYPTION_KEY",
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, whose `.env` is the one that is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEWAY_SCHEMA_ENV_FILE")
    settings.load.cache_clear()
    yield tmp_path
    settings.load.cache_clear()


@pytest.fixture
def env_file(folder: Path) -> Callable[[str], Settings]:
    """Writes `.env` and reads the settings."""

    def write(text: str) -> Settings:
        (folder / ".env").write_text(text, encoding="utf-8")
        return settings.load()

    return write


def keys(values: dict[str, str], name: str) -> KeyStrings:
    return Settings(values).keys(name, commas=name == "ENCRYPTION_KEY")


def test_nothing_needs_to_be_set() -> None:
    loaded = settings.load()
    assert loaded.database_url == "sqlite:///gateway.db"
    assert loaded.encryption_plaintext == "allow"
    assert loaded.keys("ENCRYPTION_KEY", commas=True) == KeyStrings("ENCRYPTION_KEY", None, ())
    assert loaded.keys("GITHUB_TOKEN_ENCRYPTION_KEY") == KeyStrings("GITHUB_TOKEN_ENCRYPTION_KEY", None, ())


@pytest.mark.parametrize(
    "line",
    [
        "{name}={value}",
        "export {name}={value}",
        "{name} = {value}",
        "{name}='{value}'",
        '{name}="{value}"',
        "{name}={value}\r",
    ],
)
@pytest.mark.parametrize("value", ["pa$$word-$HOME-${HOME}-${HOME:-x}", "$", "a%b%%(c)s", "x=y=z", "p#q"])
def test_a_value_in_the_file_is_taken_as_it_stands(env_file: Callable[[str], Settings], line: str, value: str) -> None:
    loaded = env_file(line.format(name="GITHUB_TOKEN_ENCRYPTION_KEY", value=value) + "\n")
    assert loaded.keys("GITHUB_TOKEN_ENCRYPTION_KEY").writing == value


def test_the_environment_wins_over_the_file(
    env_file: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///environment.db")
    loaded = env_file("DATABASE_URL=sqlite:///file.db\nENCRYPTION_PLAINTEXT=refuse\n")
    assert (loaded.database_url, loaded.encryption_plaintext) == ("sqlite:///environment.db", "refuse")


def test_an_empty_variable_takes_back_what_the_file_says(
    env_file: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert env_file("DATABASE_URL=sqlite:///file.db\n").database_url == "sqlite:///gateway.db"


def test_a_name_without_a_value_is_not_set(env_file: Callable[[str], Settings]) -> None:
    assert env_file("DATABASE_URL\n").database_url == "sqlite:///gateway.db"


def test_another_file_can_be_named(
    env_file: Callable[[str], Settings], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "production.env").write_text("DATABASE_URL=sqlite:///production.db\n")
    monkeypatch.setenv("GATEWAY_SCHEMA_ENV_FILE", "production.env")
    assert env_file("DATABASE_URL=sqlite:///file.db\n").database_url == "sqlite:///production.db"


def test_another_file_that_is_not_there_is_an_error(
    env_file: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_SCHEMA_ENV_FILE", "prodcution.env")
    with pytest.raises(SettingsError, match=r"^GATEWAY_SCHEMA_ENV_FILE=prodcution\.env: there is no such file in /"):
        env_file("DATABASE_URL=sqlite:///file.db\n")


def test_the_file_may_be_a_pipe(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "pipe")
    monkeypatch.setenv("GATEWAY_SCHEMA_ENV_FILE", "pipe")
    writing = threading.Thread(target=(folder / "pipe").write_text, args=["DATABASE_URL=sqlite:///piped.db\n"])
    writing.start()
    assert settings.load().database_url == "sqlite:///piped.db"
    writing.join()


def test_an_environment_that_is_called_like_the_file_is_none(folder: Path) -> None:
    (folder / ".env").mkdir()
    assert settings.load().database_url == "sqlite:///gateway.db"


def test_an_empty_name_means_no_file(env_file: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SCHEMA_ENV_FILE", "")
    assert env_file("DATABASE_URL=sqlite:///file.db\n").database_url == "sqlite:///gateway.db"


def test_a_file_that_is_not_text_is_one_clear_line(folder: Path) -> None:
    (folder / ".env").write_bytes(b"ENCRYPTION_KEY=\xff" + SECRET.encode())
    with pytest.raises(SettingsError) as error:
        settings.load()
    assert str(error.value) == ".env: cannot be read (UnicodeDecodeError)."
    assert error.value.__suppress_context__


@pytest.mark.parametrize(
    "text",
    [
        'DATABASE_URL="postgresql://u@db.invalid/x\n',
        "DATABASE_URL='postgresql://u@db.invalid/x\nOTHER=1\n",
        "DATABASE_URL: postgresql://u@db.invalid/x\n",
        "DATABASE_URL='postgresql://u@db.invalid/x';\n",
        'DATABASE_URL="postgresql://u@db.invalid/"x\n',
        "DATABASE_URL postgresql://u@db.invalid/x\n",
        "=postgresql://u@db.invalid/x\n",
    ],
)
@pytest.mark.parametrize("before", ["", "\n\n", "ENCRYPTION_PLAINTEXT=allow\r\n\r\n# a comment\r\n"])
def test_a_line_that_cannot_be_read_is_an_error(env_file: Callable[[str], Settings], text: str, before: str) -> None:
    with pytest.raises(SettingsError) as error:
        env_file(before + text)
    assert str(error.value).startswith(f".env line {before.count(chr(10)) + 1}: can't be read. ")
    assert "db.invalid" not in str(error.value)


@pytest.mark.parametrize("name", ["DATABASE_URL", *KEYRINGS, *(f"{name}_PREVIOUS" for name in KEYRINGS)])
@pytest.mark.parametrize("value", ["one #two", "one\t# two", "one ", "one\t", "one  #"])
def test_a_key_or_url_is_never_cut_off(env_file: Callable[[str], Settings], name: str, value: str) -> None:
    def read(loaded: Settings) -> object:
        keyring = name.removesuffix("_PREVIOUS")
        return loaded.database_url if name == "DATABASE_URL" else loaded.keys(keyring)

    with pytest.raises(SettingsError) as error:
        read(env_file(f"\n{name}={value}\n"))
    assert str(error.value).startswith(f".env line 2: {name} isn't quoted")
    settings.load.cache_clear()
    assert read(env_file(f"{name}={value}\n{name}='last'\n"))
    settings.load.cache_clear()
    quoted = env_file(f"{name}='{value}' # a comment\n")
    assert quoted.values[name] == value
    assert read(quoted)


def test_a_setting_of_the_environment_needs_no_quotes(
    env_file: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN_ENCRYPTION_KEY", "one #two ")
    loaded = env_file("GITHUB_TOKEN_ENCRYPTION_KEY=another #one\nSCHEMA_LOCK_TIMEOUT=5 # seconds\n")
    assert loaded.keys("GITHUB_TOKEN_ENCRYPTION_KEY").writing == "one #two "
    assert loaded.number("SCHEMA_LOCK_TIMEOUT", 1) == 5


def test_a_byte_order_mark_hides_no_setting(folder: Path) -> None:
    (folder / ".env").write_text("DATABASE_URL=sqlite:///file.db\n", encoding="utf-8-sig")
    assert settings.load().database_url == "sqlite:///file.db"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_file_in_another_encoding_is_an_error(folder: Path, encoding: str) -> None:
    (folder / ".env").write_text("DATABASE_URL=sqlite:///file.db\n", encoding=encoding)
    with pytest.raises(SettingsError, match=r"^\.env: cannot be read"):
        settings.load()


@pytest.mark.parametrize("around", ["{}\n", " {}", "{}\r\n", "\t{} \n\n"])
def test_blanks_around_a_url_are_no_part_of_it(around: str) -> None:
    assert Settings({"DATABASE_URL": around.format("sqlite:///file.db")}).database_url == "sqlite:///file.db"


def test_settings_are_read_once(env_file: Callable[[str], Settings], folder: Path) -> None:
    first = env_file("DATABASE_URL=sqlite:///first.db\n")
    (folder / ".env").write_text("DATABASE_URL=sqlite:///second.db\n")
    assert settings.load() is first


@pytest.mark.parametrize("name", KEYRINGS)
def test_a_key_can_be_kept_in_a_file(folder: Path, name: str) -> None:
    (folder / "key").write_text(f"{SECRET}\n")
    (folder / "previous").write_text("first\nsecond\n")
    values = {f"{name}_FILE": "key", f"{name}_PREVIOUS_FILE": "previous"}
    assert keys(values, name) == KeyStrings(name, SECRET, ("first", "second"))


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"], ids=["none", "unix", "windows"])
@pytest.mark.parametrize("key", [SECRET, f" {SECRET}\t", "a\rb\r\nc\nd"], ids=["plain", "blanks", "line endings"])
def test_the_last_line_ending_of_a_key_file_is_the_editors(folder: Path, key: str, ending: str) -> None:
    (folder / "key").write_bytes((key + ending).encode())
    assert keys({"ENCRYPTION_KEY_FILE": "key"}, "ENCRYPTION_KEY").writing == key


@pytest.mark.parametrize("more", ["\n", "\n\n", "\r\n"], ids=["one", "two", "windows"])
def test_only_one_line_ending_of_a_key_file_is_the_editors(folder: Path, more: str) -> None:
    (folder / "key").write_bytes(f"{SECRET}{more}\n".encode())
    assert keys({"ENCRYPTION_KEY_FILE": "key"}, "ENCRYPTION_KEY").writing == SECRET + more


def test_an_empty_key_file_is_no_key(folder: Path) -> None:
    (folder / "key").write_text("\n")
    assert keys({"ENCRYPTION_KEY_FILE": "key"}, "ENCRYPTION_KEY").writing is None


@pytest.mark.parametrize("name", KEYRINGS)
@pytest.mark.parametrize("suffix", ["", "_PREVIOUS"])
def test_a_key_file_that_cannot_be_read_is_one_clear_line(folder: Path, name: str, suffix: str) -> None:
    variable = f"{name}{suffix}_FILE"
    with pytest.raises(SettingsError) as missing:
        keys({variable: "no-such-key"}, name)
    assert str(missing.value) == f"{variable}=no-such-key: cannot be read (No such file or directory)."
    with pytest.raises(SettingsError) as a_folder:
        keys({variable: "."}, name)
    assert str(a_folder.value) == f"{variable}=.: cannot be read (Is a directory)."
    (folder / "key").write_bytes(b"\xff" + SECRET.encode())
    with pytest.raises(SettingsError) as not_text:
        keys({variable: "key"}, name)
    assert str(not_text.value) == f"{variable}=key: is not UTF-8 text."


@pytest.mark.parametrize("name", KEYRINGS)
@pytest.mark.parametrize("suffix", ["", "_PREVIOUS"])
def test_a_key_that_is_given_twice_is_refused(folder: Path, name: str, suffix: str) -> None:
    (folder / "key").write_text(SECRET)
    with pytest.raises(SettingsError) as error:
        keys({f"{name}{suffix}": SECRET, f"{name}{suffix}_FILE": "key"}, name)
    assert str(error.value) == f"Set {name}{suffix} or {name}{suffix}_FILE, not both."


@pytest.mark.parametrize(
    ("text", "previous"),
    [
        ("one", ("one",)),
        ("one,two", ("one", "two")),
        ("one\ntwo", ("one", "two")),
        ("one\r\ntwo,three\n", ("one", "two", "three")),
        (",one,\n,", ("one",)),
        (" \n,\n", ()),
    ],
)
def test_previous_keys_are_separated_by_commas_or_lines(text: str, previous: tuple[str, ...]) -> None:
    assert keys({"ENCRYPTION_KEY_PREVIOUS": text}, "ENCRYPTION_KEY").previous == previous


@pytest.mark.parametrize(
    ("text", "previous"),
    [
        ("a passphrase, with a comma", ("a passphrase, with a comma",)),
        ("one, two\nthree", ("one, two", "three")),
        ("one\r\ntwo\r\n", ("one", "two")),
        (" one \n\n\ttwo", (" one ", "\ttwo")),
        ("\n \n", ()),
    ],
)
def test_previous_passphrases_are_separated_by_lines_only(text: str, previous: tuple[str, ...]) -> None:
    values = {"GITHUB_TOKEN_ENCRYPTION_KEY_PREVIOUS": text}
    assert keys(values, "GITHUB_TOKEN_ENCRYPTION_KEY").previous == previous


@pytest.mark.exhaustive
@hypothesis.given(passphrases=st.lists(st.text(string.printable.replace("\r", "").replace("\n", ""), min_size=1)))
def test_any_previous_passphrase_of_one_line_comes_back(passphrases: list[str]) -> None:
    text = "\n".join(passphrases)
    expected = tuple(passphrase for passphrase in passphrases if passphrase.strip())
    values = {"GITHUB_TOKEN_ENCRYPTION_KEY_PREVIOUS": text}
    assert keys(values, "GITHUB_TOKEN_ENCRYPTION_KEY").previous == expected


@pytest.mark.parametrize("value", ["Allow", "refused", "no", " refuse", "1"])
def test_plaintext_is_allowed_or_refused_and_nothing_else(value: str) -> None:
    with pytest.raises(SettingsError) as error:
        _ = Settings({"ENCRYPTION_PLAINTEXT": value}).encryption_plaintext
    assert str(error.value) == "ENCRYPTION_PLAINTEXT must be allow or refuse."
    assert Settings({"ENCRYPTION_PLAINTEXT": "refuse"}).encryption_plaintext == "refuse"


@pytest.mark.parametrize("value", ["ten", "-1", "nan", "inf", "1e999", "10 s"])
def test_a_number_of_seconds_is_a_number_that_is_not_negative(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^WAIT must be a number of seconds, 0 or more\.$"):
        Settings({"WAIT": value}).number("WAIT", 5)


@pytest.mark.parametrize(("values", "number"), [({}, 5), ({"WAIT": ""}, 5), ({"WAIT": "0"}, 0), ({"WAIT": "2.5"}, 2.5)])
def test_a_number_has_a_default(values: dict[str, str], number: float) -> None:
    assert Settings(values).number("WAIT", 5) == number


@pytest.mark.parametrize("show", [repr, str, "{!r}".format], ids=["repr", "str", "format"])
def test_no_repr_shows_a_secret(show: Callable[[Any], str]) -> None:
    names = ["ENCRYPTION_KEY", "GITHUB_TOKEN_ENCRYPTION_KEY"]
    values = {name + suffix: SECRET for name in names for suffix in ("", "_PREVIOUS")}
    loaded = Settings(values | {"DATABASE_URL": f"postgresql://user:{SECRET}@host/name"})
    shown = show([loaded, loaded.keys("ENCRYPTION_KEY", commas=True), loaded.keys("GITHUB_TOKEN_ENCRYPTION_KEY")])
    assert SECRET not in shown
    assert shown.count("KeyStrings(name='ENCRYPTION_KEY')") == 1


TABLES = ["request_logs", "odd table", "ab_keep"]


def test_partition_settings_by_table() -> None:
    values = {
        "SCHEMA_PARTITIONS_REQUEST_LOGS_KEEP": "forever",
        "SCHEMA_PARTITIONS_REQUEST_LOGS_EVERY": " month ",
        "SCHEMA_PARTITIONS_ODD_TABLE_AHEAD": "6 months",
        "SCHEMA_PARTITIONS_ODD_TABLE_KEEP": "",
        "SCHEMA_PARTITIONS_AB_KEEP_KEEP": "1 day",
    }
    assert Settings(values).partitions(lambda: TABLES) == {
        "request_logs": {"keep": "forever", "every": "month"},
        "odd table": {"ahead": "6 months"},
        "ab_keep": {"keep": "1 day"},
    }


@pytest.mark.parametrize(
    "name",
    ["S_REQUEST_LOG_KEEP", "S_REQUEST_LOGS_KEPT", "S_REQUEST_LOGS", "S_request_logs_KEEP", "S_", "_REQUEST_LOGS_KEEP"],
)
def test_a_partition_setting_that_names_nothing_is_refused(name: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings({f"SCHEMA_PARTITION{name}": ""}).partitions(lambda: ["request_logs", "users"])
    assert str(error.value) == (
        f"SCHEMA_PARTITION{name} names no table with partitions: write one of SCHEMA_PARTITIONS_REQUEST_LOGS, "
        "SCHEMA_PARTITIONS_USERS, and _EVERY, _KEEP or _AHEAD."
    )


@pytest.mark.parametrize(
    ("part", "text"), [("KEEP", "90"), ("EVERY", "hour"), ("AHEAD", "forever"), ("KEEP", "0 days")]
)
def test_a_partition_setting_that_cannot_be_used_is_named(part: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^SCHEMA_PARTITIONS_REQUEST_LOGS_{part}: '{text}' is no [^\n]*$"):
        Settings({f"SCHEMA_PARTITIONS_REQUEST_LOGS_{part}": text}).partitions(lambda: ["request_logs"])


def test_the_declarations_have_the_values_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = PROJECT.declarations()
    assert {name: str(own.schedule.keep) for name, own in declared.items()} == {
        "request_logs": "90 days",
        "request_log_details": "7 days",
        "service_audit_logs": "None",  # nobody has consented to losing these
    }
    monkeypatch.setenv("SCHEMA_PARTITIONS_REQUEST_LOGS_KEEP", "forever")
    monkeypatch.setenv("SCHEMA_PARTITIONS_SERVICE_AUDIT_LOGS_KEEP", "1 year")
    declared = PROJECT.declarations()
    assert declared["request_logs"].schedule.keep is None
    assert str(declared["service_audit_logs"].schedule.keep) == "1 year"
    monkeypatch.setenv("SCHEMA_PARTITIONS_USERS_KEEP", "1 year")
    with pytest.raises(SettingsError, match=r"^SCHEMA_PARTITIONS_USERS_KEEP names no table with partitions"):
        PROJECT.declarations()
