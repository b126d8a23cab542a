"""What a start costs: importing the models, and an `alembic upgrade head` process that finds nothing to do.

python -m benchmarks.startup [--rounds 15] [--json] [--before FOLDER]
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import measure, stock
from benchmarks.measure import Case
from tests.postgres import Server

NO_OP = "no-op alembic upgrade head, {}"


def main() -> None:
    """Measures and prints."""
    options = measure.arguments(
        "Times import app.models, and an alembic upgrade head that finds nothing to do.", before=True
    )
    with tempfile.TemporaryDirectory() as name, Server() as server, measure.environment() as variables:
        folder = Path(name)
        urls = {
            measure.sqlite(): f"sqlite:///{folder}/gateway.db",
            f"PostgreSQL {server.major}": server.create_database(),
        }
        cases = list(imports(folder, variables, options.before))
        for database, url in urls.items():
            cases += no_op(database, url, folder / database, variables)
        if options.before is not None:
            cases += before(folder, server, options.before, variables)
        groups = [case.group for case in cases]
        cases.sort(key=lambda case: groups.index(case.group))
        results = measure.measure(cases, options.rounds)
    measure.finish(measure.summary(results, options.rounds, list(urls)), measure.text, as_json=options.json)


def imports(folder: Path, variables: Mapping[str, str], before: Path | None) -> Iterator[Case]:
    """Processes that import a module and end."""
    (folder / "stock_models.py").write_text(stock.models(), encoding="utf-8")
    for name, module in [
        ("stock models of the same tables", "stock_models"),
        ("sqlalchemy.orm alone", "sqlalchemy.orm"),
        ("ours: app.models", "app.models"),
    ]:
        run = stock.process({**variables, "PYTHONPATH": str(folder)}, sys.executable, "-c", f"import {module}")
        yield Case("python -c 'import ...'", name, run)
    if before is not None:
        run = stock.process(variables, sys.executable, "-c", "import app.models", folder=before)
        yield Case("python -c 'import ...'", "before: app.models", run)


def no_op(database: str, url: str, folder: Path, variables: Mapping[str, str]) -> Iterator[Case]:
    """Upgrades of a database that is at head, as processes; `benchmarks.upgrade` has the same in process."""
    ours = stock.ours(url)
    models = stock.environment(folder / "models", url)
    none = stock.environment(folder / "none", url, models=False)
    ours.in_process()()
    group = NO_OP.format(database)
    yield Case(group, "stock env.py, imports the models", models.process(variables))
    yield Case(group, "stock env.py, imports no models", none.process(variables))
    yield Case(group, "ours", ours.process(variables))


def before(folder: Path, server: Server, checkout: Path, variables: Mapping[str, str]) -> Iterator[Case]:
    """The same upgrades by the code of another checkout, on databases of its own."""
    urls = {
        measure.sqlite(): f"sqlite:///{folder}/before.db",
        f"PostgreSQL {server.major}": server.create_database(),
    }
    for database, url in urls.items():
        upgrade = stock.ours(url, checkout).process(variables)
        upgrade()
        yield Case(NO_OP.format(database), "before", upgrade)


if __name__ == "__main__":
    main()
