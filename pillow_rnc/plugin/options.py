"""The keywords of ``save(...)`` and ``open(...)``: what there is, defaults, precedence.

Everything is checked here, by `_checks`, before the first byte is read or written.
Unknown keywords are ignored, as Pillow's contract says; known ones with a bad value raise
`RncOptionError`, which names the option and what is allowed.
Must not load torch or numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pillow_rnc.container import alpha
from pillow_rnc.container.records import DEFAULT_OVERLAP, DEFAULT_TILE_SIZE, MAX_ITERATIONS, MAX_OVERLAP, TILE_SIZES
from pillow_rnc.container.tile_grid import TILE_ALIGNMENT
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.defaults import current_defaults
from pillow_rnc.plugin.validation import (
    check_boolean,
    check_callback,
    check_device,
    check_integer,
    check_iterations,
    check_number,
    check_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL import Image

    from pillow_rnc.codec.progress import OnProgress
    from pillow_rnc.plugin.validation import Region

DEFAULT_ITERATIONS = 8
MAX_QUALITY = 100


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """The rate and coding options of one ``save`` call; at most one rate option is not None.

    Attributes:
        iterations: Iterations to store, or "keep" to copy the stream of the opened file.
        target_size: Largest allowed size of the whole file in bytes.
        target_bpp: Largest allowed size of the whole file in bits per pixel.
        target_psnr: Store the first iteration that reaches this PSNR in dB, alpha left aside.
        quality: 0 to 100; see `quality_to_iterations`.
        alpha_quality: 0 to 100, which loses nothing; see `alpha.encode_alpha`.
        model: Name or id of a bundled model.
        tile_size: Side of a tile in pixels.
        overlap: Overlap of neighbouring tiles in pixels.
        device: What runs the network: "cpu", or a device of torch, or None for the default.
        verify: Decode all codes before anything is written.
        max_memory: Bytes that tiles at work may take together, or None for the default.
        max_threads: Threads that compute at a time, 0 for as many as are of use, or None for the default.
        on_progress: Called with the steps of encoding that are done, and their total.
        recode: A coding option was given, so a stored stream must not be copied.
    """

    iterations: int | Literal["keep"] | None = None
    target_size: int | None = None
    target_bpp: float | None = None
    target_psnr: float | None = None
    quality: float | None = None
    alpha_quality: float = alpha.LOSSLESS
    model: str = "auto"
    tile_size: int = DEFAULT_TILE_SIZE
    overlap: int = DEFAULT_OVERLAP
    device: str | None = None
    verify: bool = False
    max_memory: int | None = None
    max_threads: int | None = None
    on_progress: OnProgress | None = None
    recode: bool = False

    @classmethod
    def from_encoderinfo(cls, encoderinfo: Mapping[str, Any]) -> SaveOptions:
        """Return the checked options among the keywords of ``save``.

        Raises:
            RncOptionError: A value has the wrong type or range, or two rate options are given.
        """
        # None stands for "not given", so that programs can pass their own unset options on.
        given = {name: value for name, value in encoderinfo.items() if value is not None}
        rates = [name for name in ("iterations", "target_size", "target_bpp", "target_psnr") if name in given]
        if len(rates) > 1:
            msg = f"{' and '.join(rates)} cannot be given together, give one of them"
            raise RncOptionError(msg)
        if given.get("lossless"):
            msg = "lossless=True is not possible, the codec is lossy; allowed is False"
            raise RncOptionError(msg)
        if given.get("preview"):
            msg = "preview is not possible, the first iteration of a file is one; allowed is False"
            raise RncOptionError(msg)
        quality = given.get("quality")
        if quality == "keep" and not rates:
            given["iterations"], quality = "keep", None
        tile_size = _tile_size(given.get("tile_size", DEFAULT_TILE_SIZE))
        return cls(
            iterations=_iterations(given.get("iterations")),
            target_size=_optional_integer("target_size", given.get("target_size"), 1, None),
            target_bpp=_optional_number("target_bpp", given.get("target_bpp"), 0, None),
            target_psnr=_optional_number("target_psnr", given.get("target_psnr"), 0, None),
            quality=None if rates else _optional_number("quality", quality, 0, MAX_QUALITY),
            alpha_quality=check_number("alpha_quality", given.get("alpha_quality", alpha.LOSSLESS), 0, alpha.LOSSLESS),
            model=check_text("model", given.get("model", "auto")),
            tile_size=tile_size,
            overlap=_overlap(given.get("overlap"), tile_size),
            device=None if "device" not in given else check_device(given["device"]),
            verify=check_boolean("verify", given.get("verify", False)),
            max_memory=_optional_integer("max_memory", given.get("max_memory"), 1, None),
            max_threads=_optional_integer("max_threads", given.get("max_threads"), 0, None),
            on_progress=check_callback("on_progress", given.get("on_progress")),
            recode=any(name in given for name in ("model", "tile_size", "overlap")),
        )

    def encoded_iterations(self, most: int) -> int:
        """Return how many iterations to encode; a target encodes all and cuts.

        Args:
            most: What the model can code; only an explicit ``iterations`` may ask for more, and is refused then.
        """
        if isinstance(self.iterations, int):
            return self.iterations
        if self.quality is not None:
            return min(most, quality_to_iterations(self.quality))
        if self.target_size is self.target_bpp is self.target_psnr is None:
            return min(most, current_defaults().iterations or DEFAULT_ITERATIONS)
        return most

    def copied_iterations(self, stored: int) -> int | None:
        """Return how many of the stored iterations to copy, or None to encode anew.

        Encoding decoded pixels again only loses, so every option that does not force it copies.
        """
        if self.recode or self.target_psnr is not None:
            return None
        if isinstance(self.iterations, int):
            return self.iterations if self.iterations <= stored else None
        if self.quality is not None:
            return min(stored, quality_to_iterations(self.quality))
        return stored

    def size_limit(self, width: int, height: int) -> tuple[str, int] | None:
        """Return the option that limits the file and the limit in bytes, if there is one."""
        if self.target_size is not None:
            return "target_size", self.target_size
        if self.target_bpp is not None:
            return "target_bpp", math.floor(self.target_bpp * width * height / 8)
        return None


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How an opened file is decoded; see `pillow_rnc.open` for the meaning.

    Attributes:
        iterations: Decode at most this many, or None for all.
        region: Decode this box only.
        device: What runs the network: "cpu", or a device of torch, or None for the default.
        allow_truncated: Decode the whole iterations of a cut file.
        on_iteration: Called with the count so far, the count in all, and the picture.
        on_progress: Called with the steps of decoding that are done, and their total.
        max_work: Most pixels times iterations to decode, or None for the default.
        max_memory: Bytes that tiles at work may take together, or None for the default.
        max_threads: Threads that compute at a time, 0 for as many as are of use, or None for the default.
    """

    iterations: int | None = None
    region: Region | None = None
    device: str | None = None
    allow_truncated: bool = False
    on_iteration: Callable[[int, int, Image.Image], None] | None = None
    on_progress: OnProgress | None = None
    max_work: int | None = None
    max_memory: int | None = None
    max_threads: int | None = None


