"""What a run has made and changed so far, which is no loss to lose again."""

from dataclasses import dataclass, field, replace

from app.migrations.sql.effects import FLEETING, TEMPORARY, Effect, Kind, parts_of, qualified

_TEMPORARY_SCHEMAS = ("temp", "pg_temp")


@dataclass
class Run:
    """What a run has made and changed so far: there is nothing to lose in what it made itself.

    Attributes:
        live: the run is under way, so the database has its new names already.
        home: the schema in which a table is whose name is written without one.
        any_case: `T` is the same table as `t`.
        blind: the schema may be another one by now, so a name says too little: nothing counts as made by the run.
        temporary: names of temporary tables; they hide others of the same name.
        touched: names of tables in which rows were changed.
        gone: names of tables that were dropped or renamed; `gone_columns` those of columns.
        functions: statements that create functions, by their names.
        old_names: of tables, what the database calls what a run has renamed; `old_columns` of columns.
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
    functions: dict[str, list[str]] = field(default_factory=dict)
    enums: dict[str, tuple[str, ...]] = field(default_factory=dict)
    old_names: dict[str, str] = field(default_factory=dict)
    old_columns: dict[tuple[str, str], str] = field(default_factory=dict)

    def concerns(self, effect: Effect) -> Effect | None:
        """The effect in the names that the database has, or None if it only concerns what this run made."""
        table = self.key(effect.table)
        if effect.kind in (Kind.CREATE_TABLE, Kind.CREATE_ENUM, Kind.FILL, Kind.SET_PATH, Kind.CALL, Kind.DEFINE):
            return None
        if table in self.tables or self._is_temporary(effect.table):
            return None
        columns = tuple(column for column in effect.columns if self._column(table, column) not in self.columns)
        if effect.columns and not columns:
            return None
        if effect.kind is not Kind.UPDATE and len(columns) != len(effect.columns):
            columns = effect.columns
        if self.live:
            return replace(effect, columns=columns)
        old = tuple(self.old_columns.get(self._column(table, column), column) for column in columns)
        return replace(effect, table=self.old_name(effect.table), columns=old)

    def note(self, effect: Effect) -> None:
        """Takes the effect into account for those after it."""
        table = self.key(effect.table)
        match effect.kind:
            case Kind.SET_PATH:
                self.blind = True
                self.settle(everything=True)
            case Kind.CREATE_TABLE if not self.blind and FLEETING not in effect.to:
                (self.temporary if TEMPORARY in effect.to else self.tables).add(table)
            case Kind.DROP_TABLE if self._is_temporary(effect.table):
                self.temporary.discard(self._bare(effect.table))
            case Kind.DROP_TABLE:
                self._dropped(table)
            case Kind.ADD_COLUMN if not self.blind:
                added = {self._column(table, column) for column in effect.columns}
                self.columns |= added
                self.gone_columns -= added
            case Kind.DROP_COLUMN:
                dropped = {self._column(table, column) for column in effect.columns}
                self.columns -= dropped
                self.gone_columns |= dropped
            case Kind.DEFINE if effect.using:
                self.functions.setdefault(effect.table, []).append(effect.using)
            case Kind.CREATE_ENUM:
                self.enums[self.key(effect.table)] = effect.to
            case Kind.RENAME_TABLE:
                self._renamed(effect)
            case Kind.RENAME_COLUMN:
                self._renamed_column(effect)
            case Kind.FILL | Kind.UPDATE | Kind.DELETE:
                self.touched.add(table)

    def settle(self, *, everything: bool = False) -> None:
        """To be called between two revisions: rows that one has written into its own table are data to the next."""
        # Who can ask the database doesn't trust a list: a function may have filled the table.
        self.tables = set() if self.live or everything else self.tables - self.touched
        self.temporary = set()
        kept = {(table, column) for table, column in self.columns if table not in self.touched}
        self.columns = set() if everything else kept

    def made(self, enum: str) -> tuple[str, ...] | None:
        """The labels of an enumeration that this run has made."""
        return self.enums.get(self.key(qualified(*parts_of(enum))))

    def old_name(self, table: str) -> str:
        """What the database calls a table."""
        return table if self.live else self.old_names.get(self.key(table), table)

    def key(self, table: str) -> str:
        """One spelling for each table."""
        first, *rest = parts_of(table) or [""]
        key = qualified(*rest) if rest and first == self.home else table
        return key.lower() if self.any_case else key

    def is_gone(self, effect: Effect) -> bool:
        """Whether the run has taken the table away, or the column; the database can't know yet."""
        table = self.key(effect.table)
        columns = {self._column(table, column) for column in effect.columns}
        return not self.live and (table in self.gone if not columns else columns <= self.gone_columns)

    def _column(self, table: str, column: str) -> tuple[str, str]:
        return table, column.lower() if self.any_case else column

    def _is_temporary(self, table: str) -> bool:
        *schema, _ = parts_of(table) or [""]
        return schema in ([], *([name] for name in _TEMPORARY_SCHEMAS)) and self._bare(table) in self.temporary

    def _bare(self, table: str) -> str:
        return self.key(qualified(*parts_of(table)[-1:]))

    def _dropped(self, table: str) -> None:
        self.tables.discard(table)
        self.gone.add(table)
        self.columns = {column for column in self.columns if column[0] != table}

    def _renamed(self, effect: Effect) -> None:
        *schema, _ = parts_of(effect.table)
        old, new = self.key(effect.table), self.key(qualified(*(schema if len(effect.to) == 1 else ()), *effect.to))
        self.old_names[new] = self.old_name(effect.table)
        self.gone.add(old)
        for names in (self.tables, self.temporary, self.touched):
            if old in names:
                names.add(new)
        self.tables.discard(old)
        self.temporary.discard(old)
        self.columns |= {(new, column) for table, column in self.columns if table == old}
        self.gone_columns |= {(new, column) for table, column in self.gone_columns if table == old}
        self.old_columns |= {(new, c): name for (table, c), name in self.old_columns.items() if table == old}

    def _renamed_column(self, effect: Effect) -> None:
        table, (old,), (new,) = self.key(effect.table), effect.columns, effect.to
        before, after = self._column(table, old), self._column(table, new)
        if before in self.columns:
            self.columns = self.columns - {before} | {after}
        self.gone_columns.add(before)
        self.old_columns[after] = old if self.live else self.old_columns.get(before, old)
