"""Drift: a database that isn't what its revision makes; checked, reverted, accepted, written down, or resolved."""

from app.migrations.drift.check import Check, Drift, check, digest, find_drift, unaccepted
from app.migrations.drift.resolve import Claim, Resolution, Resolver
from app.migrations.drift.revert import accept, plan_revert, revert
from app.migrations.drift.write_revision import WrittenRevision, write_revision

__all__ = [
    "Check",
    "Claim",
    "Drift",
    "Resolution",
    "Resolver",
    "WrittenRevision",
    "accept",
    "check",
    "digest",
    "find_drift",
    "plan_revert",
    "revert",
    "unaccepted",
    "write_revision",
]
