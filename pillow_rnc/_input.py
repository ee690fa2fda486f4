"""Reading bytes: a file by its path, or a file object from its start, as `Image.open` takes them.

Must not load torch, numpy, construct or Pillow.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from io import BytesIO, UnsupportedOperation
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FilePath = str | bytes | os.PathLike[str] | os.PathLike[bytes]


@contextmanager
def opened(source: FilePath | IO[bytes]) -> Iterator[IO[bytes]]:
    """Give a file object at its start; one that was opened here is closed afterwards, any other is left open.

    Raises:
        OSError: The file cannot be opened.
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        with Path(os.fsdecode(source)).open("rb") as fp:
            yield fp
    else:
        yield rewound(source)


def rewound(fp: IO[bytes]) -> IO[bytes]:
    """Return a file object at its start; one that cannot seek is read to its end, and stands for what was left of it.

    Raises:
        OSError: The file object failed.
    """
    try:
        fp.seek(0)
    except (AttributeError, UnsupportedOperation):
        return BytesIO(fp.read())
    return fp
