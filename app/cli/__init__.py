"""The command `schema`: arguments in, text or JSON out."""
