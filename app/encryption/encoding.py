"""Conversions between text and bytes: UTF-8, and base64 in its one canonical spelling.

A failed conversion returns None and the caller raises. Inside an `except` block, the Unicode error would become the
context of the new error and show the whole text.
"""

import binascii
from collections.abc import Iterable, Sequence

TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
FROM_URLSAFE = bytes.maketrans(b"-_+/", b"+/  ")  # digits of the standard alphabet become invalid


def require_text(value: str, label: str) -> str:
    """Returns the value, or raises `TypeError` if it isn't a str; the message shows its type only."""
    if not isinstance(value, str):
        raise TypeError(f"{label} must be a str, not {type(value).__name__}")
    return value


def encode_utf8(text: str) -> bytes | None:
    """Encodes text as UTF-8; returns None for half a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def decode_utf8(data: bytes) -> str | None:
    """Decodes UTF-8; returns None for other bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


# Page functions make one call for all values, so that the loop runs in C.
def encode_utf8_page(page: Sequence[str]) -> list[bytes] | None:
    """Encodes each text as `encode_utf8` does; returns None if one can't be encoded."""
    data = encode_utf8("\0".join(page))
    if data is None:
        return None
    texts = data.split(b"\0")
    # A text with a zero in it counts as two.
    return texts if len(texts) == len(page) else [text.encode() for text in page]


def encode_base64_page(page: Iterable[bytes]) -> bytes:
    """Encodes each value in base64, with padding, one a line; the last line has no end."""
    return b"".join(map(binascii.b2a_base64, page))[:-1]


def decode_base64_page(page: Sequence[bytes]) -> list[bytes] | None:
    """Decodes canonical base64; returns None if a value is spelt otherwise, which `a2b_base64` would accept too."""
    try:
        values = [*map(binascii.a2b_base64, page)]
    except ValueError:
        return None
    return values if encode_base64_page(values) == b"\n".join(page) else None
