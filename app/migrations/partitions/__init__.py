"""Partitions of a table in ranges of time: conversion, upkeep, retention."""

from app.migrations.partitions.adoption import Adopted, PartitionAdoption, adopt_partitions
from app.migrations.partitions.conversion import Plan, enable, plan_enable, plan_undo, undo
from app.migrations.partitions.conversion import Step as ConversionStep
from app.migrations.partitions.creation import create_ahead
from app.migrations.partitions.upkeep.maintain import maintain
from app.migrations.partitions.upkeep.maintenance import Action, Maintenance, Step

__all__ = [
    "Action",
    "Adopted",
    "ConversionStep",
    "Maintenance",
    "PartitionAdoption",
    "Plan",
    "Step",
    "adopt_partitions",
    "create_ahead",
    "enable",
    "maintain",
    "plan_enable",
    "plan_undo",
    "undo",
]
