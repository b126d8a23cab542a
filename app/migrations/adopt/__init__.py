"""Adoption: a running database that has no history is brought to head by its facts, and recorded there."""

from app.migrations.adopt.apply import Adoption, adopt, plan_adoption
from app.migrations.adopt.explanation.findings import Finding, Group
from app.migrations.adopt.look import Look, Wishes

__all__ = ["Adoption", "Finding", "Group", "Look", "Wishes", "adopt", "plan_adoption"]
