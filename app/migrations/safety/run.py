"""What a run has made and changed so far, which is no loss to lose again."""

from dataclasses import dataclass, field, replace

from app.migrations.effects import Effect, Kind, parts_of, qualified


@dataclass
class Run:
    """What a run has made and changed so far: there is nothing to lose in what it made itself.

    Attributes:
        live: the run is under way, so the database has its new names already.
        gone: names of tables that were dropped or renamed.
    """

    live: bool = False
    tables: set[str] = field(default_factory=set)
    columns: set[tuple[str, str]] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    enums: dict[str, tuple[str, ...]] = field(default_factory=dict)
    old_names: dict[str, str] = field(default_factory=dict)
    old_columns: dict[tuple[str, str], str] = field(default_factory=dict)

    def concerns(self, effect: Effect) -> Effect | None:
        """The effect in the names that the database has, or None if it only concerns what this run made."""
        if effect.table in self.tables or effect.kind in (Kind.CREATE_TABLE, Kind.CREATE_ENUM, Kind.FILL):
            return None
        columns = tuple(column for column in effect.columns if (effect.table, column) not in self.columns)
        if effect.columns and not columns:
            return None
        if effect.kind is not Kind.UPDATE and len(columns) != len(effect.columns):
            columns = effect.columns
        if self.live:
            return replace(effect, columns=columns)
        old = tuple(self.old_columns.get((effect.table, column), column) for column in columns)
        return replace(effect, table=self.old_names.get(effect.table, effect.table), columns=old)

    def note(self, effect: Effect) -> None:
        """Takes the effect into account for those after it."""
        table = effect.table
        match effect.kind:
            case Kind.CREATE_TABLE:
                self.tables.add(table)
            case Kind.DROP_TABLE:
                self.tables.discard(table)
                self.gone.add(table)
            case Kind.ADD_COLUMN:
                self.columns |= {(table, column) for column in effect.columns}
            case Kind.CREATE_ENUM:
                self.enums[table] = effect.to
            case Kind.RENAME_TABLE:
                self._renamed(table, effect.to[0])
            case Kind.RENAME_COLUMN:
                (old,) = effect.columns
                if (table, old) in self.columns:
                    self.columns = self.columns - {(table, old)} | {(table, effect.to[0])}
                self.old_columns[table, effect.to[0]] = self.old_columns.get((table, old), old)
            case Kind.FILL | Kind.UPDATE | Kind.DELETE:
                self.touched.add(table)

    def settle(self) -> None:
        """To be called between two revisions: rows that one has written into its own table are data to the next."""
        self.tables -= self.touched
        self.columns = {(table, column) for table, column in self.columns if table not in self.touched}

    def made(self, enum: str) -> tuple[str, ...] | None:
        """The labels of an enumeration that this run has made."""
        return self.enums.get(qualified(*parts_of(enum)))

    def _renamed(self, old: str, new: str) -> None:
        schema = parts_of(old)[:-1]
        new = qualified(*schema, new) if schema else new
        self.gone.add(old)
        if old in self.tables:
            self.tables = self.tables - {old} | {new}
        if old in self.touched:
            self.touched.add(new)
        self.columns |= {(new, column) for table, column in self.columns if table == old}
        self.old_names[new] = self.old_names.get(old, old)
