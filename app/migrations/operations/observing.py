"""Whoever looks on while a revision runs: the gate, which refuses, and the rehearsal, which carries nothing out."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from alembic.operations import Operations

Observer = Callable[[Operations, Any, Callable[[], Any]], Any]

observer: ContextVar[Observer | None] = ContextVar("observer", default=None)
"""Hears of each of Alembic's operations before it is carried out, and carries it out, or doesn't."""


def observed(operation_class: type[Any], original: Callable[[Operations, Any], Any]) -> None:
    """Makes `original` what an operation of Alembic's does, unless the observer thinks otherwise."""

    @Operations.implementation_for(operation_class, replace=True)
    def implementation(operations: Operations, operation: Any) -> Any:
        def carry_out() -> Any:
            token = observer.set(None)  # a table copy invokes the operation a second time
            try:
                return original(operations, operation)
            finally:
                observer.reset(token)

        watching = observer.get()
        return original(operations, operation) if watching is None else watching(operations, operation, carry_out)
