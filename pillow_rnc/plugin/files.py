"""Operations on a file without decoding it: describe, verify, truncate.

Must not load torch, numpy, construct or Pillow.
"""

from __future__ import annotations

import os
from contextlib import suppress
from io import BytesIO
from typing import IO, TYPE_CHECKING, TypedDict

from pillow_rnc.container import reader, writer
from pillow_rnc.errors import RncFileError, RncOptionError
from pillow_rnc.plugin.file_io import opened, write_target
from pillow_rnc.plugin.notices import warn_of_trailing_bytes
from pillow_rnc.plugin.rate_control import file_sizes, iterations_within
from pillow_rnc.plugin.validation import check_option

if TYPE_CHECKING:
    from pillow_rnc.plugin.file_io import FilePath


class FileInfo(TypedDict):
    """Description of a file, returned by `info`.

    Attributes:
        version: Version of the format, major and minor.
        mode: Pillow mode, L, LA, RGB or RGBA.
        width: Width in pixels.
        height: Height in pixels.
        model: Id of the model in hexadecimal.
        iterations: Iterations according to the header.
        iterations_stored: Iterations that are stored in full length; fewer if the file was truncated by accident.
        tiles: Columns and rows of tiles.
        tile_size: Side of a tile in pixels.
        overlap: Overlap of tiles in pixels.
        file_bytes: Length of the file in bytes.
        bytes_before_iterations: Length of header, metadata and alpha together.
        bytes_per_iteration: Length of each stored iteration.
        trailing_bytes: Length of what follows the last iteration and does not belong to the image.
        bpp: Bits per pixel of the whole file.
        metadata_bytes: Length of each kind of metadata.
        alpha_bytes: Length of the compressed alpha plane.
    """

    version: tuple[int, int]
    mode: str
    width: int
    height: int
    model: str
    iterations: int
    iterations_stored: int
    tiles: tuple[int, int]
    tile_size: int
    overlap: int
    file_bytes: int
    bytes_before_iterations: int
    bytes_per_iteration: list[int]
    trailing_bytes: int
    bpp: float
    metadata_bytes: dict[str, int]
    alpha_bytes: int


def info(fp: FilePath | IO[bytes]) -> FileInfo:
    """Return the contents of a file's header and the length of each iteration.

    Reads the header and the lengths only; `verify` compares the checksums.

    Args:
        fp: Path or binary file object; as with `Image.open`, a file object is read from its start, not its position.

    Raises:
        OSError: The file cannot be read.
        RncFileError: The file is not an `.rnc` file, or its header is damaged.
    """
    with opened(fp) as source:
        head = reader.read_head(source)
        sizes = reader.unit_sizes(source, head)
        trailing_bytes = reader.trailing_bytes(source, head, sizes)
        file_bytes = reader.end_position(source)
    header, grid = head.header, head.header.grid
    return FileInfo(
        version=header.version,
        mode=header.mode,
        width=header.width,
        height=header.height,
        model=header.model_id.hex(),
        iterations=header.iterations,
        iterations_stored=len(sizes),
        tiles=(grid.columns, grid.rows),
        tile_size=header.tile_size,
        overlap=header.overlap,
        file_bytes=file_bytes,
        bytes_before_iterations=head.units_offset,
        bytes_per_iteration=list(sizes),
        trailing_bytes=trailing_bytes,
        bpp=8 * file_bytes / (header.width * header.height),
        metadata_bytes={name: len(value) for name, value in head.metadata.items()},
        alpha_bytes=len(head.alpha or b""),
    )


def verify(fp: FilePath | IO[bytes]) -> None:
    """Check every length and checksum of a file without decoding it, as `Image.verify` does.

    This is stricter than decoding, which ignores bytes after the last iteration with an `RncWarning`.

    Args:
        fp: Path or binary file object, which is read from its start as with `info`.

    Raises:
        OSError: The file cannot be read.
        RncFileError: The file is damaged.
    """
    with opened(fp) as source:
        reader.verify(source)


def truncate(
    src: FilePath | IO[bytes],
    dst: FilePath | IO[bytes],
    *,
    iterations: int | None = None,
    target_size: int | None = None,
) -> int:
    """Truncate a file to fewer iterations without decoding it; bytes after the last iteration are left out.

    Args:
        src: Path or binary file object, which is read from its start as with `info`; a pipe is read completely.
        dst: Path or binary file object, which is written at its position; a path is replaced atomically at the end, and
            may be that of `src`.
        iterations: Number of iterations to keep, at most those that the file has.
        target_size: Largest length of the whole file in bytes.

    Returns:
        The number of iterations that were kept.

    Raises:
        OSError: A file cannot be read or written.
        RncFileError: The part that is kept is damaged.
        RncOptionError: Not exactly one of `iterations` and `target_size` is given, or it is out of range.
    """
    if (iterations is None) == (target_size is None):
        msg = "give one of iterations and target_size"
        raise RncOptionError(msg)
    with opened(src) as source:
        if iterations is None:
            head = reader.read_head(source)
            limit, sizes = check_option("target_size", target_size), file_sizes(source, head)
            kept = iterations_within(sizes, "target_size", limit) if sizes else 1  # which `writer.truncate` then misses
            source.seek(0)
        else:
            kept = check_option("iterations", iterations)
        contents = source.read()
    data = writer.truncate(contents, kept)
    with suppress(RncFileError):  # damage behind the part that is kept
        fp = BytesIO(contents)
        head = reader.read_head(fp)
        fp.seek(-reader.trailing_bytes(fp, head, reader.unit_sizes(fp, head)), os.SEEK_END)
        warn_of_trailing_bytes(fp)
    write_target(dst, data)
    return kept
