"""Encrypts, re-encrypts, decrypts and counts the secrets that a table holds."""

from app.secrets.changes import (
    check_keys,
    decrypt,
    encrypt,
    encrypting,
    finish,
    rotate,
    rotating,
    wants_decryption,
)
from app.secrets.plaintext import count_plaintext, guard, has_plaintext

__all__ = [
    "check_keys",
    "count_plaintext",
    "decrypt",
    "encrypt",
    "encrypting",
    "finish",
    "guard",
    "has_plaintext",
    "rotate",
    "rotating",
    "wants_decryption",
]
