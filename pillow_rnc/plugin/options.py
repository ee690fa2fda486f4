"""The keywords of ``save(...)`` and ``open(...)``: their defaults and their precedence.

Options are validated before the first byte is read or written.
Unknown keywords are ignored, as Pillow expects of its plugins; known ones with a value that is not allowed raise
`RncOptionError`, which names the option and what is allowed.
Must not load torch or numpy.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pillow_rnc.codec.execution import ExecutionOptions
from pillow_rnc.container.alpha import LOSSLESS
from pillow_rnc.container.records import DEFAULT_OVERLAP, DEFAULT_TILE_SIZE, MAX_ITERATIONS
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.defaults import DEFAULT_ITERATIONS, EXECUTION_OPTIONS, changed_execution, current_defaults
from pillow_rnc.plugin.validation import MAX_QUALITY, validated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL import Image

    from pillow_rnc.container.tile_grid import Region


@dataclass(frozen=True, slots=True)
class SaveOptions:
    """The rate and coding options of one call of ``save``; at most one rate option is not None.

    Attributes:
        iterations: Iterations to store, or "keep" to copy the stream of the opened file.
        target_size: Largest allowed size of the whole file in bytes.
        target_bpp: Largest allowed size of the whole file in bits per pixel.
        target_psnr: Store the first iterations that reach this PSNR in dB; alpha is not counted.
        quality: 0 to 100; see `quality_to_iterations`.
        default_iterations: Iterations to store if no rate option is given.
        alpha_quality: 0 to 100, which is lossless; see `alpha.encode_alpha`.
        model: Name or id of a model.
        tile_size: Side of a tile in pixels.
        overlap: Overlap of neighbouring tiles in pixels.
        verify: Decode all codes before anything is written.
        recode: A coding option was given, so a stored stream must not be copied.
        execution: How to compute.
    """

    iterations: int | Literal["keep"] | None = None
    target_size: int | None = None
    target_bpp: float | None = None
    target_psnr: float | None = None
    quality: float | None = None
    default_iterations: int = DEFAULT_ITERATIONS
    alpha_quality: float = LOSSLESS
    model: str = "auto"
    tile_size: int = DEFAULT_TILE_SIZE
    overlap: int = DEFAULT_OVERLAP
    verify: bool = False
    recode: bool = False
    execution: ExecutionOptions = field(default_factory=ExecutionOptions)

    @classmethod
    def from_encoderinfo(cls, encoderinfo: Mapping[str, Any]) -> SaveOptions:
        """Return the validated options among the keywords of ``save``.

        Raises:
            RncOptionError: A value has the wrong type or range, or two rate options are given.
        """
        # None means "not given", so that programs can pass their own unset options on.
        given = {name: encoderinfo[name] for name in _SAVE_KEYWORDS if encoderinfo.get(name) is not None}
        rates = [name for name in _RATES if name in given]
        if len(rates) > 1:
            msg = f"{' and '.join(rates)} cannot be given together, give one of them"
            raise RncOptionError(msg)
        for name, reason in _IMPOSSIBLE.items():
            if given.pop(name, False):
                msg = f"{name} is not possible, {reason}; allowed is False"
                raise RncOptionError(msg)
        if rates:
            given.pop("quality", None)
        elif given.get("quality") == "keep":
            given["iterations"] = given.pop("quality")
        keep = isinstance(given.get("iterations"), str) and _is_keep(given.pop("iterations"))
        options = validated(**given)
        if keep:
            options["iterations"] = "keep"
        _check_overlap(options.get("overlap", 0), options.get("tile_size", DEFAULT_TILE_SIZE))
        defaults = current_defaults()
        return cls(
            **{name: value for name, value in options.items() if name not in EXECUTION_OPTIONS},
            default_iterations=defaults.iterations,
            recode=any(name in given for name in ("model", "tile_size", "overlap")),
            execution=changed_execution(defaults.execution, options),
        )

    def encoded_iterations(self, most: int) -> int:
        """Return how many iterations to encode; a target encodes all, and the file is truncated to it afterwards.

        Args:
            most: Iterations of the model; only an explicit ``iterations`` may exceed them, and is rejected later.
        """
        if isinstance(self.iterations, int):
            return self.iterations
        if self.quality is not None:
            return min(most, quality_to_iterations(self.quality))
        if self.target_size is self.target_bpp is self.target_psnr is None:
            return min(most, self.default_iterations)
        return most

    def copied_iterations(self, stored: int) -> int | None:
        """Return how many of the stored iterations to copy, or None to encode anew.

        Encoding decoded pixels again can only lose, so whatever option does not require it copies.
        """
        if self.recode or self.target_psnr is not None:
            return None
        if isinstance(self.iterations, int):
            return self.iterations if self.iterations <= stored else None
        if self.quality is not None:
            return min(stored, quality_to_iterations(self.quality))
        return stored

    def execution_by_name(self) -> dict[str, Any]:
        """Return how to compute as `LoadOptions.execution` takes it."""
        return {name: getattr(self.execution, name) for name in EXECUTION_OPTIONS}

    def size_limit(self, width: int, height: int) -> tuple[str, int] | None:
        """Return the option that limits the size of the file, and the limit in bytes, if there is one."""
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
        reduction: Decode at one over this of the size: 1, 2, 4 or 8.
        allow_truncated: Decode the complete iterations of a truncated file.
        on_iteration: Called with the iterations done, their total, and the image so far.
        max_work: Most pixels times iterations to decode, or None for the default.
        execution: Options of `ExecutionOptions` that were given for this file; see `resolved_execution`.
    """

    iterations: int | None = None
    region: Region | None = None
    reduction: int = 1
    allow_truncated: bool = False
    on_iteration: Callable[[int, int, Image.Image], None] | None = None
    max_work: int | None = None
    execution: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_validated(cls, options: Mapping[str, Any]) -> LoadOptions:
        """Return the options with these values, by name; see `validation.validated`."""
        own = {name: value for name, value in options.items() if name not in EXECUTION_OPTIONS}
        return cls(**own, execution={name: options[name] for name in EXECUTION_OPTIONS & options.keys()})

    def resolved_execution(self) -> ExecutionOptions:
        """Return how to compute: as given for the file, else by the defaults that apply now, when it is decoded."""
        return changed_execution(current_defaults().execution, self.execution)


