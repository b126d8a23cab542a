"""What happens around a revision.

A model is edited; `alembic revision --autogenerate` compares (`operations` adds triggers to what Alembic sees), names
the file after the time and tidies it (`autogenerate`). `alembic upgrade head` runs `env.py`, which hands over to
`runtime`, and that to `runner`, which takes the `lock`, asks `preflight` and the `gate`, has `bookkeeping` write down
what happens, and runs each revision in a transaction of its own, SQLite included. A change that SQLite can't make in
place becomes a copy of the table (`operations`), with everything kept that a copy would lose (`rebuilds`). With `--sql`
the same is written as a script (`offline`).
"""

from app.migrations.run.health import is_current, missing

__all__ = ["is_current", "missing"]
