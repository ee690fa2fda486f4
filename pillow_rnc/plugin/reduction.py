"""At which part of its size an image is decoded, and from how many iterations, if a smaller one is wanted.

Must not load torch or numpy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageFile

from pillow_rnc.plugin.decoding import decode_samples, samples_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from pillow_rnc.container.records import RncFile
    from pillow_rnc.models.fork_safety import ObjectLock
    from pillow_rnc.plugin.options import LoadOptions

ITERATIONS_AT: Final = {8: 4, 4: 6, 2: 8}
"""Most iterations that an image at one over 8, 4 or 2 of its size is decoded from, if nobody asks for others."""

_TOLERANCE = 1 / 16  # by which a draft may be smaller than wanted


def draft_factor(
    size: tuple[int, int], wanted: tuple[int, int], options: LoadOptions, *, within: bool = False
) -> int | None:
    """Return by how much to reduce an image of a size for a draft of about another size; None if not at all.

    Args:
        size: Width and height of the image.
        wanted: Those that are wanted.
        options: With which the image is decoded so far.
        within: Whether the image is to fit into that size; otherwise neither side is to be shorter.
    """
    choose = max if within else min
    shrink = choose(size[0] / max(wanted[0], 1), size[1] / max(wanted[1], 1))
    for factor in ITERATIONS_AT:
        if shrink >= factor * (1 - _TOLERANCE) and factor * options.reduction in ITERATIONS_AT:
            return factor
    return None


def common_factor(factors: tuple[int, int], options: LoadOptions) -> int | None:
    """Return by how much to reduce an image before it is reduced to one over `factors`; None if not at all.

    A region must begin at a multiple: otherwise the pixels would be means over other parts of the image.
    """
    if options.reduction > 1:
        return None
    multiples = *factors, *(options.region or ())[:2]
    return next((factor for factor in ITERATIONS_AT if not any(one % factor for one in multiples)), None)


def reduced_options(options: LoadOptions, factor: int, stored: int) -> LoadOptions:
    """Return the options that decode an image of some iterations reduced by a further factor."""
    reduction = options.reduction * factor
    return replace(options, reduction=reduction, iterations=min(stored, ITERATIONS_AT[reduction]))


class ReducedWhenDecoded(ImageFile.ImageFile):
    """The part of `image_file.RncImageFile` that makes reduced images."""

    tile: list[ImageFile._Tile]
    _options: LoadOptions
    _loading: ObjectLock
    restrict: Callable[[LoadOptions], None]
    _read: Callable[[], RncFile]
    iterations: int
    _drafts_within = False

    def thumbnail(
        self,
        size: tuple[float, float],
        resample: Image.Resampling = Image.Resampling.BICUBIC,
        reducing_gap: float | None = 2.0,
    ) -> None:
        """Make this image a thumbnail as `Image.thumbnail` does; before loading, it is decoded at a reduced size."""
        self._drafts_within = True  # its aspect ratio stays, so one side may be shorter than the size
        try:
            super().thumbnail(size, resample, reducing_gap)
        finally:
            self._drafts_within = False

    def reduce(self, factor: int | tuple[int, int], box: tuple[int, int, int, int] | None = None) -> Image.Image:
        """Return a smaller image as `Image.reduce` does; before loading, it is decoded at a reduced size."""
        # Pillow takes lists, though its annotation does not say so.
        factors = (factor[0], factor[1]) if isinstance(factor, (tuple, list)) else (factor, factor)
        common = common_factor(factors, self._options) if self.tile and box is None else None
        if common is None:
            return super().reduce(factor, box)
        before = self._options, self._size, self.tile
        with self._loading.held():
            try:
                self.restrict(reduced_options(self._options, common, self.iterations))
                reduced = samples_image(self.mode, decode_samples(self._read(), self._options))
            finally:
                self._options, self._size, self.tile = before
        reduced.info = dict(self.info)
        return reduced.reduce((factors[0] // common, factors[1] // common))
