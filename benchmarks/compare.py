"""What a comparison with the models costs, on a database that equals them.

python -m benchmarks.compare [--rounds 15] [--json]
"""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import measure, stock
from benchmarks.measure import Case
from tests.postgres import Server


def main() -> None:
    """Measures and prints."""
    options = measure.arguments("Times alembic check, schema check and an autogenerate that finds nothing to write.")
    with tempfile.TemporaryDirectory() as name, Server() as server, measure.environment() as variables:
        folder = Path(name)
        urls = {
            measure.sqlite(): [f"sqlite:///{folder}/{whose}.db" for whose in ("stock", "ours")],
            f"PostgreSQL {server.major}": [server.create_database() for _ in range(2)],
        }
        cases = [
            case
            for kind, (stock_url, our_url) in urls.items()
            for case in comparisons(kind, stock_url, our_url, folder / kind, variables)
        ]
        results = measure.measure(cases, options.rounds)
    measure.finish(measure.summary(results, options.rounds, list(urls)), measure.text, as_json=options.json)


def comparisons(
    database: str, stock_url: str, our_url: str, folder: Path, variables: Mapping[str, str]
) -> Iterator[Case]:
    """Processes that compare; the stock one has a database without our ledger, which it would propose to drop."""
    bare, ours = stock.environment(folder, stock_url, operations=True), stock.ours(our_url)
    for environment in (bare, ours):
        environment.process(variables)()
    group = f"a comparison with the models, {database}"
    yield Case(group, "stock: alembic check", bare.process(variables, "check"))
    yield Case(group, "ours: alembic check", ours.process(variables, "check"))
    autogenerate = ours.process(variables, "revision", "--autogenerate", "-m", "nothing")
    yield Case(group, "ours: alembic revision --autogenerate", autogenerate)
    schema = stock.process({**variables, "DATABASE_URL": our_url}, sys.executable, "-m", "app.cli", "check")
    yield Case(group, "ours: schema check", schema)


if __name__ == "__main__":
    main()
