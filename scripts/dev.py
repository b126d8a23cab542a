"""The README's commands, in a virtual environment made from the lock files; needs Python 3.11 and pip."""

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - the developer's Python may be older
    sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ".")

USAGE = """usage: python3 scripts/dev.py COMMAND [ARGUMENT...]

  upgrade   bring the database at DATABASE_URL to head: `alembic upgrade head ARGUMENT...`
  schema    run our own command: `schema ARGUMENT...`
  test      run the tests: `pytest ARGUMENT...`
  check     run ruff and mypy, and compare the models with the migrated schema on SQLite and PostgreSQL
  coverage  run the tests and print how much of app/ they ran: `coverage run -m pytest ARGUMENT...`
  lock      write the lock files anew from pyproject.toml: `uv pip compile ... ARGUMENT...`"""
ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / (os.environ.get("GATEWAY_SCHEMA_VENV") or ".venv")
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "installed-locks"
# Each contains those before it, at the same versions.
LOCKS = ["requirements.txt", "requirements-author.txt", "requirements-test.txt", "requirements-dev.txt"]
OF_AUTHORS = ("dev", "snapshot")  # commands of `schema` that write revisions and snapshots


def main() -> int:
    """Runs the subcommand named on the command line and returns its exit code."""
    name, *args = sys.argv[1:] or ["help"]
    commands = {function.__name__: function for function in (upgrade, schema, test, check, coverage, lock)}
    if name not in commands:
        sys.exit(USAGE)
    signal.signal(signal.SIGINT, lambda *_: None)  # the command gets Ctrl-C too, and needs time to clean up
    return commands[name](args)


def upgrade(args: list[str]) -> int:
    """Runs `alembic upgrade head`."""
    install("requirements.txt")
    return run("alembic", "upgrade", "head", *args)


def schema(args: list[str]) -> int:
    """Runs the command `schema`."""
    install("requirements-author.txt" if args and args[0] in OF_AUTHORS else "requirements.txt")
    return run("app.cli", *args)


def test(args: list[str]) -> int:
    """Runs pytest."""
    install("requirements-test.txt")
    return run("pytest", *args)


def check(args: list[str]) -> int:
    """Runs the linters, and `alembic check` on an SQLite and a PostgreSQL database at head."""
    if args:
        sys.exit(f"dev.py check takes no arguments, and was given {args[0]}.")
    install("requirements-dev.txt")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"GATEWAY_SCHEMA_ENV_FILE": "", "DATABASE_URL": f"sqlite:///{folder}/check.db"}
        drift = ["sh", "-c", '"$0" -m alembic upgrade head && "$0" -m alembic check', str(PYTHON)]
        codes = [
            run("ruff", "check"),
            run("ruff", "format", "--check"),
            run("mypy"),
            subprocess.call(drift, cwd=ROOT, env=environment()),
            run("tests.postgres", *drift),
        ]
    return int(any(codes))


def coverage(args: list[str]) -> int:
    """Runs the tests under coverage, the processes that they start included, and prints the report."""
    install("requirements-dev.txt")
    run("coverage", "erase")
    code = run("coverage", "run", "-m", "pytest", *args)
    return run("coverage", "combine", "--quiet") or run("coverage", "report") or code


def lock(args: list[str]) -> int:
    """Compiles the lock files, the largest first: the smaller ones take its versions."""
    install("requirements-dev.txt")
    uv = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version=3.11", "--generate-hashes"]
    uv += ["--no-annotate", "--custom-compile-command=python3 scripts/dev.py lock", "--quiet"]
    constraint = ["--constraint=requirements-dev.txt"]
    return (
        run(*uv, "--group=dev", "--output-file=requirements-dev.txt", *args)
        or run(*uv, "--group=test", "--output-file=requirements-test.txt", *constraint)
        or run(*uv, "--extra=author", "--output-file=requirements-author.txt", *constraint)
        or run(*uv, "--output-file=requirements.txt", *constraint)
    )


def run(module: str, *args: str) -> int:
    """Runs a module of the virtual environment in the project's root and returns its exit code."""
    return subprocess.call([PYTHON, "-m", module, *args], cwd=ROOT, env=environment())


def environment() -> dict[str, str]:
    """Returns the environment of a command."""
    # Images set PYTHONDONTWRITEBYTECODE, and then each of the thousands of test processes compiles SQLAlchemy anew.
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def install(name: str) -> None:
    """Installs a lock file into the virtual environment, unless the same one is installed already."""
    digests = [hashlib.sha256((ROOT / lock).read_bytes()).hexdigest() for lock in LOCKS[: LOCKS.index(name) + 1]]
    if PYTHON.exists() and STAMP.exists() and digests[-1] in STAMP.read_text():
        return
    if not importlib.util.find_spec("pip"):
        sys.exit(f"pip is missing from {sys.executable}; on Debian: apt-get install python3-pip")
    if not PYTHON.exists():
        # Debian's Python has no ensurepip: the pip that runs this script installs into the environment.
        venv.create(VENV, with_pip=False, symlinks=os.name != "nt", clear=(VENV / "pyvenv.cfg").exists())
    STAMP.unlink(missing_ok=True)
    print(f"Installing {name} into {VENV}", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", f"--python={PYTHON}", "install", "-qq", "--disable-pip-version-check"]
    code = subprocess.call([*pip, "--no-compile", "--require-hashes", f"--requirement={ROOT / name}"])
    if code:
        sys.exit(code)
    STAMP.write_text("\n".join(digests))


if __name__ == "__main__":
    sys.exit(main())
