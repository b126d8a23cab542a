"""Conversion: a plain table becomes a partitioned one, or plain again, while its service goes on."""

from app.migrations.partitions.conversion.enable import enable, plan_enable
from app.migrations.partitions.conversion.plan import Plan, Step
from app.migrations.partitions.conversion.undo import plan_undo, undo

__all__ = ["Plan", "Step", "enable", "plan_enable", "plan_undo", "undo"]
