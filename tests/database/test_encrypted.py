"""The encrypted attribute in everything an application does with a mapped column, on both databases."""

import asyncio
import base64
import copy
import doctest
import logging
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    Bundle,
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    aliased,
    load_only,
    mapped_column,
)

from app import encryption as module
from app import settings
from app.encryption import (
    CipherError,
    Ciphertext,
    DecryptionError,
    EncryptedColumnComparison,
    EncryptedText,
    FieldCipher,
    KeyConfigurationError,
    Keyring,
    MalformedCiphertext,
    NotTextError,
    PlaintextRefused,
    PlaintextWarning,
    RawKey,
    UnencryptedValue,
    encrypted,
    encrypted_columns,
)
from app.models.keys import API_KEYS, GITHUB_TOKENS
from tests.support.known_keys import under_writing_key

SECRET, OTHER = "sk-live-do-not-show-me", "sk-live-nor-me"
OLD, NEW = (RawKey.generate() for _ in range(2))


class Base(DeclarativeBase):
    pass


class Provider(Base):
    __tablename__ = "providers"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(unique=True)
    kind: Mapped[str] = mapped_column(default="provider")
    _api_key: Mapped[str | None] = mapped_column("api_key", EncryptedText(API_KEYS))
    api_key = encrypted(_api_key, API_KEYS, blank_as_none=True)

    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "provider"}  # noqa: RUF012 - SQLAlchemy's way


class Mirror(Provider):
    __mapper_args__ = {"polymorphic_identity": "mirror"}  # noqa: RUF012 - SQLAlchemy's way


class HasTokens:
    _access_token: Mapped[str | None] = mapped_column("access_token", EncryptedText(GITHUB_TOKENS))
    access_token = encrypted(_access_token, GITHUB_TOKENS)
    _api_key: Mapped[str] = mapped_column("api_key", EncryptedText(API_KEYS))
    api_key = encrypted(_api_key, API_KEYS, nullable=False)


class Account(HasTokens, Base):
    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True)


PROVIDERS = Base.metadata.tables["providers"]


