"""Images -> the bytes of `.rnc` files, one or several at once, with the keywords of ``save``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pillow_rnc.container import alpha, writer
from pillow_rnc.container.records import RncFile
from pillow_rnc.errors import RncOptionError
from pillow_rnc.fork_safety import importing
from pillow_rnc.plugin.metadata import metadata_for_save
from pillow_rnc.plugin.modes import native_mode, to_pixels
from pillow_rnc.plugin.options import SaveOptions
from pillow_rnc.plugin.rate_control import truncated_to_psnr, truncated_to_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy import uint8
    from numpy.typing import NDArray
    from PIL import Image

    from pillow_rnc.codec.encoder import EncodedImage
    from pillow_rnc.models.weights import Weights


class _Source(NamedTuple):
    """What a file takes from an image: native mode, metadata, colours [h, w, 3] and alpha [h, w] unless opaque."""

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
    sources = []
    for im in images:
        if options.iterations == "keep":
            # What can be kept is copied by RncImageFile, and does not come here.
            raise RncOptionError("iterations='keep' needs an image opened from an .rnc file, complete and unchanged")
        sources.append(_source(im, params))
    if not sources:
        return []

    with importing:
        from pillow_rnc.codec import encoder
        from pillow_rnc.models import weights

    model = weights.load(options.model)
    encoded = encoder.encode_many(
        [source.pixels for source in sources],
        model,
        iterations=options.encoded_iterations(model.config.iterations),
        tile_size=options.tile_size,
        overlap=options.overlap,
        verify=options.verify,
        limits=_limits(sources, options),
        execution=options.execution,
    )
    return [_file(*pair, options, model) for pair in zip(sources, encoded, strict=True)]


def _source(im: Image.Image, params: Mapping[str, Any]) -> _Source:
    im.load()  # some formats know metadata and mode only then
    mode = native_mode(im)
    metadata = metadata_for_save(im, params, mode)
    return _Source(mode, metadata, *to_pixels(im, mode))


def _limits(sources: Sequence[_Source], options: SaveOptions) -> list[int] | None:
    """Return the bytes that the file of each image may have, if that is limited."""
    found = [options.size_limit(source.pixels.shape[1], source.pixels.shape[0]) for source in sources]
    return [limit[1] for limit in found if limit is not None] or None


def _file(source: _Source, encoded: EncodedImage, options: SaveOptions, model: Weights) -> bytes:
    """Return the bytes of a file, truncated to the target that the options set, if they set one."""
    header, units = encoded
    blob = None if source.alpha is None else alpha.encode_alpha(source.alpha, options.alpha_quality)
    file = RncFile(replace(header, mode=source.mode), source.metadata, blob, units)
    file = truncated_to_size(file, options)
    if options.target_psnr is not None:
        file = truncated_to_psnr(file, source.pixels, options.target_psnr, model, options.execution)
    return writer.build(file)
