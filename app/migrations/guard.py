"""Guards: what watches a run of revisions."""

from app.migrations.session import Step
from app.migrations.sql import Statement


class Guard:
    """Watches a run; a guard overrides what concerns it."""

    def before(self, step: Step) -> None:
        """Hears that a step is about to run."""

    def statement(self, statement: Statement) -> None:
        """Hears of a statement that is about to be sent, on whatever connection of this thread.

        Raises:
            MigrationError: the statement must not run; the revision fails and is rolled back.
        """

    def after(self, step: Step) -> None:
        """Hears that a step has run and written its version; both can still be rolled back.

        Raises:
            MigrationError: what the step did must not stay.
        """

    def committed(self, step: Step) -> None:
        """Hears that a step is done: its transaction has been committed."""

    def failed(self, error: BaseException) -> None:
        """Hears that the step at work, or what precedes the first one, has failed."""
