"""The two ciphers of the schema, whose keys and policy come from the settings when they are first needed."""

from app import settings
from app.ciphers import ENC, TOKEN, FieldCipher, Keyring, PassphraseKey, Plaintext, RawKey


def _api_keys() -> Keyring:
    keys = settings.load().encryption_key
    return Keyring.parse(keys.name, RawKey.from_base64, keys.writing, keys.previous)


def _github_tokens() -> Keyring:
    keys = settings.load().github_token_encryption_key
    return Keyring.parse(keys.name, PassphraseKey, keys.writing, keys.previous)


def _policy() -> Plaintext:
    return settings.load().encryption_plaintext


API_KEYS = FieldCipher(ENC, _api_keys, _policy)
GITHUB_TOKENS = FieldCipher(TOKEN, _github_tokens, _policy)
