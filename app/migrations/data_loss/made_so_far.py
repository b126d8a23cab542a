"""Tables and columns that a run has made so far: to lose them again is no loss."""

from dataclasses import dataclass, field, replace

from app.migrations.sql import effects
from app.sql_text import bare, parts_of, qualified


@dataclass
class MadeSoFar:
    """Tables, columns and other things that a run has made, changed or taken away.

    Attributes:
        live: the run is under way, so the database has its new names already.
        home: the schema of a table whose name is written without one.
        any_case: `T` is the same table as `t`.
        blind: the search path may be another than `home` says, so a name says too little: nothing more counts as made
            by the run.
        temporary: names of temporary tables; they hide others of the same name.
        touched: names of tables whose rows changed.
        gone: names of tables that were dropped or renamed; `gone_columns` those of columns.
        functions: names of functions.
        unchecked: rules that rows need not keep yet, by table and name.
        old_names: the database's names of tables that the run has renamed; `old_columns` of columns.
    """

    live: bool = False
    home: str = ""
    any_case: bool = False
    blind: bool = False
    tables: set[str] = field(default_factory=set)
    temporary: set[str] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    gone_columns: set[tuple[str, str]] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    enums: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unchecked: dict[tuple[str, str], effects.AddRule] = field(default_factory=dict)
    old_names: dict[str, str] = field(default_factory=dict)
    old_columns: dict[tuple[str, str], str] = field(default_factory=dict)

    def concerns(self, effect: effects.Effect) -> effects.Effect | None:
        """Returns an effect that a rule matches, in the database's names; None if the run has made all it concerns."""
        table = self.key(effect.target)
        if table in self.tables or self._is_temporary(effect.target):
            return None
        columns = tuple(column for column in effect.columns if self._column(table, column) not in self.columns)
        if effect.columns and not columns:
            return None
        if not isinstance(effect, effects.Update):  # what else concerns several columns concerns them together
            columns = effect.columns
        if self.live:
            return replace(effect, columns=columns)
        columns = tuple(self.old_columns.get(self._column(table, column), column) for column in columns)
        return replace(effect, target=self.old_name(effect.target), columns=columns)

    def note(self, effect: effects.Effect) -> None:
        """Takes the effect into account for those after it."""
        table = self.key(effect.target)
        columns = {self._column(table, column) for column in effect.columns}
        match effect:
            case effects.SetPath():
                self.blind = True
                self.forget()
            # A table that is gone after the next commit may be gone by now.
            case effects.CreateTable(until_commit=False) if not self.blind:
                (self.temporary if effect.temporary else self.tables).add(table)
            case effects.AddRule(checked=False):
                self.unchecked[table, effect.constraint] = effect
            case effects.DropTable() if self._is_temporary(effect.target):
                self.temporary.discard(self.key(bare(effect.target)))
            case effects.DropTable():
                self.tables.discard(table)
                self.gone.add(table)
                self.columns = {column for column in self.columns if column[0] != table}
            case effects.AddColumn() if not self.blind:
                self.columns |= columns
                self.gone_columns -= columns
            case effects.DropColumn():
                self.columns -= columns
                self.gone_columns |= columns
            case effects.Define():
                self.functions.add(effect.target)
            case effects.CreateEnum():
                self.enums[table] = effect.labels
            case effects.RenameTable():
                self._renamed(effect)
            case effects.RenameColumn():
                self._renamed_column(effect)
            case effects.Fill() | effects.Update() | effects.Delete():
                self.touched.add(table)

    def as_it_is_now(self, effect: effects.Effect) -> effects.Effect:
        """Returns an effect; for a validation, the rule that it puts in force."""
        if isinstance(effect, effects.Validate):
            added = self.unchecked.get((self.key(effect.target), effect.constraint))
            return replace(added, checked=True, where=effect.where) if added is not None else effect
        return effect

    def begin_revision(self) -> None:
        """Counts what earlier revisions wrote into the run's own tables as data: only the database knows its rows."""
        self.tables = set()
        self.temporary = set()
        self.columns = {(table, column) for table, column in self.columns if table not in self.touched}

    def forget(self) -> None:
        """Trusts no name any more: what was made may have been taken back, or be something else."""
        self.tables, self.temporary, self.columns = set(), set(), set()

    def labels_of(self, enum: str) -> tuple[str, ...] | None:
        """Returns the labels of an enumeration that this run has made."""
        return self.enums.get(self.key(qualified(*parts_of(enum))))

    def old_name(self, table: str) -> str:
        """Returns the database's name of a table."""
        return table if self.live else self.old_names.get(self.key(table), table)

    def key(self, table: str) -> str:
        """Returns the one spelling of a table."""
        first, *others = parts_of(table) or [""]
        key = qualified(*others) if others and first == self.home else table
        return key.lower() if self.any_case else key

    def has_touched(self, effect: effects.Effect) -> bool:
        """Returns whether the run changes the rows that an effect looks at."""
        looked_at = {effect.target, effect.to} if isinstance(effect, effects.AddForeignKey) else {effect.target}
        return bool({*map(self.key, looked_at)} & self.touched)

    def is_gone(self, effect: effects.Effect) -> bool:
        """Returns whether the run has taken the table away, or the column; the database can't know yet."""
        table = self.key(effect.target)
        columns = {self._column(table, column) for column in effect.columns}
        return not self.live and (columns <= self.gone_columns if columns else table in self.gone)

    def _column(self, table: str, column: str) -> tuple[str, str]:
        return table, column.lower() if self.any_case else column

    def _is_temporary(self, table: str) -> bool:
        *schema, _ = parts_of(table) or [""]
        return schema in ([], ["temp"], ["pg_temp"]) and self.key(bare(table)) in self.temporary

    def _renamed(self, effect: effects.RenameTable) -> None:
        *schema, _ = parts_of(effect.target)
        old, to = self.key(effect.target), effect.to if len(effect.to) > 1 else (*schema, *effect.to)
        new = self.key(qualified(*to))
        self.old_names[new] = self.old_name(effect.target)
        self.gone.add(old)
        for names in (self.tables, self.temporary, self.touched):
            if old in names:
                names.add(new)
        self.tables.discard(old)
        self.temporary.discard(old)
        self.columns |= {(new, column) for table, column in self.columns if table == old}
        self.gone_columns |= {(new, column) for table, column in self.gone_columns if table == old}
        self.old_columns |= {(new, c): name for (table, c), name in self.old_columns.items() if table == old}

    def _renamed_column(self, effect: effects.RenameColumn) -> None:
        table, (old,) = self.key(effect.target), effect.columns
        before, after = self._column(table, old), self._column(table, effect.to)
        if before in self.columns:
            self.columns = self.columns - {before} | {after}
        self.gone_columns.add(before)
        self.old_columns[after] = old if self.live else self.old_columns.get(before, old)
