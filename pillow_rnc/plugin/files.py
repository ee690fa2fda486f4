"""What can be said and done about a file without decoding it: describe, check, cut.

Must not load torch, numpy, construct or Pillow.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypedDict

from pillow_rnc.container import reader, writer
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.file_io import opened, write_path, write_stream
from pillow_rnc.plugin.rate_control import file_sizes, iterations_within
from pillow_rnc.plugin.validation import check_iterations, check_target_size

if TYPE_CHECKING:
    from pillow_rnc.plugin.file_io import FilePath


class FileInfo(TypedDict):
    """What `info` says about a file.

    Attributes:
        version: Version of the format, major and minor.
        mode: Pillow mode, L, LA, RGB or RGBA.
        width: Width in pixels.
        height: Height in pixels.
        model: Id of the model in hexadecimal.
        iterations: Iterations that the header promises.
        iterations_stored: Iterations that are there in full length; fewer if the file was cut by accident.
        tiles: Columns and rows of tiles.
        tile_size: Side of a tile in pixels.
        overlap: Overlap of tiles in pixels.
        file_bytes: Length of the file.
        bytes_before_iterations: Header, metadata and alpha.
        bytes_per_iteration: Length of each iteration that is there.
        bpp: Bits per pixel, the whole file counted.
        metadata_bytes: Length of each kind of metadata.
        alpha_bytes: Length of the alpha plane.
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
    """Return what the header of a file says, and how many bytes each iteration takes.

    Reads the header and the lengths only; `check` compares the checksums.

    Args:
        fp: Path or binary file object; as with `Image.open`, a file object is read from its start, wherever it stands.

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


def check(fp: FilePath | IO[bytes]) -> None:
    """Check every length and checksum of a file, as `Image.verify` does.

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
    """Cut a file to fewer iterations without decoding it.

    Args:
        src: Path or binary file object, which is read from its start as with `info`.
        dst: Path or binary file object, which is written to where it stands; a path is replaced at once at the end,
            and may be that of `src`.
        iterations: How many to keep, at most what the file holds.
        target_size: Largest length of the whole file in bytes.

    Returns:
        How many iterations were kept.

    Raises:
        OSError: A file cannot be read or written.
        RncFileError: The part that is kept is damaged.
        RncOptionError: Not exactly one of the two is given, or it is out of range.
    """
    if (iterations is None) == (target_size is None):
        msg = "give one of iterations and target_size"
        raise RncOptionError(msg)
    with opened(src) as source:
        if iterations is None:
            head = reader.read_head(source)
            limit, sizes = check_target_size(target_size), file_sizes(source, head)
            kept = iterations_within(sizes, "target_size", limit) if sizes else 1  # which is not there; said below
            source.seek(0)
        else:
            kept = check_iterations(iterations)
        data = writer.truncate(source.read(), kept)
    if isinstance(dst, (str, bytes, os.PathLike)):
        write_path(Path(os.fsdecode(dst)), data)
    else:
        write_stream(dst, data)
    return kept
