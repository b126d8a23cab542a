"""A room; its face comes next."""
