"""The queries that hold a backfill."""

import pytest

from app.backfill import pacing
from app.backfill.pacing import LAG, Pace
from tests.support.database_access import autocommit


def test_a_query_of_the_operator_is_asked(url: str) -> None:
    with autocommit(url) as connection:
        assert Pace().wait_reason(connection) is None
        assert Pace(throttle_query="SELECT 'a:b' = 'a:b'").wait_reason(connection) == "the throttle query says so"
        assert Pace(throttle_query="SELECT NULL").wait_reason(connection) is None


def test_replicas_that_lag_are_waited_for(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(max_lag=5)
    with autocommit(postgres_url) as connection:
        assert connection.exec_driver_sql(LAG).scalar() is None  # there are none here
        assert pace.wait_reason(connection) is None
        for seconds, reason in ((4.9, None), (7, "a replica is 7.0 s behind")):
            monkeypatch.setattr(pacing, "LAG", f"SELECT {seconds}")
            assert pace.wait_reason(connection) == reason
