"""`schema partitions`: the commands about tables in ranges of time."""

import typer

from app.cli.adopt_partitions import adopt
from app.cli.enable import enable
from app.cli.maintain import maintain

partitions = typer.Typer(no_args_is_help=True, help="Tables in ranges of time: conversion, upkeep, retention.")
partitions.command()(enable)
partitions.command()(maintain)
partitions.command()(adopt)
