"""Reversing the operations of triggers."""

import pytest

from app.migrations import operations
from app.triggers import Function, Trigger


def test_a_trigger_that_was_dropped_by_hand_cannot_be_reversed() -> None:
    with pytest.raises(ValueError, match="update_notes_updated_at"):
        operations.DropTriggerOp(Trigger("update_notes_updated_at", "notes", "", ""), known=False).reverse()
    with pytest.raises(ValueError, match="update_updated_at_column"):
        operations.DropTriggerOp(Function("update_updated_at_column", ""), known=False).reverse()
