"""The models on real databases: what importing them costs, what they store, and the names of what they create."""

import asyncio
import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, selectinload

from app import db
from app.models import (
    ApiKey,
    Base,
    JwtKeyRotation,
    KeyValue,
    ModelMapping,
    ModelMappingProvider,
    RequestLog,
    RequestLogDetail,
    RevokedToken,
    ServiceAuditLog,
    ServiceProvider,
    ServiceRegistry,
    User,
)
from app.models.keys import API_KEYS, GITHUB_TOKENS
from tests.support.database_access import insert, rows
from tests.support.databases import DATABASES, Servers, database
from tests.support.known_keys import ENC_CIPHER, TOKEN_CIPHER

pytestmark = pytest.mark.in_turn

SECRET = "sk-live-do-not-show-me"
LONG_AGO = dt.datetime(2001, 2, 3, 4, 5, 6, 789012, dt.UTC)
ID, OTHER_ID = uuid.UUID(int=1), uuid.UUID(int=2)

# What a row needs, table by table; parents first.
REQUIRED: dict[str, dict[str, Any]] = {
    "service_providers": {"name": "first", "base_url": "https://example.org", "protocol": "openai"},
    "model_mappings": {"requested_model": "small"},
    "model_mapping_providers": {"requested_model": "small", "provider_id": 1, "target_model_name": "small-1"},
    "api_keys": {"key_name": "client", "key_value": "presented"},
    "request_logs": {"request_time": "2001-02-03 04:05:06"},
    "request_log_details": {"log_id": 1},
    "key_value_store": {"key": "session", "value": "{}"},
    "users": {"id": ID.hex, "github_user_id": 2**40, "updated_at": "2001-02-03 04:05:06"},
    "service_registry": {
        "id": ID.hex,
        "service_identifier": "mailer",
        "hashed_api_key": "$2b$",
        "updated_at": "2001-02-03 04:05:06",
    },
    "service_audit_logs": {"id": ID.hex, "service_id": ID.hex, "user_id": ID.hex, "action": "fetch"},
    "revoked_tokens": {
        "id": ID.hex,
        "jti": "token",
        "user_id": ID.hex,
        "token_issued_at": "2001-02-03 04:05:06",
        "token_expires_at": "2001-02-04 04:05:06",
    },
    "jwt_key_rotation": {
        "id": ID.hex,
        "key_identifier": "first",
        "key_type": "RS256",
        "last_rotated_at": "2001-02-03 04:05:06",
        "updated_at": "2001-02-03 04:05:06",
    },
}
PRICES = dict.fromkeys(["input_price", "output_price", "billing_mode", "tiered_pricing"]) | {
    "cache_billing_enabled": False,
    "cache_creation_input_price": None,
}
DEFAULTS: dict[type[Base], dict[str, Any]] = {
    ServiceProvider: {"api_type": "chat", "proxy_enabled": False, "is_active": True, "api_key": None}
    | {"response_timeout_seconds": 1800},
    ModelMapping: {"strategy": "round_robin", "model_type": "chat", "is_active": True} | PRICES,
    ModelMappingProvider: {"priority": 0, "weight": 1, "is_active": True, "paused_until": None} | PRICES,
    ApiKey: {"is_active": True, "last_used_at": None, "record_details": True, "is_mcp_admin": False, "key_hash": None},
    RequestLog: {"retry_count": 0, "is_stream": False, "request_body": None, "is_completed": True, "user_id": None},
    RequestLogDetail: {"request_body": None, "error_info": None},
    KeyValue: {"expires_at": None},
    User: {"is_whitelisted": False, "github_access_token": None, "github_refresh_token": None},
    ServiceRegistry: {"allowed_scopes": [], "is_active": True, "description": None},
    ServiceAuditLog: {"success": True, "error_message": None},
    RevokedToken: {"revoked_by": None, "reason": None},
    JwtKeyRotation: {"is_active": True, "next_rotation_due": None, "metadata_text": None},
}
GATEWAY = [ServiceProvider, ModelMapping, ModelMappingProvider, KeyValue]
AUTH = [User, ServiceRegistry, JwtKeyRotation]

