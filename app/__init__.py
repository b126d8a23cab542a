"""The database schema of the LLM gateway and the GitHub auth service; docs/architecture.md shows its rooms."""