def quality_to_iterations(quality: float) -> int:
    """Return the iterations for a quality: 16 even steps, 0 to 6 is 1, 50 is 8, 75 is 12, 100 is 16."""
    return max(1, math.ceil(quality * MAX_ITERATIONS / MAX_QUALITY))


def _iterations(value: object) -> int | Literal["keep"] | None:
    if value is None or value == "keep":
        return "keep" if value == "keep" else None
    if isinstance(value, str):
        msg = f"iterations {value!r} is not allowed, give 1 to {MAX_ITERATIONS} or 'keep'"
        raise RncOptionError(msg)
    return check_iterations(value)


def _tile_size(value: object) -> int:
    tile_size = check_integer("tile_size", value, TILE_SIZES[0], TILE_SIZES[-1])
    return _multiple("tile_size", tile_size)


def _overlap(value: object, tile_size: int) -> int:
    limit = min(tile_size // 2, MAX_OVERLAP)
    if value is None:
        return min(DEFAULT_OVERLAP, limit)
    return _multiple("overlap", check_integer("overlap", value, 0, limit))


def _multiple(name: str, value: int) -> int:
    if value % TILE_ALIGNMENT:
        msg = f"{name} {value} is not allowed, give a multiple of {TILE_ALIGNMENT}"
        raise RncOptionError(msg)
    return value


def _optional_integer(name: str, value: object, low: int, high: int | None) -> int | None:
    return None if value is None else check_integer(name, value, low, high)


def _optional_number(name: str, value: object, low: float, high: float | None) -> float | None:
    return None if value is None else check_number(name, value, low, high)
