"""Ciphers and keyed hashes of the columns of secrets; keys are read from the settings when a value first needs them."""

from app import settings

API_KEYS = settings.cipher("enc", "ENCRYPTION_KEY")
GITHUB_TOKENS = settings.cipher("token", "GITHUB_TOKEN_ENCRYPTION_KEY")
CLIENT_KEY_HASHES = settings.lookup_hash("API_KEY_HASH_KEY")
