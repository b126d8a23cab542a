"""Changes of a type that take several statements: what they mean together stands in a comment before each.

`/* type change 1f2e3d4c: ALTER TABLE t ALTER COLUMN a TYPE bigint */` begins the first statement of its start and of
its finish, which is judged as that ALTER as well. `/* type change 1f2e3d4c */` begins the others that would count as a
loss: the column that goes has its values in the other one. The number is another one in each process, so that no
comment in a revision passes for it.
"""

import re
from secrets import token_hex

_NUMBER = token_hex(4)
MARK = f"/* type change {_NUMBER} */"

_BEGINS = re.compile(rf"/\* type change {_NUMBER}(?:: (.*?))? \*/", re.DOTALL)


def announcing(alter: str) -> str:
    """Returns the comment that begins the first statement."""
    return f"/* type change {_NUMBER}: {alter.replace('*/', '* /')} */"


def announced(statement: str) -> str | None:
    """Returns the ALTER in whose place a statement stands, empty but for the first; None for any other statement."""
    match = _BEGINS.match(statement)
    return (match[1] or "") if match else None
