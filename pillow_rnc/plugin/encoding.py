"""Images -> the bytes of `.rnc` files, one or many at once, with the keywords of ``save``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pillow_rnc.container import alpha, writer
from pillow_rnc.container.records import RncFile
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.defaults import current_defaults
from pillow_rnc.plugin.metadata import metadata_for_save
from pillow_rnc.plugin.modes import keeps_colour_space, native_mode, to_pixels
from pillow_rnc.plugin.options import SaveOptions
from pillow_rnc.plugin.rate_control import cut_to_psnr, cut_to_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy import uint8
    from numpy.typing import NDArray
    from PIL import Image


class _Source(NamedTuple):
    """What a file holds of an image, before its colours are encoded."""

    mode: str
    metadata: Mapping[str, bytes]
    pixels: NDArray[uint8]
    alpha: NDArray[uint8] | None


def encode_images(images: Iterable[Image.Image], params: Mapping[str, Any]) -> list[bytes]:
    """Return the file of each image.

    Args:
        images: Loaded or not, of any modes and sizes.
        params: The keywords of ``save``, for all of them.

    Raises:
        RncOptionError: A keyword is not allowed, or a target cannot be reached.
        OSError: A mode cannot be written.
    """
    options = SaveOptions.from_encoderinfo(params)
    if options.iterations == "keep":
        # What could be kept never comes here, see RncImageFile.save.
        raise RncOptionError("iterations='keep' needs an image opened from an .rnc file, whole and unchanged")
    sources = [_source(im, params) for im in images]

    from pillow_rnc.codec import encoder
    from pillow_rnc.models import weights

    defaults = current_defaults()
    device = options.device or defaults.device
    max_threads = defaults.max_threads if options.max_threads is None else options.max_threads
    encoded = encoder.encode_batch(
        [source.pixels for source in sources],
        iterations=options.encoded_iterations(weights.load(options.model).config.iterations),
        model=options.model,
        tile_size=options.tile_size,
        overlap=options.overlap,
        device=device,
        verify=options.verify,
        max_memory=options.max_memory or defaults.max_memory,
        max_threads=max_threads,
        on_progress=options.on_progress,
    )
    files = []
    for source, (header, units) in zip(sources, encoded, strict=True):
        blob = None if source.alpha is None else alpha.encode_alpha(source.alpha, options.alpha_quality)
        file = cut_to_size(RncFile(replace(header, mode=source.mode), source.metadata, blob, units), options)
        if options.target_psnr is not None:
            file = cut_to_psnr(file, source.pixels, options.target_psnr, device=device, max_threads=max_threads)
        files.append(writer.build(file))
    return files


def _source(im: Image.Image, params: Mapping[str, Any]) -> _Source:
    im.load()  # which for some formats gives metadata, and the mode
    mode = native_mode(im)
    metadata = metadata_for_save(im, params, keep_icc=keeps_colour_space(im))
    return _Source(mode, metadata, *to_pixels(im, mode))
