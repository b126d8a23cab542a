"""The database schema of the LLM gateway and the GitHub auth service.

Read in this order: `models` (the tables), `encrypted` and `ciphers` (the secrets in them), `triggers`, `db` and
`settings` (how a program gets at them), `backfill` (changing many rows) and `secrets` (encrypting what is stored),
`migrations` (what happens around a revision), `cli` (the command `schema`).
"""
