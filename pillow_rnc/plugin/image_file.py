"""The image class of the format: open, load, verify, save.

Opening reads the header and the metadata only.
Whatever needs torch or numpy is imported inside the functions that decode or encode.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

from pillow_rnc.container import alpha, reader, writer
from pillow_rnc.container.records import RncFile
from pillow_rnc.container.tile_grid import reduced_region
from pillow_rnc.errors import RncFileError, SignatureError
from pillow_rnc.fork_safety import ObjectLock
from pillow_rnc.plugin.decoding import decode_samples, iter_images
from pillow_rnc.plugin.encoding import encode_images
from pillow_rnc.plugin.file_io import is_format, is_same_file, write_target
from pillow_rnc.plugin.forked_file import CurrentFile, reopened_after_fork
from pillow_rnc.plugin.format_names import EXTENSION, FORMAT
from pillow_rnc.plugin.metadata import info_from_metadata, metadata_for_save
from pillow_rnc.plugin.notices import warn, warn_of_trailing_bytes
from pillow_rnc.plugin.options import LoadOptions, SaveOptions
from pillow_rnc.plugin.rate_control import truncated, truncated_to_size
from pillow_rnc.plugin.reduction import ReducedWhenDecoded
from pillow_rnc.plugin.samples_file import open_samples
from pillow_rnc.plugin.validation import check_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from PIL._imaging import PixelAccess
    from PIL._typing import StrOrBytesPath

    from pillow_rnc.container.records import FileHead, Unit


class RncImageFile(ReducedWhenDecoded):
    """An image of the `.rnc` format, decoded when its pixels are asked for."""

    # Annotated as in Pillow, so that type checkers see no conflict.
    format: str | None = FORMAT
    format_description: str | None = "Learned progressive image"
    fp: IO[bytes] | None
    tile: list[ImageFile._Tile]
    n_frames = 1
    is_animated = False

    # On the class, because copies made by pickle have no file and never run `_open`.
    _head: FileHead | None = None
    _source: RncFile | None = None
    _checksum: int | None = None
    _samples: memoryview | None = None
    _options = LoadOptions()
    _loading = ObjectLock()
    _process: int | None = None

    def _open(self) -> None:
        assert self.fp is not None
        self._loading = ObjectLock()
        self._process = os.getpid()
        try:
            self._head = reader.read_head(self.fp)
        except SignatureError as error:
            # Pillow then tries its other formats.
            raise SyntaxError(str(error)) from error
        header = self._head.header
        self._mode = header.mode
        self._size = header.width, header.height
        self.info.update(info_from_metadata(self._head.metadata))
        self.info["rnc"] = {
            "version": header.version,
            "model": header.model_id.hex(),
            "iterations": header.iterations,
            "tiles": (header.grid.columns, header.grid.rows),
            "tile_size": header.tile_size,
            "overlap": header.overlap,
        }
        self._describe_pixels()

    @property
    def iterations(self) -> int:
        """Number of iterations that `load` decodes, or has decoded; set it before loading.

        Values above what the file has mean all of them. Once the pixels are loaded, others are ignored with a warning.
        """
        return min(self._stored_iterations, self._options.iterations or self._stored_iterations)

    @iterations.setter
    def iterations(self, value: int) -> None:
        iterations = check_option("iterations", value)
        if self.tile:
            self._options = replace(self._options, iterations=iterations)
        elif min(iterations, self._stored_iterations) != self.iterations:
            warn(f"iterations {iterations} is ignored: the pixels are already loaded, open the file again")

    @property
    def _stored_iterations(self) -> int:
        return self._head.header.iterations if self._head else 0

    def verify(self) -> None:
        """Check every length and checksum of the file without decoding it; see `pillow_rnc.verify`.

        As with any format, open the file again to use the image afterwards.

        Raises:
            RncFileError: The file is damaged.
        """
        if self.fp is None or self._head is None:
            msg = "verify must be called directly after open"
            raise RuntimeError(msg)
        self._reopen_after_fork()
        reader.verify_body(self.fp, self._head)
        super().verify()

    def load(self) -> PixelAccess | None:
        """Decode the image at the first call; threads that share it wait for each other, and forked children do not."""
        with self._loading.held():
            if self.tile and self._head is not None:
                if self._samples is None:
                    self._reopen_after_fork()
                    self._set_samples(decode_samples(self._read(), self._options).ravel().data)
                assert self._samples is not None
                # Also when a fork interrupted this between any two steps.
                self._release()
                self.fp = open_samples(self._samples)
            pixels = super().load()
            self._samples = None
            return pixels

    def _set_samples(self, samples: memoryview) -> None:
        """Make the decoded samples what the image is read from, in place of the file."""
        # Tells whether they are changed later. A stronger digest would take 4 % of a decode on two cores, twice this.
        self._checksum = zlib.crc32(samples)
        self._samples = samples

    def _release(self) -> None:
        """Close the file if it was opened for this image alone."""
        if self._exclusive_fp and self.fp is not None:
            self.fp.close()
            self.fp = None

    def _reopen_after_fork(self) -> None:
        """Read the file at a position of this process, if the image was opened by its parent."""
        if self._process != os.getpid():
            if self.fp is not None:
                self.fp = reopened_after_fork(self.fp, owned=bool(self._exclusive_fp))
            self._process = os.getpid()

    def load_seek(self, pos: int) -> None:
        """Do nothing: the only tile starts at 0. That this method exists makes `ImageFile.Parser` wait for all data."""

    def save(self, fp: StrOrBytesPath | IO[bytes], format: str | None = None, **params: Any) -> None:  # noqa: A002, ANN401
        """Save as `Image.save` does; into `.rnc`, an unchanged image is copied or truncated, not encoded again.

        A path is replaced atomically: after an error or an interruption, the file is as it was before.
        """
        # Options set on the image take precedence over the keywords, as with Pillow.
        wanted = {**params, **getattr(self, "encoderinfo", {})}
        if not is_format(fp, format, FORMAT, EXTENSION) or wanted.get("append_images"):
            super().save(fp, format, **params)
            return
        with self._loading.held(), suppress(RncFileError):  # in iterations that need not be copied
            if self.tile and is_same_file(fp, self.fp):
                self._read()  # what `load` will decode
        copy = self.copied(wanted)
        # Complete before the target is opened, which may be the file that this image came from.
        write_target(fp, encode_images([self], wanted)[0] if copy is None else copy)

    def _describe_pixels(self) -> None:
        # A tuple, as Pillow before 11 knows no class for it.
        self.tile = [("raw", (0, 0, *self.size), 0, self.mode)]  # type: ignore[list-item]

    def restrict(self, options: LoadOptions) -> None:
        """Set how the image will be decoded; region and reduction determine the size of the image."""
        self._options = options
        if self._head is not None and (options.region is not None or options.reduction > 1):
            whole = 0, 0, self._head.header.width, self._head.header.height
            left, upper, right, lower = reduced_region(options.region or whole, options.reduction)
            self._size = right - left, lower - upper
            self._describe_pixels()

    def progressive(self) -> Iterator[Image.Image]:
        """Yield the image after each iteration, reading the file no further; see `pillow_rnc.progressive`.

        The image may be loaded, saved, and iterated over again in between.

        Raises:
            RncFileError: The file is damaged, uses a feature or model that is not available, or takes too much work.
            ValueError: The image was closed, or never had a file.
        """
        if self._head is None:
            msg = "image was not read from a file"
            raise ValueError(msg)
        units: Iterable[Unit]
        if self._source is not None and len(self._source.units) >= self.iterations:
            units = self._source.units[: self.iterations]  # read already; `fp` may hold pixels now
        elif self.fp is not None:
            units = self._units(self._head, self.iterations)
        else:
            msg = "operation on closed image"
            raise ValueError(msg)
        for image in iter_images(self._head.header, self._head.alpha, units, self._options):
            image.info = dict(self.info)
            yield image

    def _units(self, head: FileHead, iterations: int) -> Iterator[Unit]:
        """Yield units, each read from the file when it is asked for, whatever else is read from it in between."""
        fp = CurrentFile(lambda: self.fp)
        units = reader.iter_units(fp, head, iterations, allow_truncated=self._allows_truncated(), allow_trailing=True)
        position = head.units_offset
        for index in range(iterations):
            with self._loading.held():
                if self._checksum is None and self.fp is not None:
                    self._reopen_after_fork()
                    fp.seek(position)
                    unit = next(units, None)
                    position = fp.tell()
                    if unit is not None and index + 1 == head.header.iterations:
                        warn_of_trailing_bytes(fp)
                elif self._source is not None:
                    unit = self._source.units[index] if index < len(self._source.units) else None
                else:
                    msg = "operation on closed image"
                    raise ValueError(msg)
            if unit is None:
                return
            yield unit

    def _allows_truncated(self) -> bool:
        return self._options.allow_truncated or ImageFile.LOAD_TRUNCATED_IMAGES

    def _read(self, iterations: int | None = None) -> RncFile:
        """Return the file with its first iterations, those that `load` decodes if None, reading no further."""
        wanted = min(self.iterations, iterations or self.iterations)
        if self._source is None or len(self._source.units) < wanted:
            if self.fp is None or self._head is None:
                msg = "operation on closed image"
                raise ValueError(msg)
            self._reopen_after_fork()
            tolerant = self._allows_truncated()
            units = reader.read_units(self.fp, self._head, wanted, allow_truncated=tolerant, allow_trailing=True)
            if len(units) == self._head.header.iterations:
                warn_of_trailing_bytes(self.fp)
            if len(units) < wanted:
                self._options = replace(self._options, iterations=len(units))
            header = replace(self._head.header, iterations=len(units))
            self._source = RncFile(header, self._head.metadata, self._head.alpha, units)
            if len(units) == self._head.header.iterations:
                self._release()  # nothing is left to read, and the file may be the target of the next save
        return truncated(self._source, min(self.iterations, wanted))

    def read_ahead(self) -> None:
        """Read what `load` will decode, and close the file; more iterations are then not available.

        Raises:
            RncFileError: The file is damaged.
        """
        self._read()
        self._release()

    def copied(self, params: Mapping[str, Any]) -> bytes | None:
        """Return the bytes that ``save`` with these keywords writes without encoding; None if it must encode.

        Raises:
            RncFileError: An iteration to copy is damaged; with ``verify``, so are codes or alpha.
            RncOptionError: A keyword is not allowed, or a target cannot be reached.
        """
        options = SaveOptions.from_encoderinfo(params)
        iterations = options.copied_iterations(self.iterations)
        if iterations is None or self._head is None or self._is_part() or not self._is_unchanged():
            return None
        with self._loading.held():
            file = self._read(iterations)
        file = replace(file, metadata=metadata_for_save(self, params, file.header.mode))
        if file.alpha is not None:
            file = replace(file, alpha=alpha.reduce_alpha(file.alpha, *self.size, options.alpha_quality))
        file = truncated_to_size(file, options)
        if options.verify:
            decode_samples(file, LoadOptions(max_work=self._options.max_work, execution=options.execution_by_name()))
        return writer.build(file)

    def _is_part(self) -> bool:
        """Whether the image is only a region of that of the file, or smaller."""
        return self._options.region is not None or self._options.reduction > 1

    def _is_unchanged(self) -> bool:
        """Whether the pixels are still those of the file."""
        if self.tile:
            return self.fp is not None or self._source is not None
        header = self._head.header if self._head else None
        same_kind = header is not None and (self.mode, *self.size) == (header.mode, header.width, header.height)
        return same_kind and self._source is not None and zlib.crc32(self.tobytes()) == self._checksum
