"""Placeholder, to be replaced by the gate branch."""

from contextvars import Token
from typing import Any

import sqlalchemy as sa

from app.migrations import operations
from app.migrations.data_loss.guard import Gate
from app.migrations.guard import Guard
from app.migrations.session import Step
from app.migrations.sql import Statement


class DataLoss(Guard):
    """Gate as a guard."""

    def __init__(self, connection: sa.Connection, accepted: set[str], note: Any) -> None:
        self._gate = Gate(connection, accepted, note)
        self.preview, self.refuse = self._gate.judge, self._gate.refuse
        self.consented: str | None = None
        self._token: Token[Any] | None = None

    def before(self, step: Step) -> None:
        self._gate.begin(step)
        self._token = operations.observer.set(self._gate._operation)

    def statement(self, statement: Statement) -> None:
        if statement.of_revision:
            self._gate._before(statement.driver, statement.text)

    def _reset(self) -> None:
        if self._token is not None:
            operations.observer.reset(self._token)
            self._token = None

    def after(self, step: Step) -> None:
        self._reset()
        self.consented = self._gate.end()

    def failed(self, error: BaseException) -> None:
        self._reset()
        self._gate.abandon()
