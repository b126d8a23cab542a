"""Drift: a database that isn't what its revision makes; checked, reverted, accepted, adopted or resolved."""

from app.migrations.drift.adopt import Adopted, adopt
from app.migrations.drift.check import Check, Drift, check, unaccepted
from app.migrations.drift.resolve import Claim, Resolution, Resolver
from app.migrations.drift.revert import accept, plan_revert, revert

__all__ = [
    "Adopted",
    "Check",
    "Claim",
    "Drift",
    "Resolution",
    "Resolver",
    "accept",
    "adopt",
    "check",
    "plan_revert",
    "revert",
    "unaccepted",
]
