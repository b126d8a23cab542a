"""The guard against losing data; imported when there is something to lose, for its parser takes time to load."""

from app.migrations.data_loss.guard import DataLoss
from app.migrations.data_loss.preview import Preview
from app.migrations.data_loss.queries import Questions

__all__ = ["DataLoss", "Preview", "Questions"]
