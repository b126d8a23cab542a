"""A clock that a test sets: the server's as the commands ask for it in this process, and this machine's."""

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from app.migrations.partitions import clock

ASKED = re.compile(r"timezone\('utc', (?:clock_timestamp|now)\(\)\)", re.IGNORECASE)


@contextmanager
def clock_at(now: dt.datetime) -> Iterator[None]:
    """Lets it be `now`, naive and UTC, wherever a statement asks for the time in UTC."""

    def set_time(_c: sa.Connection, _cursor: Any, statement: str, parameters: Any, _x: Any, _many: bool) -> Any:
        return ASKED.sub(f"timestamp '{now}'", statement), parameters

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "machine_now", lambda: now)
        sa.event.listen(sa.Engine, "before_cursor_execute", set_time, retval=True)
        try:
            yield
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", set_time)
