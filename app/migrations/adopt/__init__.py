"""Adoption: a running database that has no history is brought to head by its facts, and recorded there."""

from app.migrations.adopt.apply import Adoption, adopt, plan_adoption
from app.migrations.adopt.findings import Finding, Group
from app.migrations.adopt.look import Look

__all__ = ["Adoption", "Finding", "Group", "Look", "adopt", "plan_adoption"]
