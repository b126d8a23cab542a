"""Refuses databases and processes to the tests of this layer."""

import os
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from typing import NoReturn

import psycopg
import pytest

REFUSED = [
    (subprocess, "Popen"),
    (os, "fork"),
    (os, "posix_spawn"),
    (os, "system"),
    (sqlite3, "connect"),
    (sqlite3.dbapi2, "connect"),
    (psycopg, "connect"),
    (psycopg.Connection, "connect"),
    (psycopg.AsyncConnection, "connect"),
    (socket.socket, "connect"),
]
DATABASE_FIXTURES = {"servers", "heads", "stops"}  # all others with a database rest on one of these, or on `tmp_path`


def refuse(*_: object, **__: object) -> NoReturn:
    """Fails the test that connects or starts a process."""
    raise AssertionError("a test under tests/unit uses neither a database nor a process: move it to another layer")


@pytest.fixture(autouse=True)
def neither_database_nor_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuses every way to a database or a process for the length of a test."""
    if DATABASE_FIXTURES & set(request.fixturenames):
        refuse()
    with monkeypatch.context() as patch:
        for place, name in REFUSED:
            patch.setattr(place, name, refuse)
        yield
