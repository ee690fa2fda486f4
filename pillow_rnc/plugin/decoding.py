"""From the units of a file to the samples of an image of its mode: colours decoded, alpha beside them.

The codec is imported when the first image is decoded.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from PIL import Image

from pillow_rnc.container import alpha
from pillow_rnc.container.tile_grid import reduced_region
from pillow_rnc.errors import RncFileError, WorkLimitError
from pillow_rnc.fork_safety import importing
from pillow_rnc.plugin.defaults import default_max_work
from pillow_rnc.plugin.modes import from_pixels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy import uint8
    from numpy.typing import NDArray

    from pillow_rnc.codec.execution import ExecutionOptions
    from pillow_rnc.container.records import Header, RncFile, Unit
    from pillow_rnc.models.weights import Weights
    from pillow_rnc.plugin.options import LoadOptions


def decode_samples(file: RncFile, options: LoadOptions) -> NDArray[uint8]:
    """Return the samples of an image, uint8 [height, width, bands], and call `on_iteration` on the way if it is set."""
    with importing:
        from pillow_rnc.codec import decoder
        from pillow_rnc.models import weights

    _check_work(file.header, len(file.units), options)
    execution = options.resolved_execution()
    plane = _alpha_plane(file.header, file.alpha, options)
    model = weights.weights_for(file.header)
    if options.on_iteration is not None:
        return _decode_stepwise(file, plane, model, options, execution)
    pixels = decoder.decode(file, model, region=options.region, reduction=options.reduction, execution=execution)
    return from_pixels(pixels, plane, file.header.mode)


def decode_together(files: Sequence[RncFile], options: LoadOptions) -> list[NDArray[uint8]]:
    """Return the samples of several images, each as `decode_samples` does; `region` and `on_iteration` are ignored."""
    with importing:
        from pillow_rnc.codec import decoder
        from pillow_rnc.models import weights

    for index, file in enumerate(files):
        with noted_in_batch(index):
            _check_work(file.header, len(file.units), options)
    planes, models = [], []
    for index, file in enumerate(files):
        with noted_in_batch(index):
            planes.append(_alpha_plane(file.header, file.alpha, options))
            models.append(weights.weights_for(file.header))
    images = decoder.decode_many(files, models, execution=options.resolved_execution())
    return [
        from_pixels(pixels, plane, file.header.mode) for file, plane, pixels in zip(files, planes, images, strict=True)
    ]


@contextmanager
def noted_in_batch(index: int) -> Iterator[None]:
    """Add to an error of a file the number of the file in its batch, as `decoder.decode_many` does."""
    try:
        yield
    except RncFileError as error:
        error.add_note(f"in file {index} of the batch, counted from 0")
        raise


def iter_images(
    header: Header, blob: bytes | None, units: Iterable[Unit], options: LoadOptions
) -> Iterator[Image.Image]:
    """Yield the image after each unit; a unit is asked for when its image is."""
    with importing:
        from pillow_rnc.codec import decoder
        from pillow_rnc.models import weights

    _check_work(header, min(header.iterations, options.iterations or header.iterations), options)
    execution = options.resolved_execution()
    plane = _alpha_plane(header, blob, options)
    model = weights.weights_for(header)
    images = decoder.iter_images(
        header, units, model, region=options.region, reduction=options.reduction, execution=execution
    )
    for pixels in images:
        yield samples_image(header.mode, from_pixels(pixels, plane, header.mode))


def _decode_stepwise(
    file: RncFile, plane: NDArray[uint8] | None, model: Weights, options: LoadOptions, execution: ExecutionOptions
) -> NDArray[uint8]:
    """Return the samples of an image after its last unit, and call `on_iteration` after each."""
    with importing:
        from pillow_rnc.codec import decoder

    assert options.on_iteration is not None
    header = file.header
    region, reduction = options.region, options.reduction
    progress = decoder.step_counter(file, region, execution.on_progress, reduction)
    images = decoder.iter_images(
        header, file.units, model, region=region, reduction=reduction, execution=execution, progress=progress
    )
    for done, pixels in enumerate(images, 1):
        samples = from_pixels(pixels, plane, header.mode)
        options.on_iteration(done, len(file.units), samples_image(header.mode, samples))
    return samples


def _check_work(header: Header, iterations: int, options: LoadOptions) -> None:
    """Raise unless decoding stays within the limit; checked before anything is allocated for it."""
    pixels = header.grid.padded_pixels(options.region)
    limit = default_max_work() if options.max_work is None else options.max_work
    if pixels * iterations > limit:
        msg = (
            f"decoding {pixels} pixels of tiles in {iterations} iterations takes {pixels * iterations} units of work, "
            f"could be a decompression bomb; max_work allows {limit}"
        )
        raise WorkLimitError(msg)


def _alpha_plane(header: Header, blob: bytes | None, options: LoadOptions) -> NDArray[uint8] | None:
    """Return the alpha of the image or of its region, uint8 [height, width], or None if it is opaque."""
    if blob is None:
        return None
    with importing:
        import numpy as np

    plane = alpha.decode_alpha(blob, header.width, header.height)
    reduction = options.reduction
    region = options.region or (0, 0, header.width, header.height)
    left, upper, right, lower = (reduction * side for side in reduced_region(region, reduction))
    plane = plane[upper:lower, left:right]
    if reduction == 1:
        return plane
    return np.asarray(Image.fromarray(plane).reduce(reduction))


def samples_image(mode: str, samples: NDArray[uint8]) -> Image.Image:
    """Return the image of a mode with these samples, uint8 [height, width, bands]."""
    height, width = samples.shape[:2]
    return Image.frombytes(mode, (width, height), samples.tobytes())
