"""Changes of a busy table in several revisions: the steps that take the place of one operation."""
