"""The files of a new revision: what goes into each, in which order, and around which release each is run."""
