"""Upkeep of declared tables: partitions ahead, and the end of rows that are older than they are kept."""
