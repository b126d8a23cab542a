"""Text to bytes and back: UTF-8, and base64 in its one canonical spelling.

What can't be converted is None, and raising is left to the caller: as the context of an error that is raised inside an
`except`, a Unicode error would show the whole text.
"""

import binascii
from collections.abc import Iterable, Sequence

TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
_FROM_URLSAFE = bytes.maketrans(b"-_+/", b"+/  ")  # what is of the other alphabet is of neither


def require_text(value: str, of: str) -> str:
    """Gives the value back.

    Raises:
        TypeError: it isn't a str; the message has its type, and not the value.
    """
    if not isinstance(value, str):
        raise TypeError(f"{of} must be a str, not {type(value).__name__}")
    return value


def encode_utf8(text: str) -> bytes | None:
    """The text as UTF-8; None for half a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def decode_utf8(data: bytes) -> str | None:
    """The text of some UTF-8; None for other bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


# binascii is what `base64` calls, after looking at each argument anew: it takes half the time of a decryption.
def encode_base64(data: bytes, altchars: bytes = b"+/") -> str:
    """The bytes in base64, with padding."""
    digits = binascii.b2a_base64(data, newline=False)
    return (digits if altchars == b"+/" else digits.translate(TO_URLSAFE)).decode("ascii")


def decode_base64(text: str, altchars: bytes = b"+/") -> bytes | None:
    """The bytes of base64 in its one canonical spelling; None for all others, which `a2b_base64` would read as well."""
    try:
        digits = text.encode("ascii")
        if altchars != b"+/":
            digits = digits.translate(_FROM_URLSAFE)
        data = binascii.a2b_base64(digits)
    except ValueError:
        return None
    return data if binascii.b2a_base64(data, newline=False) == digits else None


# A page at once: what is called once for each value then is written in C.
def encode_base64_page(page: Iterable[bytes], altchars: bytes = b"+/") -> list[str]:
    """What `encode_base64` makes of each."""
    lines = b"".join(map(binascii.b2a_base64, page))  # each with a line's end
    return (lines if altchars == b"+/" else lines.translate(TO_URLSAFE)).decode("ascii").split("\n")[:-1]


def decode_base64_page(page: Sequence[str], altchars: bytes = b"+/") -> list[bytes] | None:
    """What `decode_base64` makes of each; None if it is None of any."""
    try:
        lines = "\n".join([*page, ""]).encode("ascii")
        if altchars != b"+/":
            lines = lines.translate(_FROM_URLSAFE)
        found = list(map(binascii.a2b_base64, lines.split(b"\n")[:-1]))
    except ValueError:
        return None
    return found if len(found) == len(page) and b"".join(map(binascii.b2a_base64, found)) == lines else None
