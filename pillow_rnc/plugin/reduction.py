"""At which part of its size an image is decoded, and from how many iterations, if a smaller one is wanted.

Must not load torch or numpy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageFile

from pillow_rnc.container.tile_grid import reduced_region
from pillow_rnc.plugin.decoding import decode_samples, samples_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from pillow_rnc.container.records import FileHead, RncFile
    from pillow_rnc.fork_safety import ObjectLock
    from pillow_rnc.plugin.options import LoadOptions

ITERATIONS_AT: Final = {8: 4, 4: 6, 2: 8}
"""Most iterations that an image at one over 8, 4 or 2 of its size is decoded from, if nobody asks for others."""


def draft_factor(
    size: tuple[int, int], wanted: tuple[int, int], head: FileHead, options: LoadOptions, *, within: bool = False
) -> int | None:
    """Return by how much to reduce an image of a size for a draft of at least another size; None if not at all.

    Args:
        size: Width and height of the image.
        wanted: Those that are wanted.
        head: Of its file.
        options: With which the image is decoded so far.
        within: Whether the image is to fit into that size; otherwise neither side is to be shorter.
    """
    choose = max if within else min
    shrink = choose(size[0] / max(wanted[0], 1), size[1] / max(wanted[1], 1))
    return next((factor for factor in ITERATIONS_AT if shrink >= factor and _is_exact(factor, head, options)), None)


def common_factor(factors: tuple[int, int], head: FileHead, options: LoadOptions) -> int | None:
    """Return by how much to reduce an image before it is reduced to one over `factors`; None if not at all."""
    if options.reduction > 1:
        return None
    common = (factor for factor in ITERATIONS_AT if not any(one % factor for one in factors))
    return next((factor for factor in common if _is_exact(factor, head, options)), None)


def _is_exact(factor: int, head: FileHead, options: LoadOptions) -> bool:
    """Whether decoding at one over a further factor gives the means of just the pixels of the image.

    It does not weigh colours by alpha, as Pillow does, and extends a region to multiples of the reduction.
    """
    reduction = factor * options.reduction
    if head.alpha is not None or reduction not in ITERATIONS_AT:
        return False
    header = head.header
    whole = 0, 0, header.width, header.height
    box = reduced_region(options.region or whole, options.reduction)  # which may have been extended already
    left, upper, right, lower = (options.reduction * side for side in box)
    within_image = [side for side, end in ((right, header.width), (lower, header.height)) if side < end]
    return not any(side % reduction for side in (left, upper, *within_image))


def reduced_options(options: LoadOptions, factor: int, stored: int) -> LoadOptions:
    """Return the options that decode an image of some iterations reduced by a further factor."""
    reduction = options.reduction * factor
    return replace(options, reduction=reduction, iterations=min(stored, ITERATIONS_AT[reduction]))


class ReducedWhenDecoded(ImageFile.ImageFile):
    """The part of `image_file.RncImageFile` that makes reduced images."""

    tile: list[ImageFile._Tile]
    _head: FileHead | None
    _options: LoadOptions
    _loading: ObjectLock
    restrict: Callable[[LoadOptions], None]
    _read: Callable[[int], RncFile]
    iterations: int
    _drafts_within = False

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Decode a smaller image, of fewer iterations, if one is wanted, as by `thumbnail`; the mode stays the same."""
        if not self.tile or self._head is None or size is None or mode not in (None, self.mode):
            return None
        width, height = self.size
        factor = draft_factor(self.size, size, self._head, self._options, within=self._drafts_within)
        if factor is None:
            return None
        self.restrict(reduced_options(self._options, factor, self.iterations))
        return self.mode, (0, 0, width / factor, height / factor)

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
        with self._loading.held():
            # Read with the lock held, as another thread may be loading the image.
            common = None
            if self.tile and self._head is not None and box is None:
                common = common_factor(factors, self._head, self._options)
            if common is None:
                return super().reduce(factor, box)
            options = reduced_options(self._options, common, self.iterations)
            assert options.iterations is not None
            reduced = samples_image(self.mode, decode_samples(self._read(options.iterations), options))
        reduced.info = dict(self.info)
        return reduced.reduce((factors[0] // common, factors[1] // common))
