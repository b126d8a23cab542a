"""Partitions of a table in ranges of time: conversion, upkeep, retention."""

from app.migrations.partitions.creation import create_ahead
from app.migrations.partitions.upkeep.maintain import maintain
from app.migrations.partitions.upkeep.maintenance import Maintenance, Step

__all__ = ["Maintenance", "Step", "create_ahead", "maintain"]
