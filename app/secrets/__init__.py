"""Encrypts, rotates, decrypts and counts the secrets of a table.

The jobs of `schema secrets` are in `app.secrets.jobs`, which the face leaves out: revisions need no worker processes.
"""

from app.secrets.changes import decrypt, encrypt
from app.secrets.key_check import KeySample, check_keys
from app.secrets.plaintext import count_plaintext, guard

__all__ = ["KeySample", "check_keys", "count_plaintext", "decrypt", "encrypt", "guard"]
