"""Database URLs: read, translated, checked, and shown without secrets.

What other tools write is understood where it has one meaning here; the rest is refused by name. No message shows a part
of a URL that may be a secret.
"""

from pathlib import Path
from urllib.parse import unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.errors import SettingsError

_ESCAPE = "DATABASE_URL has a user or password with a sign that ends it: write @ as %40, : as %3A, / as %2F, ? as %3F"

# What Python's sqlite3 takes; SQLite's own options it reads from a URI only.
_OF_SQLITE = {"timeout", "detect_types", "isolation_level", "check_same_thread", "cached_statements", "autocommit"}

_SYNC_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+asyncpg": "postgresql+psycopg",
    "postgresql+psycopg_async": "postgresql+psycopg",
    "sqlite+aiosqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
}


def parse(text: str | URL) -> URL:
    """Parses a database URL and sets this package's driver: psycopg, or Python's own sqlite3.

    What other tools write is understood where it has one meaning: `postgres://`, `sqlite:file.db`, `ssl=require`,
    quotes and blanks around the whole.

    Args:
        text: a database URL.

    Raises:
        SettingsError: the text isn't a URL of PostgreSQL or SQLite; the message shows no part that may be a secret.
    """
    if isinstance(text, str):
        if "\0" in unquote(text):  # PostgreSQL's client would cut off what follows, and take its defaults for it
            raise SettingsError("DATABASE_URL holds a zero byte (%00): remove it.")
        text = _in_our_words(text)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError(
            "DATABASE_URL isn't a database URL: write postgresql://user:password@host/name or sqlite:///file.db"
        ) from None
    url = url.set(drivername=_SYNC_DRIVERS.get(url.drivername, url.drivername))
    if url.get_backend_name() not in ("postgresql", "sqlite"):
        raise SettingsError(f"DATABASE_URL names {url.get_backend_name()}: only postgresql and sqlite are known here.")
    if "@" in (url.host or ""):
        raise SettingsError(_ESCAPE)
    if not url.query:
        return url
    return _with_known_options(url) if "psycopg" in url.drivername else _with_heard_options(url)


def sqlite_file(url: URL) -> Path | None:
    """Returns the file of a SQLite URL; None for PostgreSQL and for a database in memory."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or ":memory:" in name or url.query.get("mode") == "memory":
        return None
    return Path(unquote(name.removeprefix("file:"))) if name.startswith("file:") else Path(name)


def shown(url: URL) -> str:
    """Returns the URL for people, without the password, which may also stand among the options."""
    path = sqlite_file(url)
    address = {name: value for name, value in url.query.items() if name in ("host", "port")}
    return f"sqlite:///{path}" if path is not None else url.set(query=address).render_as_string()


def quoted(path: Path) -> str:
    """Returns a path as it stands in a URL `file:…` of SQLite."""
    return path.absolute().as_posix().replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _in_our_words(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme == "jdbc":
        raise SettingsError("DATABASE_URL is one of JDBC: write postgresql://user:password@host/name")
    if scheme.partition("+")[0] == "sqlite" and rest not in ("", "//") and not rest.startswith("///"):
        rest = f"///{rest.removeprefix('//')}"  # SQLite has no host: what stands there is the file
    options = rest.partition("?")[2]
    if scheme.startswith("postgres") and (
        "@" in options or not all("=" in part for part in options.split("&") if part)
    ):
        raise SettingsError(_ESCAPE)
    return f"{scheme}{colon}{rest}"


def _with_known_options(url: URL) -> URL:
    import psycopg

    query = {"sslmode" if name == "ssl" else name: value for name, value in url.query.items()}
    if query.get("sslmode") == "true":
        query["sslmode"] = "require"
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    for name in sorted({*query} - known):
        raise SettingsError(f"DATABASE_URL has the option {name}, which PostgreSQL's client doesn't know: remove it.")
    return url.set(query=query)


def _with_heard_options(url: URL) -> URL:
    ignored = sorted({*url.query} - _OF_SQLITE) if "uri" not in url.query else []
    if ignored:  # mode=ro, for instance, and the file would be written
        raise SettingsError(
            f"DATABASE_URL has the option {ignored[0]}, which a path ignores: remove it, or write "
            f"sqlite:///file:NAME?{ignored[0]}=…&uri=true"
        )
    return url