CONSTRAINTS = {
    "service_providers": {"service_providers_pkey", "service_providers_name_key"},
    "model_mappings": {"model_mappings_pkey"},
    "model_mapping_providers": {
        "model_mapping_providers_pkey",
        "model_mapping_providers_requested_model_fkey",
        "model_mapping_providers_provider_id_fkey",
    },
    "api_keys": {"api_keys_pkey", "api_keys_key_name_key", "api_keys_key_value_key"},
    "request_logs": {"request_logs_pkey", "request_logs_api_key_id_fkey"},
    "request_log_details": {"request_log_details_pkey", "request_log_details_log_id_fkey"},
    "key_value_store": {"key_value_store_pkey"},
    "users": {"users_pkey", "users_github_user_id_key"},
    "service_registry": {"service_registry_pkey", "service_registry_service_identifier_key"},
    "service_audit_logs": {"service_audit_logs_pkey"},
    "revoked_tokens": {"revoked_tokens_pkey", "revoked_tokens_jti_key"},
    "jwt_key_rotation": {"jwt_key_rotation_pkey", "jwt_key_rotation_key_identifier_key"},
}
INDEXES = {
    "request_logs": {
        "idx_request_logs_time": ["request_time"],
        "idx_request_logs_time_model": ["request_time", "requested_model"],
        "idx_request_logs_time_provider": ["request_time", "provider_id"],
        "idx_request_logs_time_status": ["request_time", "response_status"],
        "idx_request_logs_time_apikey": ["request_time", "api_key_id"],
        "idx_request_logs_model": ["requested_model"],
        "idx_request_logs_api_key": ["api_key_id"],
        "idx_request_logs_time_user_id": ["request_time", "user_id"],
        "idx_request_logs_user_id": ["user_id"],
        "idx_request_logs_trace_id_id": ["trace_id", "id"],
        "idx_request_logs_completed_time": ["is_completed", "request_time"],
    },
    "request_log_details": {"idx_request_log_details_time": ["request_time"]},
    "api_keys": {"api_keys_key_hash_idx": ["key_hash"]},
    "key_value_store": {"idx_kv_expires_at": ["expires_at"]},
    "service_registry": {
        "service_registry_service_identifier_idx": ["service_identifier"],
        "service_registry_is_active_idx": ["is_active"],
    },
    "service_audit_logs": {
        "service_audit_logs_service_id_idx": ["service_id"],
        "service_audit_logs_user_id_idx": ["user_id"],
        "service_audit_logs_created_at_idx": ["created_at"],
        "service_audit_logs_success_idx": ["success"],
    },
    "revoked_tokens": {
        f"revoked_tokens_{name}_idx": [name] for name in ("jti", "user_id", "token_expires_at", "revoked_at")
    },
    "jwt_key_rotation": {
        f"jwt_key_rotation_{name}_idx": [name] for name in ("key_identifier", "is_active", "next_rotation_due")
    },
}
# nn: NOT NULL. =x: server default.
PRICE_COLUMNS = """
    input_price numeric(12,4); output_price numeric(12,4); billing_mode varchar(50)
    per_request_price numeric(12,4); per_image_price numeric(12,4); tiered_pricing json
    cache_billing_enabled boolean nn =false; cached_input_price numeric(12,4); cached_output_price numeric(12,4)
    cache_creation_input_price numeric(12,4)
"""
GATEWAY_TIMES = """
    created_at timestamp nn =timezone('utc', CURRENT_TIMESTAMP)
    updated_at timestamp nn =timezone('utc', CURRENT_TIMESTAMP)
"""
AUTH_TIMES = "created_at timestamptz(6) nn =CURRENT_TIMESTAMP; updated_at timestamptz(6) nn"
COLUMNS = {
    "service_providers": f"""
        id integer nn =serial; name varchar(100) nn; remark text; base_url varchar(500) nn; protocol varchar(50) nn
        api_type varchar(50) nn ='chat'; api_key text; extra_headers json; provider_options json
        proxy_enabled boolean nn =false; proxy_url text; is_active boolean nn =true
        response_timeout_seconds integer nn =1800; {GATEWAY_TIMES}
    """,
    "model_mappings": f"""
        requested_model varchar(100) nn; strategy varchar(50) nn ='round_robin'; model_type varchar(50) nn ='chat'
        matching_rules json; capabilities json; {PRICE_COLUMNS}; is_active boolean nn =true; {GATEWAY_TIMES}
    """,
    "model_mapping_providers": f"""
        id integer nn =serial; requested_model varchar(100) nn; provider_id integer nn
        target_model_name varchar(100) nn; provider_rules json; {PRICE_COLUMNS}; priority integer nn =0
        weight integer nn =1; paused_until timestamp; is_active boolean nn =true; {GATEWAY_TIMES}
    """,
    "api_keys": """
        id integer nn =serial; key_name varchar(100) nn; key_value varchar(100) nn; is_active boolean nn =true
        created_at timestamp nn =timezone('utc', CURRENT_TIMESTAMP); last_used_at timestamp
        record_details boolean nn =true; is_mcp_admin boolean nn =false; key_hash text
    """,
    "request_logs": """
        id bigint nn =serial; request_time timestamp nn; api_key_id integer; api_key_name varchar(100)
        requested_model varchar(100); target_model varchar(100); provider_id integer; provider_name varchar(100)
        retry_count integer nn =0; matched_provider_count integer; first_byte_delay_ms integer; total_time_ms integer
        input_tokens integer; output_tokens integer; total_cost numeric(12,4); input_cost numeric(12,4)
        output_cost numeric(12,4); cached_input_cost numeric(12,4); cached_output_cost numeric(12,4)
        price_source varchar(50); request_headers json; response_headers json; request_body json
        response_status integer; response_body text; usage_details json; error_info text; trace_id varchar(100)
        is_stream boolean nn =false; request_path varchar(200); request_method varchar(10); upstream_url varchar(500)
        request_protocol varchar(50); supplier_protocol varchar(50); converted_request_body json
        upstream_response_body text; request_url varchar(1000); user_id varchar(255); is_completed boolean nn =true
    """,
    "request_log_details": """
        log_id bigint nn; request_body json; request_headers json; response_headers json; converted_request_body json
        usage_details json; response_body text; upstream_response_body text; error_info text
        request_time timestamp nn =timezone('utc', CURRENT_TIMESTAMP)
    """,
    "key_value_store": f"key varchar(255) nn; value text nn; expires_at timestamp; {GATEWAY_TIMES}",
    "users": f"""
        id uuid nn; github_user_id bigint nn; github_access_token text; github_refresh_token text
        github_token_expires_at timestamptz(6); is_whitelisted boolean nn =false; {AUTH_TIMES}
    """,
    "service_registry": f"""
        id uuid nn; service_identifier varchar(255) nn; hashed_api_key text nn; allowed_scopes text[] =ARRAY[]::text[]
        is_active boolean nn =true; description text; {AUTH_TIMES}; last_used_at timestamptz(6)
        last_api_key_rotated_at timestamptz(6)
    """,
    "service_audit_logs": """
        id uuid nn; service_id uuid nn; user_id uuid nn; action varchar(100) nn; success boolean nn =true
        error_message text; ip_address varchar(45); user_agent text; created_at timestamptz(6) nn =CURRENT_TIMESTAMP
    """,
    "revoked_tokens": """
        id uuid nn; jti varchar(255) nn; user_id uuid nn; token_issued_at timestamptz(6) nn
        token_expires_at timestamptz(6) nn; revoked_at timestamptz(6) nn =CURRENT_TIMESTAMP; revoked_by varchar(255)
        reason text
    """,
    "jwt_key_rotation": f"""
        id uuid nn; key_identifier varchar(255) nn; key_type varchar(50) nn; last_rotated_at timestamptz(6) nn
        next_rotation_due timestamptz(6); is_active boolean nn =true; rotation_interval_days integer; metadata text
        {AUTH_TIMES}
    """,
}
COLUMNS_QUERY = r"""
    SELECT relname, attname || ' ' || replace(replace(regexp_replace(regexp_replace(
        format_type(atttypid, atttypmod), 'timestamp(.*) with time zone', 'timestamptz\1'),
        ' without time zone', ''), 'character varying', 'varchar'), ' ', '')
        || CASE WHEN attnotnull THEN ' nn' ELSE '' END
        || coalesce(' =' || regexp_replace(regexp_replace(regexp_replace(pg_get_expr(adbin, adrelid),
        '^nextval.*', 'serial'), '::character varying', ''), '''utc''::text', '''utc'''), '')
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef ON adrelid = c.oid AND adnum = attnum
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
"""


