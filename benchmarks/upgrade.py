"""What an upgrade costs: `alembic upgrade head` from an empty database, as a process and in process, and at head.

python -m benchmarks.upgrade [--rounds 15] [--json] [--before FOLDER]
"""

import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from app import database_url, db
from benchmarks import measure, stock
from benchmarks.measure import Case
from tests.postgres import Server


def main() -> None:
    """Measures and prints."""
    options = measure.arguments("Times alembic upgrade head from an empty database, and at head.", before=True)
    with tempfile.TemporaryDirectory() as name, Server() as server, measure.environment() as variables:
        folder = Path(name)
        urls = {
            measure.sqlite(): f"sqlite:///{folder}/gateway.db",
            f"PostgreSQL {server.major}": server.create_database(),
        }
        at_head = [f"sqlite:///{folder}/head.db", server.create_database()]
        cases: list[Case] = []
        for (database, url), head in zip(urls.items(), at_head, strict=True):
            cases += full(database, url, folder / database, variables, options.before)
            cases += no_op(database, head, folder / f"{database} at head")
        results = measure.measure(cases, options.rounds)
    measure.finish(measure.summary(results, options.rounds, list(urls)), measure.text, as_json=options.json)


def full(database: str, url: str, folder: Path, variables: Mapping[str, str], before: Path | None) -> Iterator[Case]:
    """Upgrades of an empty database: as processes, and in this one."""
    ours = stock.ours(url)
    bare = {"bare env.py": stock.environment(folder / "bare", url, operations=True)}
    if url.startswith("sqlite"):
        bare["bare env.py with transactions"] = stock.environment(
            folder / "transactions", url, operations=True, sqlite_transactions=True
        )
    emptied = partial(empty, url)
    former = {} if before is None else {"before": stock.ours(url, before)}
    for name, environment in {**bare, "ours": ours, **former}.items():
        yield Case(f"full alembic upgrade head, {database}", name, environment.process(variables), emptied)
    for name, environment in {**bare, "ours": ours}.items():
        yield Case(f"the same in process, {database}", name, environment.in_process(), emptied)


def no_op(database: str, url: str, folder: Path) -> Iterator[Case]:
    """Upgrades of a database that is at head, in this process: what each test of an application may pay."""
    ours = stock.ours(url).in_process()
    ours()
    group = f"no-op in process, {database}"
    yield Case(group, "stock env.py", stock.environment(folder / "bare", url, operations=True).in_process())
    yield Case(group, "ours", ours)


def empty(url: str) -> None:
    """Empties the database."""
    if file := database_url.sqlite_file(database_url.parse(url)):
        for path in file.parent.glob(f"{file.name}*"):
            path.unlink()
        return
    with db.migration_engine(url).begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")


if __name__ == "__main__":
    main()
