"""Encrypts the API keys of service_providers that are still in plaintext."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts import encrypt_columns

if __name__ == "__main__":
    sys.exit(encrypt_columns.main("service_providers", __doc__ or ""))
