"""Compares whole texts with the files in tests/approved."""

import re
import socket
from pathlib import Path
from typing import Protocol

from tests.support.environment import ROOT

APPROVED = ROOT / "tests" / "approved"


class Approve(Protocol):
    """The type of the fixture `approve`."""

    def __call__(self, name: str, text: str) -> None:
        """Compares a text with tests/approved/{name}."""


def plain(text: str, *places: Path | str) -> str:
    """A text without what differs from run to run: processes, hosts, users, ports, times and places."""
    for place in sorted(map(str, places), key=len, reverse=True):
        text = text.replace(place, "PLACE")
    text = re.sub(rf"(?<![\w-]){re.escape(socket.gethostname())}(?![\w-])", "HOST", text)  # it may be short
    text = re.sub(r"\b\w+ on HOST", "USER on HOST", text)
    text = re.sub(r"\bpid \d+", "pid N", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?(?= UTC)", "TIME", text)
    text = re.sub(r"(127\.0\.0\.1:|port |port=)\d+", r"\1PORT", text)
    text = re.sub(r"\btest_\d+", "DATABASE", text)
    text = re.sub(r"\(\d+\.\d\d s\)", "(N s)", text)
    return re.sub(r"for \d+ s:", "for N s:", text)
