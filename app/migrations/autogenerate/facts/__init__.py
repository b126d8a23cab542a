"""Facts decide: what differs between the models and a database, and the operations that end it."""