def quality_to_iterations(quality: float) -> int:
    """Return the iterations for a quality: 0 to 6 is 1, 50 is 8, 75 is 12, 90 is 16, 100 is 29.

    Even steps up to 75, more of them above. On Kodak, 75 and 90 have the PSNR of JPEG 4:2:0 at these qualities within
    half a decibel; the iterations beyond are for what must not show any loss.
    """
    (low, start), (high, stop) = next(pair for pair in itertools.pairwise(_QUALITY_POINTS) if quality <= pair[1][0])
    return max(1, math.ceil(start + (quality - low) * (stop - start) / (high - low)))


_QUALITY_POINTS = ((0, 0), (75, 12), (90, 16), (MAX_QUALITY, 29))
_RATES = ("iterations", "target_size", "target_bpp", "target_psnr")
_IMPOSSIBLE = {
    "lossless": "the codec is lossy",
    "preview": "the first iteration of a file is one",
}
_SAVE_KEYWORDS = (
    *_RATES,
    *_IMPOSSIBLE,
    *("quality", "alpha_quality", "model", "tile_size", "overlap", "verify"),
    *EXECUTION_OPTIONS,
)


def _is_keep(iterations: str) -> bool:
    if iterations != "keep":
        msg = f"iterations {iterations!r} is not allowed, give 1 to {MAX_ITERATIONS} or 'keep'"
        raise RncOptionError(msg)
    return True


def _check_overlap(overlap: int, tile_size: int) -> None:
    if overlap > tile_size // 2:
        msg = f"overlap {overlap} is not allowed, give an integer from 0 to {tile_size // 2}"
        raise RncOptionError(msg)