@pytest.fixture(autouse=True)
def keys() -> Iterator[None]:
    """Gives the models keys that no setting holds."""
    with API_KEYS.override(ENC_CIPHER.keyring), GITHUB_TOKENS.override(TOKEN_CIPHER.keyring):
        yield


@pytest.fixture(scope="module", params=DATABASES)
def tables_url(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a database whose tables `create_all` made, on each kind of database in turn."""
    with database(request.param, servers, tmp_path_factory.mktemp("made")) as url:
        Base.metadata.create_all(db.migration_engine(url))
        yield url


@pytest.fixture
def made_url(tables_url: str) -> Iterator[str]:
    """The same, emptied after the test; numbers begin again with 1."""
    yield tables_url
    with db.migration_engine(tables_url).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text(f"TRUNCATE {', '.join(REQUIRED)} RESTART IDENTITY"))
        else:
            for table in reversed(REQUIRED):
                connection.execute(sa.text(f"DELETE FROM {table}"))


@pytest.fixture
def engine(made_url: str) -> Iterator[sa.Engine]:
    engine = db.engine(made_url)
    yield engine
    engine.dispose()


@pytest.fixture
def elsewhere(made_url: str) -> Iterator[sa.Engine]:
    """An engine whose sessions are three and a half hours behind UTC, where a database has such a thing."""
    options = {"options": "-c timezone=XYZ3:30"} if made_url.startswith("postgresql") else {}
    engine = db.engine(made_url, connect_args=options)
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


def provider(**values: Any) -> ServiceProvider:
    return ServiceProvider(**REQUIRED["service_providers"] | values)


def user(**values: Any) -> User:
    return User(**{"id": ID, "github_user_id": 1} | values)


def insert_required(url: str, *tables: str) -> None:
    for table in tables or REQUIRED:
        insert(url, table, REQUIRED[table])


def test_every_table_has_its_model() -> None:
    assert {mapper.local_table.key for mapper in Base.registry.mappers} == set(Base.metadata.tables) == set(REQUIRED)  # type: ignore[attr-defined]


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=str)
def test_every_table_and_column_has_a_comment_of_one_sentence(table: sa.Table) -> None:
    for item in [table, *table.columns]:
        comment = item.comment or ""
        assert comment.endswith("."), item
        assert comment[0].isupper() or comment.startswith("bcrypt"), item
        assert ". " not in comment, item
        assert "\n" not in comment, item


def test_a_repr_is_the_class_and_the_primary_key(session: Session, statements: list[str]) -> None:
    new = [
        provider(id=7, api_key=SECRET),
        user(github_access_token=SECRET, github_refresh_token=SECRET),
        ApiKey(id=8, key_name="client", key_value=SECRET),
        ModelMapping(requested_model="small"),
        ServiceRegistry(id=ID, service_identifier="mailer", hashed_api_key=SECRET),
        ServiceAuditLog(id=ID, service_id=ID, user_id=ID, action="fetch"),
        RequestLog(id=9, request_time=LONG_AGO, request_headers={"Authorization": SECRET}),
    ]
    expected = (
        f"[ServiceProvider(id=7), User(id={ID!r}), ApiKey(id=8), ModelMapping(requested_model='small'), "
        f"ServiceRegistry(id={ID!r}), ServiceAuditLog(id={ID!r}), RequestLog(id=9)]"
    )
    assert repr(new) == expected
    session.add_all(new)
    session.commit()
    statements.clear()
    assert repr(new) == str(new) == expected
    session.close()
    assert repr(new) == expected
    assert statements == []


def test_the_repr_of_a_new_instance_says_that_it_has_no_key() -> None:
    assert repr(provider(api_key=SECRET)) == "ServiceProvider(id=None)"
    assert repr(User()) == "User(id=None)"


aware = st.datetimes(
    dt.datetime(1900, 1, 1),  # noqa: DTZ001 - hypothesis wants it so, and gives the zone itself
    dt.datetime(2200, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))),
)


@pytest.mark.exhaustive
@hypothesis.given(time=aware)
@hypothesis.settings(
    deadline=None, max_examples=30, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_a_time_comes_back_in_utc(elsewhere: sa.Engine, time: dt.datetime) -> None:
    with Session(elsewhere) as session:
        log, someone = RequestLog(request_time=time), user(id=uuid.uuid4(), github_token_expires_at=time)
        session.add_all([log, someone])
        session.flush()
        session.expire_all()
        for found in (log.request_time, someone.github_token_expires_at):
            assert found == time
            assert found.tzinfo is dt.UTC
        queries = [
            sa.select(RequestLog.id).where(RequestLog.request_time == time, RequestLog.id == log.id),
            sa.select(User.id).where(User.github_token_expires_at == time, User.id == someone.id),
        ]
        assert [session.execute(query).scalar_one() for query in queries] == [log.id, someone.id]


@pytest.mark.parametrize("table", ["request_logs", "users"])
def test_a_time_is_stored_in_utc(elsewhere: sa.Engine, made_url: str, table: str) -> None:
    east = LONG_AGO.astimezone(dt.timezone(dt.timedelta(hours=5)))
    with Session(elsewhere) as session:
        session.add_all([RequestLog(request_time=east), user(github_token_expires_at=east)])
        session.commit()
    column = {"request_logs": "request_time", "users": "github_token_expires_at"}[table]
    stored = f"({column} AT TIME ZONE 'UTC')" if made_url.startswith("postgresql") and table == "users" else column
    assert rows(made_url, f"SELECT CAST({stored} AS varchar) FROM {table}") == [("2001-02-03 04:05:06.789012",)]


@pytest.mark.parametrize(
    "statement",
    [
        sa.insert(RequestLog).values(request_time=LONG_AGO.replace(tzinfo=None)),
        sa.insert(User).values(id=ID, github_user_id=1, github_token_expires_at=LONG_AGO.replace(tzinfo=None)),
        sa.select(RequestLog).where(RequestLog.request_time < LONG_AGO.replace(tzinfo=None)),
        sa.update(ApiKey).values(last_used_at=LONG_AGO.replace(tzinfo=None)),
    ],
    ids=["timestamp", "timestamptz", "where", "update"],
)
def test_a_naive_time_is_refused(session: Session, statement: sa.Executable) -> None:
    message = r"\(builtins\.ValueError\) a naive datetime was given: use an aware one, such as datetime\.now\(UTC\)"
    with pytest.raises(sa.exc.StatementError, match=message):
        session.execute(statement)


@pytest.mark.parametrize("model", DEFAULTS)
def test_a_raw_insert_needs_the_required_columns_only(engine: sa.Engine, model: type[Base]) -> None:
    url = engine.url.render_as_string(hide_password=False)
    insert_required(url)
    with Session(engine) as session:
        found = session.scalars(sa.select(model)).one()
        assert {name: getattr(found, name) for name in DEFAULTS[model]} == DEFAULTS[model]


# The one column that details need is an INTEGER PRIMARY KEY, for which SQLite takes NULL as the next number.
@pytest.mark.parametrize("table", [table for table in REQUIRED if table != "request_log_details"])
def test_a_required_column_is_required(made_url: str, table: str) -> None:
    parents = ("service_providers", "model_mappings", "request_logs")
    insert_required(made_url, *[parent for parent in parents if parent != table])
    for name in REQUIRED[table]:
        with pytest.raises(sa.exc.IntegrityError, match=name):
            insert(made_url, table, REQUIRED[table] | {name: None})


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.mark.parametrize("model", [*GATEWAY, ApiKey, *AUTH])
def test_created_at_is_the_time_in_utc_by_default(elsewhere: sa.Engine, model: Any) -> None:
    before = now().replace(microsecond=0)
    with elsewhere.begin() as connection:
        for table, record in REQUIRED.items():
            names = ", ".join(record)
            statement = f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in record)})"
            connection.execute(sa.text(statement), record)
    with Session(elsewhere) as session:
        found = session.scalars(sa.select(model)).one()
        assert before <= found.created_at <= now()
        if model in GATEWAY:
            assert found.updated_at == found.created_at


def test_nothing_is_null_and_not_a_json_null(session: Session) -> None:
    session.add_all([provider(id=1, extra_headers=None), provider(id=2, name="second", extra_headers={})])
    session.add(ServiceRegistry(id=ID, service_identifier="mailer", hashed_api_key="", allowed_scopes=["read"]))
    third = REQUIRED["service_providers"] | {"id": 3, "name": "third", "extra_headers": None}
    session.execute(sa.insert(ServiceProvider), [third])
    session.get_one(ServiceRegistry, ID).allowed_scopes = None
    session.commit()
    nulls = session.execute(sa.text("SELECT extra_headers IS NULL FROM service_providers ORDER BY id")).scalars()
    assert [bool(null) for null in nulls] == [True, False, True]
    assert session.execute(sa.text("SELECT allowed_scopes IS NULL FROM service_registry")).scalar()
    assert session.get_one(ServiceRegistry, ID).allowed_scopes is None


json_values = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner | st.none(), max_size=3) | st.dictionaries(st.text(), inner | st.none(), max_size=3),
)


@hypothesis.given(
    value=json_values,
    scopes=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=3),
)
@hypothesis.settings(
    deadline=None, max_examples=30, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_json_and_lists_come_back(session: Session, value: Any, scopes: list[str]) -> None:
    log = RequestLog(request_time=LONG_AGO, request_body=value)
    name = str(uuid.uuid4())
    service = ServiceRegistry(service_identifier=name, hashed_api_key="", allowed_scopes=scopes)
    session.add_all([log, service])
    session.flush()
    session.expire_all()
    assert (log.request_body, service.allowed_scopes) == (value, scopes)


def test_money_is_exact_to_the_ten_thousandth(session: Session) -> None:
    session.add(ModelMapping(requested_model="small", input_price=Decimal("12345678.9012")))
    session.commit()
    assert session.get_one(ModelMapping, "small").input_price == Decimal("12345678.9012")


def routing(session: Session) -> ServiceProvider:
    """A provider that serves one model under two names, and a request that it served."""
    first, second = provider(id=1), provider(id=2, name="second")
    model = ModelMapping(requested_model="small", providers=[])
    for target in ("small-1", "small-2"):
        model.providers.append(ModelMappingProvider(provider=first, target_model_name=target))
    model.providers.append(ModelMappingProvider(provider=second, target_model_name="small-3"))
    session.add(model)
    session.commit()
    return first


def test_relationships_lead_both_ways(session: Session) -> None:
    first = routing(session)
    client = ApiKey(key_name="client", key_value="presented")
    details = RequestLogDetail(request_body=["hello"], response_headers={}, error_info="none")
    session.add(RequestLog(request_time=LONG_AGO, provider=first, api_key=client, details=details))
    session.commit()
    assert [served.target_model_name for served in first.models] == ["small-1", "small-2"]
    assert {served.mapping.requested_model for served in first.models} == {"small"}
    assert len(session.get_one(ModelMapping, "small").providers) == 3
    log = session.scalars(sa.select(RequestLog)).one()
    assert (log.provider, log.api_key, log.details) == (first, client, details)
    assert (details.log, details.log_id, details.request_body) == (log, log.id, ["hello"])


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("DELETE FROM service_providers WHERE id = 1", ["small-3"]),
        ("DELETE FROM model_mappings", []),
    ],
    ids=["provider", "mapping"],
)
@pytest.mark.parametrize("loaded", [False, True], ids=["unloaded", "loaded"])
@pytest.mark.parametrize("way", ["orm", "sql"])
def test_a_deleted_parent_takes_its_children_along(
    session: Session, statement: str, left: list[str], loaded: bool, way: str
) -> None:
    first = routing(session)
    parent = first if "providers" in statement else session.get_one(ModelMapping, "small")
    if loaded:
        assert (parent.models if isinstance(parent, ServiceProvider) else parent.providers) != []
    if way == "orm":
        session.delete(parent)
    else:
        session.execute(sa.text(statement))
    session.commit()
    assert [*session.scalars(sa.select(ModelMappingProvider.target_model_name))] == left


def test_a_client_with_logs_stays_and_a_provider_may_go(made_url: str, session: Session) -> None:
    insert_required(made_url, "service_providers", "api_keys")
    insert(made_url, "request_logs", REQUIRED["request_logs"] | {"provider_id": 1, "api_key_id": 1})
    log = session.scalars(sa.select(RequestLog)).one()
    session.delete(session.scalars(sa.select(ServiceProvider)).one())
    session.commit()
    session.expire_all()
    assert (log.provider_id, log.provider) == (1, None)
    with pytest.raises(sa.exc.IntegrityError):
        session.execute(sa.text("DELETE FROM api_keys"))


@pytest.mark.parametrize("way", ["orm", "sql"])
def test_details_go_with_their_log(made_url: str, session: Session, way: str) -> None:
    insert_required(made_url, "request_logs", "request_log_details")
    log = session.scalars(sa.select(RequestLog)).one()
    if way == "orm":
        session.delete(log)
    else:
        session.execute(sa.text("DELETE FROM request_logs"))
    session.commit()
    assert session.scalars(sa.select(RequestLogDetail)).all() == []


def numbered(model: Any, number: int) -> dict[str, Any]:
    """What an instance of an auth model needs, different for each number."""
    if model is User:
        return {"github_user_id": number}
    if model is JwtKeyRotation:
        return {"key_identifier": str(number), "key_type": "RS256", "last_rotated_at": LONG_AGO}
    return {"service_identifier": str(number), "hashed_api_key": ""}


def by_instance(session: Session, model: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(session.get_one(model, ID), name, value)


def by_update(session: Session, model: Any, values: dict[str, Any]) -> None:
    session.execute(sa.update(model).where(model.id == ID).values(values))


def by_core(session: Session, model: Any, values: dict[str, Any]) -> None:
    table = model.__table__
    session.execute(sa.update(table).where(table.c.id == ID).values(values))


def by_sql(session: Session, model: Any, values: dict[str, Any]) -> None:
    assigned = ", ".join(f"{name} = :{name}" for name in values)
    statement = f"UPDATE {model.__tablename__} SET {assigned} WHERE id = :id"
    session.execute(sa.text(statement), values | {"id": ID.hex})


def by_sql_with_a_time_of_its_own(session: Session, model: Any, values: dict[str, Any]) -> None:
    by_sql(session, model, values | {"updated_at": "1999-01-01 00:00:00"})


@pytest.mark.parametrize(
    "change", [by_instance, by_update, by_core, by_sql, by_sql_with_a_time_of_its_own], ids=lambda way: way.__name__
)
@pytest.mark.parametrize(
    ("model", "values"),
    [
        (User, {"is_whitelisted": True}),
        (ServiceRegistry, {"description": "sends mail"}),
        (JwtKeyRotation, {"rotation_interval_days": 90}),
    ],
)
def test_a_trigger_moves_updated_at(session: Session, model: Any, values: dict[str, Any], change: Any) -> None:
    for number, key in enumerate([ID, OTHER_ID]):
        session.add(model(id=key, created_at=LONG_AGO, updated_at=LONG_AGO, **numbered(model, number)))
    session.commit()
    changed, other = session.get_one(model, ID), session.get_one(model, OTHER_ID)
    assert changed.updated_at == other.updated_at == LONG_AGO
    session.commit()
    before = now().replace(microsecond=0)
    change(session, model, values)
    session.commit()
    assert before <= changed.updated_at <= now()
    assert {name: getattr(changed, name) for name in values} == values
    assert (changed.created_at, other.updated_at) == (LONG_AGO, LONG_AGO)


def test_the_new_updated_at_is_read_on_the_next_access(session: Session) -> None:
    session.add(user(updated_at=LONG_AGO))
    session.commit()
    someone = session.get_one(User, ID)
    someone.is_whitelisted = True
    session.flush()
    assert someone.updated_at > LONG_AGO


@pytest.mark.parametrize("model", AUTH)
def test_updated_at_never_sorts_before_created_at(
    session: Session, model: type[User | ServiceRegistry | JwtKeyRotation]
) -> None:
    def out_of_order() -> int:
        return session.scalar(sa.text(f"SELECT count(*) FROM {model.__tablename__} WHERE updated_at < created_at")) or 0

    def change() -> None:
        session.execute(sa.text(f"UPDATE {model.__tablename__} SET created_at = created_at"))

    for number in range(5):
        session.add(model(**numbered(model, number)))
        session.commit()
        assert out_of_order() == 0
        change()
        assert out_of_order() == 0
        session.commit()
        change()
        session.commit()
        assert out_of_order() == 0


def test_the_gateways_updated_at_is_moved_by_the_orm(session: Session) -> None:
    session.add_all([provider(id=number, name=str(number), updated_at=LONG_AGO) for number in (1, 2, 3)])
    session.commit()
    first, second, third = session.scalars(sa.select(ServiceProvider).order_by(ServiceProvider.id))
    before = now()
    first.remark = "changed"
    session.flush()
    session.execute(sa.update(ServiceProvider).where(ServiceProvider.id == 2).values(remark="changed"))
    session.commit()
    assert before <= first.updated_at <= second.updated_at <= now()
    assert third.updated_at == LONG_AGO


def test_the_models_work_in_asyncio(made_url: str) -> None:
    async def use() -> None:
        engine = db.async_engine(made_url)
        try:
            async with AsyncSession(engine) as session:
                someone = user(github_access_token=SECRET, updated_at=LONG_AGO)
                model = ModelMapping(requested_model="small")
                model.providers = [ModelMappingProvider(provider=provider(api_key=SECRET), target_model_name="small-1")]
                session.add_all([someone, model])
                await session.commit()
            async with AsyncSession(engine) as session:
                someone = await session.get_one(User, ID)
                assert (someone.github_access_token, someone.github_refresh_token) == (SECRET, None)
                someone.github_refresh_token = SECRET
                await session.commit()
                await session.refresh(someone)
                assert someone.github_refresh_token == SECRET
                assert someone.updated_at > LONG_AGO
                assert someone.updated_at.tzinfo is dt.UTC
                chain = selectinload(ModelMapping.providers).selectinload(ModelMappingProvider.provider)
                model = (await session.scalars(sa.select(ModelMapping).options(chain))).one()
                assert model.providers[0].provider.api_key == SECRET
                assert await session.scalar(sa.select(ServiceProvider.api_key)) == SECRET
        finally:
            await engine.dispose()

    asyncio.run(use())
    stored = rows(made_url, "SELECT github_access_token, github_refresh_token FROM users")
    assert [TOKEN_CIPHER.open(value).plaintext for value in stored[0]] == [SECRET, SECRET]


def constraint_names(inspector: sa.Inspector, table: str) -> set[str | None]:
    named = [
        inspector.get_pk_constraint(table),
        *inspector.get_unique_constraints(table),
        *inspector.get_foreign_keys(table),
        *inspector.get_check_constraints(table),
    ]
    return {item["name"] for item in named}


def index_columns(inspector: sa.Inspector, table: str) -> dict[str | None, list[str | None]]:
    found = inspector.get_indexes(table)
    return {index["name"]: index["column_names"] for index in found if "duplicates_constraint" not in index}


def assert_names(url: str) -> None:
    inspector = sa.inspect(db.migration_engine(url))
    assert {table: constraint_names(inspector, table) for table in CONSTRAINTS} == CONSTRAINTS
    assert {
        table: index_columns(inspector, table) for table in CONSTRAINTS if index_columns(inspector, table)
    } == INDEXES


def test_create_all_makes_the_names_of_the_running_databases(made_url: str) -> None:
    assert_names(made_url)


def test_the_history_makes_the_names_of_the_running_databases(head_url: str) -> None:
    assert_names(head_url)


def test_create_all_makes_the_columns_of_the_running_databases(postgres_url: str) -> None:
    Base.metadata.create_all(db.migration_engine(postgres_url))
    found: dict[str, set[str]] = {}
    for table, column in rows(postgres_url, COLUMNS_QUERY):
        found.setdefault(table, set()).add(column)
    expected = {
        table: {" ".join(line.split()) for line in text.replace(";", "\n").splitlines() if line.strip()}
        for table, text in COLUMNS.items()
    }
    assert found == expected