@pytest.fixture(autouse=True)
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Sets variables, and has them read again."""

    def read_again() -> None:
        settings.load.cache_clear()
        API_KEYS.forget()
        GITHUB_TOKENS.forget()

    def configure(**values: str | None) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)
        read_again()

    configure(ENCRYPTION_KEY=OLD, GITHUB_TOKEN_ENCRYPTION_KEY="a passphrase of more than 32 characters")
    yield configure
    monkeypatch.undo()
    read_again()


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@pytest.fixture
def statements(engine: sa.Engine) -> list[str]:
    """The statements that were executed, one after the other."""
    seen: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *event: seen.append(event[2]))
    return seen


def stored(session: Session, column: str = "providers.api_key") -> list[str | None]:
    """What the database holds, in the order of the primary keys."""
    table, name = column.split(".")
    return [*session.scalars(sa.text(f"SELECT {name} FROM {table} ORDER BY id"))]


def store(session: Session, *values: str | None) -> None:
    """Puts values into providers as they are, numbered from 1."""
    for number, value in enumerate(values, 1):
        statement = sa.text("INSERT INTO providers (id, kind, api_key) VALUES (:id, 'provider', :value)")
        session.execute(statement, {"id": number, "value": value})
    session.commit()


def opened(session: Session, column: str = "providers.api_key") -> list[str | None]:
    """What the stored ciphertexts hold; anything else is an error."""
    cipher = GITHUB_TOKENS if "token" in column else API_KEYS
    return [value and cipher.open(value).plaintext for value in stored(session, column)]


def flush(session: Session, instance: object) -> None:
    session.add(instance)
    session.flush()


def insert_for(session: Session) -> Any:
    return {"postgresql": postgresql.insert, "sqlite": sqlite.insert}[session.get_bind().dialect.name]


def test_reads_plaintext_and_stores_ciphertext(session: Session) -> None:
    session.add_all([Provider(id=1, api_key=SECRET), Account(id=1, access_token=SECRET, api_key=OTHER)])
    session.commit()
    assert opened(session) == opened(session, "accounts.access_token") == [SECRET]
    provider, account = session.get_one(Provider, 1), session.get_one(Account, 1)
    assert (provider.api_key, account.access_token, account.api_key) == (SECRET, SECRET, OTHER)
    assert SECRET not in repr([vars(provider), vars(account)]) + str(vars(provider).values())
    assert isinstance(provider._api_key, Ciphertext)


@given(plaintext=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@hypothesis_settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back(session: Session, plaintext: str) -> None:
    session.add(Provider(api_key=plaintext))
    session.flush()
    session.expire_all()
    assert session.scalars(sa.select(Provider).order_by(Provider.id.desc())).first().api_key == plaintext  # type: ignore[union-attr]
    assert opened(session)[-1] == plaintext


def test_nothing_and_empty(session: Session) -> None:
    session.add_all([Provider(id=1, api_key=None), Provider(id=2, api_key=""), Provider(id=3)])
    session.add(Account(id=1, access_token="", api_key=""))
    session.commit()
    assert stored(session) == [None, None, None]
    assert session.get_one(Provider, 2).api_key is None
    assert opened(session, "accounts.access_token") == [""]
    assert session.get_one(Account, 1).access_token == ""
    session.get_one(Account, 1).access_token = None
    session.commit()
    assert stored(session, "accounts.access_token") == [None]


def test_text_that_looks_like_a_ciphertext_is_encrypted(session: Session) -> None:
    sealed = str(API_KEYS.encrypt(SECRET))
    session.add(Provider(id=1, api_key=sealed))
    session.commit()
    assert session.get_one(Provider, 1).api_key == sealed
    assert opened(session) == [sealed]


def test_a_ciphertext_is_stored_as_it_stands(session: Session) -> None:
    first = Provider(id=1, api_key=SECRET)
    session.add_all([first, Provider(id=2, api_key=first._api_key)])
    session.commit()
    assert len(set(stored(session))) == 1
    assert session.get_one(Provider, 2).api_key == SECRET


def test_a_ciphertext_of_the_other_format_is_refused() -> None:
    with pytest.raises(MalformedCiphertext, match=r"^Provider\.api_key was given a Ciphertext that is not one of its"):
        Provider(api_key=GITHUB_TOKENS.encrypt(SECRET))


@pytest.mark.parametrize("value", [3, SECRET.encode(), [SECRET], sa.null(), sa.bindparam("x"), sa.func.lower(SECRET)])
def test_a_value_that_is_no_text_is_a_type_error(value: Any) -> None:
    message = rf"^Provider\.api_key must be a str, not {type(value).__name__}$"
    with pytest.raises(TypeError, match=message):
        Provider(api_key=value)
    with pytest.raises(TypeError, match=message):
        sa.update(Provider).values(api_key=value)
    with pytest.raises(TypeError, match=r"^Account\.api_key must be a str, not NoneType$"):
        Account(api_key=None)  # type: ignore[arg-type, unused-ignore]


@pytest.mark.exhaustive
def test_an_sql_expression_is_refused_on_a_row_with_a_secret(session: Session) -> None:
    provider = Provider(id=1, api_key=SECRET)
    with pytest.raises(TypeError, match=r"^Provider\.api_key must be a str, not Null$"):
        provider.api_key = sa.null()
    session.add(provider)
    session.commit()
    with pytest.raises(TypeError, match=r"^Provider\.api_key of 1 must be a str, not Function$"):
        session.get_one(Provider, 1).api_key = sa.func.lower("x")
    assert opened(session) == [SECRET]


def test_the_same_secret_again_is_no_update(session: Session, statements: list[str]) -> None:
    session.add_all([Provider(id=1, api_key=SECRET), Account(id=1, access_token=SECRET, api_key=OTHER)])
    session.commit()
    provider, account = session.get_one(Provider, 1), session.get_one(Account, 1)
    provider.api_key, account.access_token = SECRET, SECRET
    assert not session.is_modified(provider)
    assert not session.is_modified(account)
    statements.clear()
    session.commit()
    assert not statements
    provider.api_key = OTHER
    session.commit()
    assert session.get_one(Provider, 1).api_key == OTHER


def test_the_same_secret_again_encrypts_what_was_not(session: Session) -> None:
    store(session, SECRET)
    provider = session.get_one(Provider, 1)
    assert provider.api_key == SECRET
    provider.api_key = SECRET
    session.commit()
    assert opened(session) == [SECRET]


def test_the_same_secret_again_moves_it_to_the_new_key(session: Session, configure: Callable[..., None]) -> None:
    session.add(Provider(id=1, api_key=SECRET))
    session.commit()
    configure(ENCRYPTION_KEY=NEW, ENCRYPTION_KEY_PREVIOUS=OLD)
    provider = session.get_one(Provider, 1)
    assert provider.api_key == SECRET
    provider.api_key = SECRET
    session.commit()
    assert under_writing_key(API_KEYS, str(stored(session)[0]))
    configure(ENCRYPTION_KEY_PREVIOUS=None)
    assert session.get_one(Provider, 1).api_key == SECRET


def test_assigning_to_an_expired_instance_loads_nothing(session: Session, statements: list[str]) -> None:
    session.add_all([Provider(id=1, api_key=SECRET), Provider(id=2, api_key=SECRET)])
    session.commit()
    first, second = session.scalars(sa.select(Provider).order_by(Provider.id))
    session.expire_all()
    statements.clear()
    first.api_key, second.api_key = OTHER, None
    assert not statements
    session.commit()
    assert (first.api_key, second.api_key) == (OTHER, None)


def test_expired_refreshed_and_merged_instances(session: Session) -> None:
    provider = Provider(id=1, api_key=SECRET)
    session.add(provider)
    session.commit()
    assert provider.api_key == SECRET
    session.refresh(provider, ["_api_key"])
    assert provider.api_key == SECRET
    session.expunge(provider)
    provider.api_key = OTHER
    assert session.merge(provider).api_key == OTHER
    session.commit()
    assert opened(session) == [OTHER]
    session.get_one(Provider, 1).api_key = SECRET
    session.rollback()
    assert session.get_one(Provider, 1).api_key == OTHER


def bulk(session: Session) -> None:
    session.execute(sa.insert(Provider), [{"id": 1, "api_key": SECRET}, {"id": 2, "api_key": OTHER}])


def mappings(session: Session) -> None:
    session.bulk_insert_mappings(
        sa.inspect(Provider),
        [{"id": 1, "api_key": SECRET}, {"id": 2, "api_key": OTHER}],  # a list of new dictionaries
    )


def objects(session: Session) -> None:
    session.bulk_save_objects([Provider(id=1, api_key=SECRET), Provider(id=2, api_key=OTHER)])


def single(session: Session) -> None:
    for number, secret in enumerate([SECRET, OTHER], 1):  # the second finds the first in SQLAlchemy's cache
        session.execute(sa.insert(Provider).values(id=number, kind="provider", api_key=secret))


def multiple(session: Session) -> None:
    rows = [{"id": 1, "kind": "provider", "api_key": SECRET}, {"id": 2, "kind": "provider", "api_key": OTHER}]
    session.execute(sa.insert(Provider).values(rows))


def returning(session: Session) -> None:
    rows = [{"id": 1, "api_key": SECRET}, {"id": 2, "api_key": OTHER}]
    found = session.execute(sa.insert(Provider).returning(Provider.id, Provider.api_key), rows)
    assert sorted(tuple(row) for row in found) == [(1, SECRET), (2, OTHER)]


def returning_objects(session: Session) -> None:
    rows = [{"id": 1, "api_key": SECRET}, {"id": 2, "api_key": OTHER}]
    found = session.scalars(sa.insert(Provider).returning(Provider, sort_by_parameter_order=True), rows)
    assert [provider.api_key for provider in found] == [SECRET, OTHER]


def by_attribute(session: Session) -> None:
    for number, secret in enumerate([SECRET, OTHER], 1):
        values: dict[Any, Any] = {Provider.id: number, Provider.kind: "provider", Provider.api_key: secret}
        session.execute(sa.insert(Provider).values(values))


def updated_in_bulk(session: Session) -> None:
    store(session, None, "old")
    session.execute(sa.update(Provider), [{"id": 1, "api_key": SECRET}, {"id": 2, "api_key": OTHER}])


def updated_by_mappings(session: Session) -> None:
    store(session, None, "old")
    rows = [{"id": 1, "api_key": SECRET}, {"id": 2, "api_key": OTHER}]
    session.bulk_update_mappings(sa.inspect(Provider), rows)


def upserted(session: Session) -> None:
    store(session, None, "old")
    insert = insert_for(session)(Provider)
    upsert = insert.on_conflict_do_update(index_elements=["id"], set_={"api_key": insert.excluded.api_key})
    rows = [{"id": 1, "kind": "provider", "api_key": SECRET}, {"id": 2, "kind": "provider", "api_key": OTHER}]
    session.execute(upsert, rows)


def upserted_values(session: Session) -> None:
    store(session, None, "old")
    rows = [{"id": 1, "kind": "provider", "api_key": SECRET}, {"id": 2, "kind": "provider", "api_key": OTHER}]
    insert = insert_for(session)(Provider).values(rows)
    upsert = insert.on_conflict_do_update(index_elements=["id"], set_={"api_key": insert.excluded.api_key})
    assert sorted(tuple(row) for row in session.execute(upsert.returning(Provider.id, Provider.api_key))) == [
        (1, SECRET),
        (2, OTHER),
    ]


def core_with_ciphertext(session: Session) -> None:
    rows = [{"id": 1, "api_key": API_KEYS.encrypt(SECRET)}, {"id": 2, "api_key": API_KEYS.encrypt(OTHER)}]
    session.execute(sa.insert(PROVIDERS), rows)


WAYS_IN = [
    bulk,
    mappings,
    objects,
    single,
    multiple,
    returning,
    returning_objects,
    by_attribute,
    updated_in_bulk,
    updated_by_mappings,
    upserted,
    upserted_values,
    core_with_ciphertext,
]


@pytest.mark.in_turn
@pytest.mark.parametrize("write", WAYS_IN)
def test_every_way_in_encrypts(
    session: Session, write: Callable[[Session], None], configure: Callable[..., None]
) -> None:
    configure(ENCRYPTION_PLAINTEXT="refuse")
    write(session)
    session.commit()
    assert opened(session) == [SECRET, OTHER]


@pytest.mark.parametrize("synchronize", ["auto", "evaluate", "fetch", False])
def test_an_update_reaches_the_instances(session: Session, synchronize: Any) -> None:
    session.add_all([Provider(id=1, api_key=SECRET), Provider(id=2, api_key=SECRET)])
    session.commit()
    providers = session.scalars(sa.select(Provider).order_by(Provider.id)).all()
    for number, secret in enumerate([OTHER, None], 1):
        update = sa.update(Provider).where(Provider.id == number).values(api_key=secret)
        session.execute(update, execution_options={"synchronize_session": synchronize})
    if synchronize is False:
        session.expire_all()
    assert [provider.api_key for provider in providers] == [OTHER, None]
    assert opened(session) == [OTHER, None]
    blank = sa.update(Provider).where(Provider.api_key.is_not(None)).values(api_key="").returning(Provider.api_key)
    assert session.scalars(blank).all() == [None]
    assert stored(session) == [None, None]


def test_bulk_inserts_leave_the_callers_dictionaries_alone(session: Session) -> None:
    row = {"id": 1, "api_key": SECRET}
    session.execute(sa.insert(Provider), [row])
    assert row == {"id": 1, "api_key": SECRET}


def selects() -> dict[str, sa.Select[Any]]:
    other, account = aliased(Provider), aliased(Account, name="renamed")
    part = sa.select(Provider.api_key).where(Provider.id == 1)
    cte, subquery = part.cte(), part.subquery()
    return {
        "column": part,
        "labelled": sa.select(Provider.api_key.label("secret")),
        "alias": sa.select(other.api_key),
        "two models": sa.select(Provider.api_key, Account.api_key, account.access_token, other.api_key)
        .join_from(Provider, Account, sa.true())
        .join(account, sa.true())
        .join(other, sa.true()),
        "cte": sa.select(cte.c.api_key),
        "subquery": sa.select(subquery.c.api_key),
        "scalar subquery": sa.select(part.scalar_subquery()),
        "union": sa.select(sa.union(part, part).subquery()),
        "bundle": sa.select(Bundle("both", Provider.id, Provider.api_key)),
        "inherited": sa.select(Mirror.api_key),
        "distinct": sa.select(Provider.api_key).distinct().limit(1),
    }


@pytest.mark.in_turn
@pytest.mark.parametrize("name", selects())
def test_every_way_out_decrypts(session: Session, name: str) -> None:
    session.add_all([Mirror(id=1, api_key=SECRET), Account(id=1, access_token=SECRET, api_key=SECRET)])
    session.commit()
    (row,) = session.execute(selects()[name])
    assert {value for value in (row[0] if name == "bundle" else row) if value != 1} == {SECRET}


def test_compound_selects_decrypt(session: Session) -> None:
    session.add_all([Provider(id=1, api_key=SECRET), Account(id=1, access_token=None, api_key=OTHER)])
    session.commit()
    both: sa.CompoundSelect[Any] = sa.union_all(sa.select(Provider.api_key), sa.select(Account.api_key))
    assert set(session.scalars(both)) == {SECRET, OTHER}


def test_sql_may_ask_whether_there_is_a_secret(session: Session) -> None:
    store(session, None, "sk-plain")
    conditions: list[tuple[sa.ColumnElement[bool], int]] = [
        (Provider.api_key.is_(None), 1),
        (Provider.api_key.is_not(None), 2),
        (Provider.api_key == None, 1),  # noqa: E711 - SQL's
        (Provider.api_key != None, 2),  # noqa: E711 - as above
        (Provider.api_key.is_(sa.null()), 1),
    ]
    for condition, expected in conditions:
        assert session.scalars(sa.select(Provider.id).where(condition)).all() == [expected]
    assert session.scalars(sa.select(Provider.id).filter_by(api_key=None)).all() == [1]
    other = aliased(Provider)
    assert session.scalars(sa.select(other.id).where(other.api_key.is_(None))).all() == [1]


COMPARISONS: dict[str, Callable[[Any], object]] = {
    "eq": lambda column: column == SECRET,
    "ne": lambda column: column != SECRET,
    "is_": lambda column: column.is_(SECRET),
    "lt": lambda column: column < SECRET,
    "in_op": lambda column: column.in_([SECRET]),
    "not_in_op": lambda column: column.not_in([SECRET]),
    "like_op": lambda column: column.like("sk-%"),
    "startswith_op": lambda column: column.startswith("sk-"),
    "add": lambda column: column + "x",
    "concat_op": lambda column: column.concat("x"),
    "between_op": lambda column: column.between("a", "b"),
    "desc_op": lambda column: column.desc(),
    "distinct_op": lambda column: column.distinct(),
    "is_distinct_from": lambda column: column.is_distinct_from(SECRET),
    "regexp_match_op": lambda column: column.regexp_match("sk"),
    "reversed": lambda column: SECRET + column,
    "another column": lambda column: column == Account.id,
}


@pytest.mark.parametrize("compare", COMPARISONS.values(), ids=COMPARISONS)
def test_sql_may_not_compare_secrets(compare: Callable[[Any], object]) -> None:
    for column in (Provider.api_key, aliased(Provider).api_key, sa.select(Provider.api_key).subquery().c.api_key):
        with pytest.raises(
            EncryptedColumnComparison, match=r"^Provider\.api_key is encrypted with a random nonce"
        ) as error:
            compare(column)
        assert SECRET not in str(error.value)
        assert isinstance(error.value, InvalidRequestError)
        assert isinstance(error.value, CipherError)


def test_the_comparison_says_what_works() -> None:
    with pytest.raises(EncryptedColumnComparison) as error:
        sa.select(Provider).filter_by(api_key=SECRET)
    assert str(error.value) == (
        "Provider.api_key is encrypted with a random nonce: SQL cannot compare, sort or search it (operator 'eq'). "
        "Only .is_(None) and .is_not(None) work; select the row by another column and compare in Python."
    )


def test_one_bad_row_fails_where_it_is_read(session: Session) -> None:
    foreign = FieldCipher(API_KEYS.format, Keyring("K", RawKey.from_base64(NEW)))
    store(session, API_KEYS.encrypt(SECRET), foreign.encrypt(SECRET), "enc:cut", "sk-plain", None)
    good, wrong_key, malformed, plain, nothing = session.scalars(sa.select(Provider).order_by(Provider.id))
    assert (good.api_key, plain.api_key, nothing.api_key) == (SECRET, "sk-plain", None)
    tried = RawKey.from_base64(OLD).id
    with pytest.raises(DecryptionError, match=rf"^Failed to decrypt Provider\.api_key of 2: .* \(tried {tried}\)"):
        _ = wrong_key.api_key
    with pytest.raises(MalformedCiphertext, match=r"^Failed to decrypt Provider\.api_key of 3: .* not a whole one"):
        _ = malformed.api_key
    with pytest.raises(MalformedCiphertext, match=r"^Failed to decrypt Provider\.api_key: "):
        session.scalars(sa.select(Provider.api_key).where(Provider.id == 3)).all()
    wrong_key.api_key = malformed.api_key = OTHER
    session.commit()
    assert [API_KEYS.decrypt(str(value)) for value in stored(session)[1:3]] == [OTHER, OTHER]


def test_the_policy_refuses_stored_plaintext_and_says_whose(session: Session, configure: Callable[..., None]) -> None:
    store(session, "sk-plain", "")
    assert [provider.api_key for provider in session.scalars(sa.select(Provider).order_by(Provider.id))] == [
        "sk-plain",
        "",
    ]
    configure(ENCRYPTION_PLAINTEXT="refuse")
    with pytest.raises(
        PlaintextRefused, match=r"^Provider\.api_key of 1 is stored unencrypted and .* Run: schema secrets encrypt$"
    ):
        _ = session.get_one(Provider, 1).api_key
    assert session.get_one(Provider, 2).api_key == ""


def plaintext_statements(session: Session) -> dict[str, Callable[[], object]]:
    insert = insert_for(session)(Provider).values(id=1, kind="provider")
    return {
        "core": lambda: session.execute(sa.insert(PROVIDERS).values(id=1, kind="provider", api_key=SECRET)),
        "many": lambda: session.execute(sa.insert(PROVIDERS), [{"id": 1, "kind": "provider", "api_key": SECRET}]),
        "upsert": lambda: session.execute(
            insert.on_conflict_do_update(index_elements=["id"], set_={"api_key": SECRET})
        ),
        "private": lambda: session.execute(sa.update(Provider).values(_api_key=SECRET)),
        "private attribute": lambda: flush(session, Provider(id=1, _api_key=SECRET)),
        "a foreign ciphertext": lambda: session.execute(
            sa.update(PROVIDERS).values(api_key=GITHUB_TOKENS.encrypt(SECRET))
        ),
    }


@pytest.mark.parametrize("name", ["core", "many", "upsert", "private", "private attribute", "a foreign ciphertext"])
def test_the_column_refuses_plaintext(session: Session, name: str, configure: Callable[..., None]) -> None:
    configure(ENCRYPTION_PLAINTEXT="refuse")
    with pytest.raises(UnencryptedValue) as error:
        plaintext_statements(session)[name]()
    assert str(error.value) == (
        "Provider.api_key was sent unencrypted and ENCRYPTION_PLAINTEXT=refuse. "
        "Assign it to the attribute of the model, or encrypt it before."
    )
    session.rollback()
    assert stored(session) == []


def test_the_column_warns_once_while_plaintext_is_allowed(engine: sa.Engine) -> None:
    class Fresh(DeclarativeBase):
        pass

    class Secretive(Fresh):
        __tablename__ = "secretive"
        id: Mapped[int] = mapped_column(primary_key=True)
        _one: Mapped[str | None] = mapped_column("one", EncryptedText(API_KEYS))
        _two: Mapped[str | None] = mapped_column("two", EncryptedText(API_KEYS))
        one = encrypted(_one, API_KEYS)
        two = encrypted(_two, API_KEYS)

    Fresh.metadata.create_all(engine)
    with engine.begin() as connection, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(3):
            connection.execute(sa.insert(Fresh.metadata.tables["secretive"]).values(id=number, one=SECRET, two=SECRET))
        assert connection.execute(sa.text("SELECT one, two FROM secretive")).all() == [(SECRET, SECRET)] * 3
    assert {warning.category for warning in caught} == {PlaintextWarning}
    assert [str(warning.message).split(".")[:2] for warning in caught] == [
        ["Secretive", "one was stored unencrypted"],
        ["Secretive", "two was stored unencrypted"],
    ]


@pytest.mark.exhaustive
def test_a_value_that_is_no_text_is_in_no_error_of_the_database(session: Session) -> None:
    with pytest.raises(NotTextError, match=r"^Provider\.api_key must be a str, not bytes$"):
        session.execute(sa.insert(PROVIDERS), [{"id": 1, "kind": "provider", "api_key": SECRET.encode()}])


def test_comparing_the_private_column_stores_nothing_and_is_not_refused(
    session: Session, configure: Callable[..., None]
) -> None:
    configure(ENCRYPTION_PLAINTEXT="refuse")
    store(session, "sk-plain", API_KEYS.encrypt(SECRET))
    assert session.scalars(sa.select(Provider.id).where(Provider._api_key.like("enc:%"))).all() == [2]
    assert session.scalars(sa.select(Provider.id).where(Provider._api_key == "sk-plain")).all() == [1]


def test_no_secret_in_the_errors_and_logs_of_a_failed_statement(
    url: str, caplog: pytest.LogCaptureFixture, configure: Callable[..., None]
) -> None:
    configure(ENCRYPTION_PLAINTEXT="refuse")
    engine = sa.create_engine(url, echo="debug", hide_parameters=False)
    Base.metadata.create_all(engine)
    logging.getLogger("sqlalchemy.engine").propagate = True
    with Session(engine) as session:
        session.add(Provider(id=1, name="taken", api_key=SECRET))
        session.commit()
        _ = session.get_one(Provider, 1).api_key
        for fail in (
            lambda: session.execute(sa.insert(Provider), [{"name": "taken", "api_key": OTHER}] * 2),
            lambda: session.execute(sa.insert(Provider).values(name="taken", kind="provider", api_key=OTHER)),
            lambda: flush(session, Provider(name="taken", api_key=OTHER)),
        ):
            with pytest.raises(IntegrityError) as error:
                fail()
            assert "enc:" in str(error.value)
            assert OTHER not in str(error.value) + repr(error.value.params)
            session.rollback()
    engine.dispose()
    assert "enc:" in caplog.text
    assert SECRET not in caplog.text
    assert OTHER not in caplog.text


def test_an_instance_is_pickled_without_its_secret(session: Session) -> None:
    session.add(Provider(id=1, api_key=SECRET))
    session.commit()
    provider = session.get_one(Provider, 1)
    assert provider.api_key == SECRET
    data = pickle.dumps(provider)
    assert SECRET.encode() not in data
    assert base64.urlsafe_b64decode(OLD) not in data
    again = pickle.loads(data)  # noqa: S301 - our own
    assert again.api_key == SECRET
    again.api_key = SECRET
    assert not session.is_modified(session.merge(again))
    rows = session.execute(sa.select(Provider.id, Provider.api_key)).all()
    assert pickle.loads(pickle.dumps(rows)) == [(1, SECRET)]  # noqa: S301 - our own
    assert copy.copy(provider._api_key) == provider._api_key


def test_loader_options_take_the_private_name(session: Session) -> None:
    session.add(Provider(id=1, name="one", api_key=SECRET))
    session.commit()
    session.expire_all()
    assert session.scalars(sa.select(Provider).options(load_only(Provider._api_key))).one().api_key == SECRET
    session.expire_all()
    assert session.scalars(sa.select(Provider).options(load_only(Provider.name))).one().api_key == SECRET


def test_async_sessions(url: str) -> None:
    async def use(engine: Any) -> None:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine, expire_on_commit=True) as session:
            session.add(Provider(id=1, api_key=SECRET))
            await session.execute(sa.insert(Account), [{"id": 1, "access_token": SECRET, "api_key": OTHER}])
            await session.commit()
            provider, account = await session.get_one(Provider, 1), await session.get_one(Account, 1)
            assert (provider.api_key, account.access_token) == (SECRET, SECRET)
            await session.commit()
            provider.api_key = OTHER  # expired: to load it here would fail
            await session.commit()
            assert (await session.scalars(sa.select(Provider.api_key))).all() == [OTHER]
            with API_KEYS.override(Keyring("K", RawKey.from_base64(NEW))):
                await session.refresh(provider)
                with pytest.raises(DecryptionError):
                    _ = provider.api_key
        await engine.dispose()

    asyncio.run(use(create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))))


def test_without_a_key_everything_but_secrets_works(session: Session, configure: Callable[..., None]) -> None:
    configure(ENCRYPTION_KEY=None, GITHUB_TOKEN_ENCRYPTION_KEY=None)
    store(session, None, "sk-plain")
    session.add(Provider(id=3, api_key=None))
    session.flush()
    assert [p.api_key for p in session.scalars(sa.select(Provider).order_by(Provider.id))] == [None, "sk-plain", None]
    with pytest.raises(KeyConfigurationError, match=r"^ENCRYPTION_KEY is not set, so Provider\.api_key of 1 cannot be"):
        session.get_one(Provider, 1).api_key = SECRET
    with pytest.raises(
        KeyConfigurationError, match=r"^GITHUB_TOKEN_ENCRYPTION_KEY is not set, so Account\.access_token"
    ):
        Account(access_token=SECRET)
    assert stored(session) == [None, "sk-plain", None]


def test_the_column_is_text_to_autogenerate(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        found = sa.inspect(connection).get_columns("providers")
        assert isinstance({column["name"]: column["type"] for column in found}["api_key"], sa.Text)


def test_the_encrypted_columns_are_listed_once() -> None:
    columns = list(encrypted_columns(Base))
    assert [(found.name, str(found.column), found.cipher) for found in columns] == [
        ("Account.access_token", "accounts.access_token", GITHUB_TOKENS),
        ("Account.api_key", "accounts.api_key", API_KEYS),
        ("Provider.api_key", "providers.api_key", API_KEYS),
    ]
    assert [(found.table, found.mapper) for found in columns[-1:]] == [(PROVIDERS, sa.inspect(Provider))]


def test_a_dataclass_model_keeps_secrets_out_of_its_repr(engine: sa.Engine) -> None:
    class DataBase(MappedAsDataclass, DeclarativeBase):
        pass

    class Data(DataBase):
        __tablename__ = "data"
        id: Mapped[int] = mapped_column(primary_key=True)
        _secret: Mapped[str | None] = mapped_column(
            "secret", EncryptedText(API_KEYS), init=False, repr=False, default=None
        )
        secret = encrypted(_secret, API_KEYS)

    DataBase.metadata.create_all(engine)
    with Session(engine) as session:
        data = Data(id=1)
        data.secret = SECRET
        session.add(data)
        session.commit()
        assert session.scalars(sa.select(Data.secret)).all() == [SECRET]
        assert repr(data).endswith(".Data(id=1)")


def test_a_column_without_the_guard_is_refused() -> None:
    for column in (mapped_column(sa.Text), mapped_column(EncryptedText(GITHUB_TOKENS)), None):
        with pytest.raises(TypeError, match="whose type is EncryptedText of the same cipher"):
            encrypted(column, API_KEYS)  # type: ignore[arg-type]


def test_the_documentation_runs() -> None:
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.attempted
    assert not result.failed
