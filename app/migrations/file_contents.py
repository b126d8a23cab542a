"""Contents of files that a process reads again and again; loads no Alembic."""

import os
import time
from pathlib import Path

_SETTLED_NS = 2_000_000_000

_contents: dict[str, tuple[tuple[int, ...], bytes]] = {}


def read(path: str) -> bytes:
    """Returns the content of a file, read again only if it may have changed.

    Two changes within a tick of the file system's clock have one time. So a file that was changed a moment ago is read
    each time, as Git does.

    Raises:
        OSError: it can't be read.
    """
    found = os.stat(path)  # noqa: PTH116 - for each revision of a history, in each run
    signature = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    known = _contents.get(path)
    if known is not None and known[0] == signature:
        return known[1]
    content = Path(path).read_bytes()
    if time.time_ns() - found.st_ctime_ns > _SETTLED_NS:
        _contents[path] = signature, content
    return content
