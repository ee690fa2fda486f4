"""From the units of a file to samples and images of its mode: colours decoded, alpha beside them.

The codec is imported when the first picture is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from PIL import Image

from pillow_rnc.container import alpha
from pillow_rnc.errors import WorkLimitError
from pillow_rnc.plugin.defaults import current_defaults, default_max_work
from pillow_rnc.plugin.modes import from_pixels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy import uint8
    from numpy.typing import NDArray

    from pillow_rnc.container.records import Header, RncFile, Unit
    from pillow_rnc.plugin.options import LoadOptions


def decode_samples(file: RncFile, options: LoadOptions) -> NDArray[uint8]:
    """Return the samples of a picture, uint8 [height, width, bands], and show it on the way if that is wanted."""
    from pillow_rnc.codec import decoder

    header = file.header
    _check_work(header, len(file.units), options)
    plane = _alpha_plane(header, file.alpha, options)

    def show(done: int, total: int, pixels: NDArray[uint8]) -> None:
        assert options.on_iteration is not None
        options.on_iteration(done, total, _image(header.mode, pixels, plane))

    pixels = decoder.decode(
        file,
        region=options.region,
        on_iteration=show if options.on_iteration else None,
        on_progress=options.on_progress,
        max_memory=options.max_memory or current_defaults().max_memory,
        **_ways(options),
    )
    return from_pixels(pixels, plane, header.mode)


def decode_together(files: Sequence[RncFile], options: LoadOptions) -> list[NDArray[uint8]]:
    """Return the samples of several pictures, each as `decode_samples` does; regions and `on_iteration` are ignored."""
    from pillow_rnc.codec import decoder

    for file in files:
        _check_work(file.header, len(file.units), options)
    planes = [_alpha_plane(file.header, file.alpha, options) for file in files]
    pictures = decoder.decode_batch(
        files,
        on_progress=options.on_progress,
        max_memory=options.max_memory or current_defaults().max_memory,
        **_ways(options),
    )
    return [
        from_pixels(pixels, plane, file.header.mode)
        for file, plane, pixels in zip(files, planes, pictures, strict=True)
    ]


def iterate_images(
    header: Header, blob: bytes | None, units: Iterable[Unit], options: LoadOptions
) -> Iterator[Image.Image]:
    """Yield the picture after each unit; a unit is asked for when its picture is."""
    from pillow_rnc.codec import decoder

    _check_work(header, min(header.iterations, options.iterations or header.iterations), options)
    plane = _alpha_plane(header, blob, options)
    for pixels in decoder.pictures(header, units, region=options.region, **_ways(options)):
        yield _image(header.mode, pixels, plane)


class _Ways(TypedDict):
    """The options of the codec that change no pixel, or by rounding alone."""

    device: str
    max_threads: int


def _ways(options: LoadOptions) -> _Ways:
    defaults = current_defaults()
    return {
        "device": options.device or defaults.device,
        "max_threads": defaults.max_threads if options.max_threads is None else options.max_threads,
    }


def _check_work(header: Header, iterations: int, options: LoadOptions) -> None:
    """Raise unless decoding stays within the limit; known before anything is allocated for it."""
    pixels = header.grid.padded_pixels(options.region)
    limit = default_max_work() if options.max_work is None else options.max_work
    if pixels * iterations > limit:
        msg = (
            f"decoding {pixels} pixels of tiles in {iterations} iterations takes {pixels * iterations} units of work, "
            f"could be a decompression bomb; max_work allows {limit}"
        )
        raise WorkLimitError(msg)


def _alpha_plane(header: Header, blob: bytes | None, options: LoadOptions) -> NDArray[uint8] | None:
    """Return the alpha of the picture or of its region, uint8 [height, width]."""
    if blob is None:
        return None
    plane = alpha.decode_alpha(blob, header.width, header.height)
    if options.region is None:
        return plane
    left, upper, right, lower = options.region
    return plane[upper:lower, left:right]


def _image(mode: str, pixels: NDArray[uint8], plane: NDArray[uint8] | None) -> Image.Image:
    height, width = pixels.shape[:2]
    return Image.frombytes(mode, (width, height), from_pixels(pixels, plane, mode).tobytes())
