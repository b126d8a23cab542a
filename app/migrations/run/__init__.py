"""The run: from the lock to the ledger, one transaction per revision."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.migrations.run.blockers import Blocker, watching
    from app.migrations.run.catch_up import upgrade_steps
    from app.migrations.run.connections import (
        database_url,
        from_root,
        history,
        reading,
        require_local,
        shown,
        transaction,
        writing,
    )
    from app.migrations.run.ledger import Entry, Ledger, Outcome
    from app.migrations.run.preflight import (
        checksum_of,
        edited,
        line_of,
        require_complete,
        require_known_heads,
    )
    from app.migrations.run.reporter import Reporter, log
    from app.migrations.run.revision_files import require_single_head, snapshot_command
    from app.migrations.run.scratch import NoScratch, prepare, scratch_database, snapshot, stale_snapshots, upgrade
    from app.migrations.run.signals import interruptible
    from app.migrations.run.status import RevisionStatus, Status, accepted_entries, read_status, when
    from app.migrations.run.timeouts import TimeoutGuard

__all__ = [
    "Blocker",
    "Entry",
    "Ledger",
    "NoScratch",
    "Outcome",
    "Reporter",
    "RevisionStatus",
    "Status",
    "TimeoutGuard",
    "accepted_entries",
    "checksum_of",
    "database_url",
    "edited",
    "from_root",
    "history",
    "interruptible",
    "line_of",
    "log",
    "prepare",
    "read_status",
    "reading",
    "require_complete",
    "require_known_heads",
    "require_local",
    "require_single_head",
    "scratch_database",
    "shown",
    "snapshot",
    "snapshot_command",
    "stale_snapshots",
    "transaction",
    "upgrade",
    "upgrade_steps",
    "watching",
    "when",
    "writing",
]

_MODULES = (
    "ledger",
    "preflight",
    "revision_files",
    "reporter",
    "signals",
    "connections",
    "status",
    "scratch",
    "catch_up",
    "timeouts",
    "blockers",
)


def __getattr__(name: str) -> Any:
    # Every `alembic` command passes here: what only `schema` needs is imported when it is asked for.
    if name in __all__:
        for module in _MODULES:
            loaded = import_module(f"{__name__}.{module}")
            if hasattr(loaded, name):
                return getattr(loaded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
