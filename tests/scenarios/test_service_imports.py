"""A service imports the models in each of the ways that the README names."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.environment import ROOT, variables

pytestmark = pytest.mark.exhaustive

EXTENDS = "from pkgutil import extend_path\n\n__path__ = extend_path(__path__, __name__)\n"
USES = """
import sqlalchemy as sa
from app.models import Base, ServiceProvider
from app.project import PROJECT

engine = PROJECT.engine()
Base.metadata.create_all(engine)
with PROJECT.sessions().begin() as session:
    session.add(ServiceProvider(name="one", base_url="https://x.example", protocol="openai"))
with PROJECT.sessions()() as session:
    print(session.scalars(sa.select(ServiceProvider.name)).all())
"""


def python(code: str, *path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a service's code in its folder, with these folders on the path."""
    inherited = {name: value for name, value in variables("").items() if name != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=folder,
        env=inherited | {"PYTHONPATH": ":".join(map(str, path))},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """A service with a package `app` of its own."""
    folder = tmp_path / "service"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "__init__.py").write_text(EXTENDS, encoding="utf-8")
    (folder / "app" / "handlers.py").write_text(USES, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel installs: the package `app` and nothing else."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(folder / "wheel.zip", "w") as archive:
        for path in (ROOT / "app").rglob("*.py"):
            archive.write(path, path.relative_to(ROOT))
    with zipfile.ZipFile(folder / "wheel.zip") as archive:
        archive.extractall(folder)
    return folder


def test_a_checkout_beside_it(tmp_path: Path) -> None:
    done = python(USES + "print(PROJECT.missing(engine)[0])", ROOT, folder=tmp_path)
    assert (done.stdout, done.stderr) == ("['one']\n20241211000000\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["gateway.db"]


def test_a_wheel(tmp_path: Path, wheel: Path) -> None:
    done = python(USES + "PROJECT.missing(engine)", wheel, folder=tmp_path)
    assert done.stdout == "['one']\n"
    assert "FileNotFoundError: no revisions in" in done.stderr


def test_a_service_with_a_package_of_that_name(service: Path, wheel: Path) -> None:
    for ours in (ROOT, wheel):
        done = python("import app.handlers", service, ours, folder=service)
        assert (done.stdout, done.stderr) == ("['one']\n", "")
        (service / "gateway.db").unlink()
