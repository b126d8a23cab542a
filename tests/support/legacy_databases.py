"""Databases as the two services left them, with rows, and the statements that the services send."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from tests.support.database_access import connected, engine, run_script
from tests.support.environment import ROOT

LEGACY = ROOT / "tests" / "legacy"
DUMPS = {
    "gateway of January 12": ("sqlite", "gateway_2026_01_12.sqlite.sql"),
    "gateway of January 31": ("postgresql", "gateway_2026_01_31.postgresql.sql"),
    "auth of December": ("postgresql", "auth_2025_12_13.postgresql.sql"),
}
_numbers = count(1)


def load(url: str, dump: str) -> None:
    """Makes what a dump of a service has."""
    # The dumps name the schema that they were taken from.
    run_script(url, (LEGACY / DUMPS[dump][1]).read_text(encoding="utf-8").replace("public.", ""))


def count_on(url: str) -> None:
    """Lets the sequences go on behind rows whose ids were given."""
    if "postgresql" not in url:
        return
    with connected(url) as connection:
        question = """SELECT c.relname, a.attname, pg_get_serial_sequence(quote_ident(c.relname), a.attname)
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
            AND c.relnamespace = current_schema()::regnamespace"""
        for table, column, sequence in connection.exec_driver_sql(question).all():
            if sequence is not None:
                connection.exec_driver_sql(f"SELECT setval('{sequence}', (SELECT max({column}) + 1 FROM {table}))")


class OldService:
    """A service that runs since before the adoption: it knows the columns that there were then, and writes all of them.

    Args:
        url: its database, before it is adopted.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with connected(url) as connection:
            inspector = sa.inspect(connection)
            self.columns = {
                table: {column["name"]: column for column in inspector.get_columns(table)}
                for table in inspector.get_table_names()
            }
        self.logs: list[int] = []
        self.audits = 0

    def round(self) -> None:
        """Sends each statement once."""
        if "request_logs" in self.columns:
            self._configure()
            self.log()
            self._list()
            self._clean_up()
        if "users" in self.columns:
            self._sign_in()

    def lost(self) -> int:
        """Counts the logs and the audit rows that were written and are gone."""
        with connected(self.url) as connection:
            missing = 0
            if self.logs:
                listed = ", ".join(map(str, self.logs))
                found = connection.exec_driver_sql(
                    f"SELECT count(*) FROM request_logs WHERE id IN ({listed}) AND response_status = 200"
                ).scalar_one()
                missing += len(self.logs) - int(found)
            if self.audits:
                question = "SELECT count(*) FROM service_audit_logs WHERE action = 'sent by the old service'"
                missing += self.audits - int(connection.exec_driver_sql(question).scalar_one())
            return missing

    def _configure(self) -> None:
        name = f"old {next(_numbers)} {uuid4().hex[:8]}"
        with engine(self.url).begin() as connection:
            provider = self._insert(connection, "service_providers", name=name, base_url="https://x", protocol="openai")
            self._insert(connection, "model_mappings", requested_model=name)
            self._insert(
                connection,
                "model_mapping_providers",
                requested_model=name,
                provider_id=provider,
                target_model_name="target",
            )
            _run(connection, "UPDATE service_providers SET base_url = 'https://y' WHERE id = :id", id=provider)
            _run(connection, "UPDATE model_mapping_providers SET weight = 2 WHERE provider_id = :id", id=provider)
            key = self._insert(connection, "api_keys", key_name=name, key_value=f"sk-{name}")
            _run(connection, "SELECT id FROM api_keys WHERE key_value = :value", value=f"sk-{name}")
            _run(connection, "UPDATE api_keys SET last_used_at = :now WHERE id = :id", now=_now(), id=key)
        with engine(self.url).begin() as connection:
            _run(connection, "DELETE FROM model_mapping_providers WHERE provider_id = :id", id=provider)
            _run(connection, "DELETE FROM model_mappings WHERE requested_model = :name", name=name)
            _run(connection, "DELETE FROM service_providers WHERE id = :id", id=provider)
            _run(connection, "DELETE FROM api_keys WHERE id = :id", id=key)

    def log(self) -> None:
        """Writes a log in progress, and updates it when it is done."""
        trace = uuid4().hex
        unfinished: dict[str, Any] = {"is_completed": False} if "is_completed" in self.columns["request_logs"] else {}
        with engine(self.url).begin() as connection:
            log = self._insert(
                connection, "request_logs", request_time=_now(), trace_id=trace, requested_model="m", **unfinished
            )
        body = json.dumps({"messages": ["hello"]})
        finished = ", is_completed = true" if unfinished else ""
        with engine(self.url).begin() as connection:
            update = f"UPDATE request_logs SET response_status = 200, total_time_ms = 5{finished} WHERE id = :id"
            _run(connection, update, id=log)
            if "request_log_details" in self.columns:
                self._insert(connection, "request_log_details", log_id=log, request_body=body)
        self.logs.append(log)

    def _list(self) -> None:
        order = "is_completed, request_time" if "is_completed" in self.columns["request_logs"] else "request_time"
        with connected(self.url) as connection:
            _run(connection, f"SELECT id, request_time FROM request_logs ORDER BY {order} DESC LIMIT 20")
            _run(connection, "SELECT trace_id, max(id) FROM request_logs GROUP BY trace_id ORDER BY 2 DESC LIMIT 20")
            _run(connection, "SELECT count(*) FROM request_logs WHERE request_time > :since", since=_now(-1))

    def _clean_up(self) -> None:
        with engine(self.url).begin() as connection:
            old = self._insert(connection, "request_logs", request_time=_now(-100))
        has_details = "request_log_details" in self.columns
        with engine(self.url).begin() as connection:
            if has_details:
                week = "SELECT id FROM request_logs WHERE request_time < :before"
                _run(connection, f"DELETE FROM request_log_details WHERE log_id IN ({week})", before=_now(-7))
            aged = "SELECT id FROM request_logs WHERE request_time < :before"
            ids = [int(row[0]) for row in _run(connection, aged, before=_now(-90))]
            assert old in ids
            for first in range(0, len(ids), 500):
                listed = ", ".join(map(str, ids[first : first + 500]))
                if has_details:
                    _run(connection, f"DELETE FROM request_log_details WHERE log_id IN ({listed})")
                _run(connection, f"DELETE FROM request_logs WHERE id IN ({listed})")

    def _sign_in(self) -> None:
        github = int(uuid4().int % 2**40)
        with engine(self.url).begin() as connection:
            user = uuid4()
            self._insert(connection, "users", id=user, github_user_id=github, updated_at=_now())
            again = " ON CONFLICT (github_user_id) DO UPDATE SET is_whitelisted = true"
            self._insert(connection, "users", again, id=uuid4(), github_user_id=github, updated_at=_now())
            _run(connection, "UPDATE users SET is_whitelisted = true WHERE github_user_id = :github", github=github)
        if "service_audit_logs" in self.columns:
            with engine(self.url).begin() as connection:
                values: dict[str, Any] = {"service_id": uuid4(), "user_id": user, "action": "sent by the old service"}
                self._insert(connection, "service_audit_logs", id=uuid4(), **values)
            self.audits += 1

    def _insert(self, connection: sa.Connection, table: str, ending: str = "", **given: Any) -> int:
        """Inserts a row with a value for each column that the service knows, as an ORM does; returns its id."""
        values = dict(self._values(table, given))
        names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        text = f"INSERT INTO {table} ({names}) VALUES ({places}){ending}"
        if "id" in self.columns[table] and "id" not in values:
            return int(_run(connection, f"{text} RETURNING id", **_bound(connection, values)).scalar_one())
        _run(connection, text, **_bound(connection, values))
        return 0

    def _values(self, table: str, given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, column in self.columns[table].items():
            if name in given:
                yield name, given[name]
            elif name == "id":
                continue
            elif column["nullable"]:
                yield name, None
            else:
                yield name, _default(column)


def _default(column: Mapping[str, Any]) -> Any:
    """Returns what the service's code gives to a column that is required."""
    kind = str(column["type"])
    if "BOOL" in kind:
        return True
    if "TIME" in kind:
        return _now()
    return 0 if "INT" in kind else "x"


def _run(connection: sa.Connection, statement: str, **values: Any) -> sa.CursorResult[Any]:
    return connection.execute(sa.text(statement), values)


def _bound(connection: sa.Connection, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _id(connection, value) for name, value in values.items()}


def _id(connection: sa.Connection, value: Any) -> Any:
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite and isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return value.hex if is_sqlite and hasattr(value, "hex") and not isinstance(value, float) else value


def _now(days: int = 0) -> datetime:
    return datetime.now(UTC).replace(tzinfo=None) + timedelta(days=days)


def create_all(url: str) -> None:
    """Makes the tables as a service does at its start: without server defaults, names, comments and triggers."""
    from app.models import Base

    metadata = sa.MetaData()
    for table in Base.metadata.tables.values():
        copied = table.to_metadata(metadata)
        copied.comment = None
        for column in copied.columns:
            column.server_default = column.comment = None
            if table.name.startswith("request_log") and column.primary_key:
                column.type = sa.Integer()
        for constraint in copied.constraints:
            constraint.name = None
    with connected(url) as connection:
        metadata.create_all(connection)


def add_in_place(url: str) -> None:
    """Makes newer columns anew, as a service that adds them to its tables: nullable, with a default."""
    columns = {
        "api_keys": {"record_details": "BOOLEAN DEFAULT true", "is_mcp_admin": "BOOLEAN DEFAULT false"},
        "service_providers": {"response_timeout_seconds": "INTEGER DEFAULT 1800"},
        "request_logs": {"is_completed": "BOOLEAN DEFAULT true"},
    }
    with connected(url) as connection:
        connection.exec_driver_sql("DROP INDEX idx_request_logs_completed_time")
        for table, added in columns.items():
            for column, kind in added.items():
                connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
                connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
