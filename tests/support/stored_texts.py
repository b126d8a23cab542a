"""Holds texts that look like ciphertexts."""

from collections.abc import Callable
from typing import Literal

from hypothesis import strategies as st

from app.encryption import ENC, TOKEN, FieldCipher, Keyring, PassphraseKey, RawKey
from app.encryption.formats import Format
from app.encryption.keys import Key

RAW = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PASSPHRASE = "test-encryption-key-at-least-32-characters-long-for-security"
FORMATS: dict[str, Format] = {"enc": ENC, "token": TOKEN}
MAKERS: dict[str, Callable[[str, str], Key]] = {"enc": RawKey.from_base64, "token": PassphraseKey}
SECRET = "sk-live-do-not-show-me"


def cipher(
    format_name: str, *keys: str, name: str = "THE_KEY", plaintext: Literal["allow", "refuse"] = "allow"
) -> FieldCipher:
    first, *others = [MAKERS[format_name](key, name) for key in keys]
    return FieldCipher(FORMATS[format_name], Keyring(name, first, tuple(others)), plaintext)


ENC_CIPHER = cipher("enc", RAW)
TOKEN_CIPHER = cipher("token", PASSPHRASE)
# Ciphertexts that were cut, indented, doubled or edited, and what merely resembles one.
SEALED = [str(ENC_CIPHER.encrypt(SECRET)), str(TOKEN_CIPHER.encrypt(SECRET)), str(TOKEN_CIPHER.encrypt(""))]
BLANKS = [*" \t\n\r\f\v", "\x1c", "\x85", "\xa0", "\u2003", "\ufeff", "\0"]
PIECES = [
    *SEALED,
    *BLANKS,
    "enc:",
    "ENC:",
    "eNc:",
    "\uff45nc:",
    "A" * 43,
    "A" * 43 + "=",
    "_-" * 22,
    *":=+/-_",
    "%",
    "\\",
    "'",
]
hostile = st.one_of(
    st.text(),
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.builds(lambda text, cut: text[:cut], st.sampled_from(SEALED), st.integers(0, 200)),
    st.builds(
        lambda text, at, new: text[:at] + new + text[at + 1 :],
        st.sampled_from(SEALED),
        st.integers(0, 200),
        st.text(max_size=2),
    ),
    st.builds(lambda blanks, text: "".join(blanks) + text, st.lists(st.sampled_from(BLANKS)), st.sampled_from(PIECES)),
)
