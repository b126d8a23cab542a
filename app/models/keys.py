"""Ciphers of the encrypted columns; keys and policy are read from the settings when a value first needs them."""

from app import settings

API_KEYS = settings.cipher("enc", "ENCRYPTION_KEY")
GITHUB_TOKENS = settings.cipher("token", "GITHUB_TOKEN_ENCRYPTION_KEY")
