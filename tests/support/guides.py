"""Guides with commands and their answers: run, and written anew by `--approve`."""

import re
import shlex
from collections.abc import Callable

BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
MOST_LINES = 14  # of a part of an answer: the rest is left out
WIDTH = 116


def answered(text: str, run: Callable[[list[str]], str], width: int = WIDTH) -> str:
    """Returns a text whose commands have the answers that they have now, in lines that are no longer than `width`."""
    return BLOCK.sub(lambda block: f"```console\n{answers(block[1], run, width)}```", text)


def answers(block: str, run: Callable[[list[str]], str], width: int) -> str:
    """Returns the commands of a block, each with its answer below."""
    lines = []
    for command in [line for line in block.splitlines() if line.startswith("$ ")]:
        told = run(shlex.split(command[2:], comments=True)).rstrip()
        parts = told.split("\n\n") if told else []
        lines += [command, *[line for part in parts for line in ["", *shortened(part.splitlines(), width)]][1:]]
    return "".join(f"{line}\n" for line in lines)


def shortened(lines: list[str], width: int) -> list[str]:
    cut = [line if len(line) <= width else f"{line[: width - 2]} …" for line in lines]
    return cut if len(cut) <= MOST_LINES else [*cut[: MOST_LINES - 2], "  …", cut[-1]]
