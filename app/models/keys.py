"""Which cipher each column of secrets uses; keys and policy come from the settings when they are first needed."""

from app import settings

API_KEYS = settings.cipher("enc", "ENCRYPTION_KEY")
GITHUB_TOKENS = settings.cipher("token", "GITHUB_TOKEN_ENCRYPTION_KEY")
