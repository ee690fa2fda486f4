"""Operations on a file without decoding it: describe, verify, truncate.

Must not load torch, numpy, construct or Pillow.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypedDict

from pillow_rnc.container import reader, writer
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.file_io import atomic_write, opened, write_stream
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
        file_bytes = source.seek(0, os.SEEK_END)
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
        bpp=8 * file_bytes / (header.width * header.height),
        metadata_bytes={name: len(value) for name, value in head.metadata.items()},
        alpha_bytes=len(head.alpha or b""),
    )


def verify(fp: FilePath | IO[bytes]) -> None:
    """Check every length and checksum of a file without decoding it, as `Image.verify` does.

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
    """Truncate a file to fewer iterations without decoding it.

    Args:
        src: Path or binary file object, which is read from its start as with `info`.
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
        data = writer.truncate(source.read(), kept)
    if isinstance(dst, (str, bytes, os.PathLike)):
        atomic_write(Path(os.fsdecode(dst)), data)
    else:
        write_stream(dst, data)
    return kept
