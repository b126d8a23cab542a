"""Explanation of what differs from head: renamed, repaired, accepted, or a person's decision."""

from app.migrations.adopt.explanation.explain import Sides, explain, tables_of
from app.migrations.adopt.explanation.findings import LATER, UNMANAGED, Explanation, Finding, Group
from app.migrations.adopt.explanation.rows import Rows, primary_key

__all__ = [
    "LATER",
    "UNMANAGED",
    "Explanation",
    "Finding",
    "Group",
    "Rows",
    "Sides",
    "explain",
    "primary_key",
    "tables_of",
]
