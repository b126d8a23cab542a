"""Fresh processes: the modules that they load, and the words that they know."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.command_processes import python
from tests.support.environment import ROOT
from tests.support.stored_texts import PASSPHRASE

FORKING = f"""
import os, sys
from app.encryption import *
encrypt = FieldCipher(TOKEN, Keyring("K", PassphraseKey({PASSPHRASE!r}))).batch().encrypt
salts = [encrypt(["x"])[0].split(":")[0] for _ in "ab"]
if child := os.fork():
    os.waitpid(child, 0)
print(*salts, encrypt(["x"])[0].split(":")[0], flush=True)
"""


@pytest.mark.exhaustive
def test_a_forked_process_draws_a_salt_of_its_own() -> None:
    command = [sys.executable, "-c", FORKING]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (child1, child2, childs), (parent1, parent2, parents) = map(str.split, printed.splitlines())
    assert child1 == child2 == parent1 == parent2 == parents != childs


@pytest.mark.exhaustive
def test_importing_the_encryption_loads_no_cryptography_and_reads_no_environment() -> None:
    code = """
import os, sys
import sqlalchemy.orm
class Untouchable(dict):
    __getitem__ = get = __contains__ = None
os.environ = Untouchable()
import app.encryption
sys.exit(any(name in sys.modules for name in ("cryptography", "app.settings")))
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.exhaustive
def test_help_is_there_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "nonsense")
    done = python("-m", "app.cli", "secrets", "keygen", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.lstrip().startswith("Usage: ")


@pytest.mark.exhaustive
def test_the_installed_command_is_the_same() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["schema"].partition(":")
    code = f"import sys, {module}; sys.argv = ['schema', 'secrets', 'keygen', '--json']; {module}.{function}()"
    done = python("-c", code)
    assert (done.returncode, len(json.loads(done.stdout))) == (0, 3)


@pytest.mark.exhaustive
def test_the_schema_page_is_fresh_and_needs_no_database() -> None:
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    done = python("-m", "app.cli", "docs", "--check", "--json", env=nowhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"code": "ok", "file": "docs/schema.md"}


@pytest.mark.exhaustive
def test_models_load_no_alembic() -> None:
    code = "import sys, app.models; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.exhaustive
def test_the_environment_gives_op_its_words() -> None:
    code = (
        "import sys, app.migrations.run.environment; from alembic import op; "
        "sys.exit(not all(hasattr(op, word) for word in ('create_trigger', 'dialect_text', 'validate_constraint')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.exhaustive
def test_loading_a_revision_is_cheap() -> None:
    heavy = ["cryptography", "psycopg", "postgast", "rich", "dotenv", "multiprocessing", "concurrent.futures.thread"]
    heavy += ["app.encryption", "app.secrets", "app.settings", "app.models", "app.backfill.workers"]
    code = f"import sys, app.revision_api; sys.exit(', '.join(set({heavy}) & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.exhaustive
def test_asking_for_missing_revisions_loads_no_alembic() -> None:
    code = "import sys, app.project; sys.exit(bool({'alembic', 'app.models'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.exhaustive
def test_importing_the_attribute_reads_no_environment_and_no_cryptography() -> None:
    code = """
import os, sys
os.environ.update(ENCRYPTION_KEY="garbage", ENCRYPTION_PLAINTEXT="garbage", GITHUB_TOKEN_ENCRYPTION_KEY_FILE="/missing")
from app import settings
from app.models import keys
assert not settings.load.cache_info().misses
sys.exit(any(name in sys.modules for name in ("cryptography", "dotenv", "alembic")))
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.exhaustive
def test_importing_the_models_opens_nothing_and_loads_little(tmp_path: Path) -> None:
    code = """
import os, sys
seen = []
def hook(event, args):
    if event == "open" and isinstance(args[0], str) and os.path.dirname(os.path.abspath(args[0])) == os.getcwd():
        seen.append(args[0])
    if event in {"sqlite3.connect", "socket.connect", "subprocess.Popen"}:
        seen.append(event)
sys.addaudithook(hook)
import app.models
from app import settings
from app.models import keys
print(seen, settings.load.cache_info().currsize)
print(*sorted({name.partition(".")[0] for name in sys.modules} & {
    "aiosqlite", "alembic", "bcrypt", "cryptography", "dotenv", "psycopg", "rich", "sqlite3", "typer"}))
"""
    for name in (".env", "key", "gateway.db"):
        (tmp_path / name).write_text("ENCRYPTION_KEY=this is no key\n")
    env = {"PYTHONPATH": str(ROOT), "ENCRYPTION_KEY_FILE": "key", "DATABASE_URL": "nonsense"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert (done.stdout.decode(), done.stderr.decode()) == ("[] 0\n\n", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "gateway.db", "key"]


@pytest.mark.exhaustive
def test_a_process_of_its_own_knows_the_words_of_every_revision(url: str) -> None:
    done = python("-m", "alembic", "upgrade", "head", env={"DATABASE_URL": url})  # nothing was imported before
    assert done.returncode == 0, done.stderr


IMPORTS = """
import sys
from alembic.config import main
main(argv=["upgrade", "head"])
main(argv=["current"])
assert "app.models" not in sys.modules
main(argv=["check"])
assert "app.models" in sys.modules
"""


@pytest.mark.exhaustive
def test_models_are_imported_only_to_be_compared(sqlite_url: str) -> None:
    done = python("-c", IMPORTS, env={"DATABASE_URL": sqlite_url})
    assert done.returncode == 0, done.stderr


ALL_MODELS = """
import importlib, pkgutil
import app.models
known = set(app.models.Base.metadata.tables)
for module in pkgutil.walk_packages(app.models.__path__, "app.models."):
    importlib.import_module(module.name)
assert known
assert known == set(app.models.Base.metadata.tables)
"""


@pytest.mark.exhaustive
def test_importing_the_models_package_registers_every_model() -> None:
    """As pytest-alembic's optional test of this, which looks for them in env.py: ours are imported only when needed."""
    done = python("-c", ALL_MODELS)
    assert done.returncode == 0, done.stderr


@pytest.mark.exhaustive
def test_a_process_that_only_upgrades_has_every_word() -> None:
    words = ["create_trigger", "drop_trigger", "create_trigger_function", "drop_trigger_function"]
    words += ["dialect_text", "validate_constraint"]
    code = f"import alembic.op, app.migrations.operations; [getattr(alembic.op, word) for word in {words}]"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
