"""Encoding and decoding of one image by the command line, from stream to bytes.

The options are frozen values that can be sent to another process; the files of an image are no concern of this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from pillow_rnc.cli.output_metadata import metadata_params
from pillow_rnc.cli.resizing import remove_thumbnail, resize
from pillow_rnc.errors import RncOptionError
from pillow_rnc.models import weights
from pillow_rnc.plugin import files
from pillow_rnc.plugin.format_names import EXTENSION, FORMAT
from pillow_rnc.plugin.opening import open_image
from pillow_rnc.plugin.options import SaveOptions
from pillow_rnc.plugin.progressive import progressive
from pillow_rnc.plugin.validation import validated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pillow_rnc.cli.reporting import Record
    from pillow_rnc.cli.resizing import Resize
    from pillow_rnc.container.tile_grid import Region

DEFAULT_FORMAT = "PNG"
"""Format of decoded images."""

_WEIGHTS_SUFFIX = ".safetensors"
_STRIPPABLE = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp", "comment": "comment"}


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """Options of ``rnc encode`` for every image; for their meaning see the help of the command.

    Attributes:
        model: Name or id of a model, or path of a weights file; None for the default.
        strip: Kinds of metadata to omit, such as "exif" or "all".
        params: Other keywords of ``save``.
        resize: Scale images before they are encoded.
    """

    model: str | None
    strip: tuple[str, ...]
    params: dict[str, Any]
    resize: Resize | None = None

    @property
    def suffix(self) -> str:
        """Suffix of the outputs."""
        return EXTENSION

    def save_params(self) -> dict[str, Any]:
        """Return the keywords of ``save``."""
        kinds = _STRIPPABLE if "all" in self.strip else self.strip
        model = {} if self.model is None else {"model": _model_name(self.model)}
        return self.params | model | {_STRIPPABLE[kind]: None for kind in kinds}

    def check(self) -> None:
        """Raise `RncError` if encoding would fail with any image."""
        check_model(self.model)
        SaveOptions.from_encoderinfo(self.save_params())

    def check_iterations(self) -> None:
        """Raise `RncError` if the model has fewer iterations than wanted; a copied file may be of another model."""
        options = SaveOptions.from_encoderinfo(self.save_params())
        if isinstance(options.iterations, int):
            weights.check_iterations(options.iterations, weights.load(options.model))


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """Options of ``rnc decode`` for every image; for their meaning see the help of the command.

    Attributes:
        model: Path of a weights file to register, or the name of a model, which must exist; None for neither.
        format_name: Output format by Pillow's name or an extension, or None for the one that the name of the output
            implies.
        iterations: Decode at most this many.
        region: Decode this box only.
        size: Scale down to fit this (width, height).
        device: What runs the network.
        allow_truncated: Decode the complete iterations of truncated files.
        resize: Scale to this size.
    """

    model: str | None
    format_name: str | None
    iterations: int | None
    region: Region | None
    size: tuple[int, int] | None
    device: str | None
    allow_truncated: bool
    resize: Resize | None = None

    @property
    def suffix(self) -> str:
        """Suffix of the outputs.

        Raises:
            RncOptionError: Pillow cannot write the format.
        """
        wanted = (self.format_name or DEFAULT_FORMAT).lower().removeprefix(".")
        known = {suffix: name for suffix, name in Image.registered_extensions().items() if name in Image.SAVE}
        if f".{wanted}" in known:  # as an extension, which is kept, or as a name that is one
            return f".{wanted}"
        for suffix, name in known.items():
            if name == wanted.upper():
                return suffix
        raise RncOptionError(f"format {self.format_name!r} cannot be written by this Pillow")

    @property
    def pillow_format(self) -> str:
        """Pillow's name of the output format.

        Raises:
            RncOptionError: Pillow cannot write the format.
        """
        return Image.registered_extensions()[self.suffix]

    def open_params(self) -> dict[str, Any]:
        """Return the keywords of `open_image` and `progressive`."""
        return {
            "iterations": self.iterations,
            "region": self.region,
            "device": self.device,
            "allow_truncated": self.allow_truncated,
        }

    def check(self) -> None:
        """Raise `RncError` if decoding would fail with any image."""
        check_model(self.model)
        validated(iterations=self.iterations, device=self.device)
        _ = self.suffix


ConversionOptions = EncodeOptions | DecodeOptions


def encode(source: Path | IO[bytes], options: EncodeOptions) -> tuple[bytes, Record]:
    """Return the `.rnc` file of an image of any format, and its summary."""
    fp = BytesIO()
    with Image.open(source) as im:
        if options.resize is not None:
            resize(im, options.resize)
        im.save(fp, FORMAT, **options.save_params())
    return fp.getvalue(), summary(fp)


def decode(source: Path | IO[bytes], format_name: str, options: DecodeOptions) -> tuple[bytes, Record]:
    """Return an `.rnc` file in another format, with the iterations that were decoded, and width and height."""
    with open_image(source, **options.open_params()) as im:
        _load(im, options)
        record = {"iterations": im.iterations, "width": im.width, "height": im.height}
        return _in_format(im, format_name), record


def decode_progressively(source: Path | IO[bytes], format_name: str, options: DecodeOptions) -> Iterator[bytes]:
    """Yield the image after each iteration in another format."""
    for im in progressive(source, **options.open_params()):
        _load(im, options)
        yield _in_format(im, format_name)


def summary(fp: IO[bytes]) -> Record:
    """Return iterations, bits per pixel and model of an `.rnc` file."""
    info = files.info(fp)
    return {"iterations": info["iterations"], "bpp": info["bpp"], "model": info["model"]}


def register_model(model: str | None) -> None:
    """Make a model available if it is given as a weights file.

    Raises:
        WeightsError: The file cannot be read.
    """
    if model and model.endswith(_WEIGHTS_SUFFIX):
        weights.register(model)


def check_model(model: str | None) -> None:
    """Make a model available if it is given as a weights file, and raise unless it exists.

    Raises:
        RncOptionError: No model has this name.
        WeightsError: The file cannot be read.
    """
    register_model(model)
    if model is not None:
        weights.find(_model_name(model))


def check_device(device: str) -> None:
    """Raise unless this machine has a device.

    Raises:
        RncOptionError: It has not, or it lacks torch, which the device needs.
    """
    from pillow_rnc.models import runtime  # which loads numpy

    runtime.check_device(device)


def _model_name(model: str) -> str:
    return Path(model).stem if model.endswith(_WEIGHTS_SUFFIX) else model


def _load(im: Image.Image, options: DecodeOptions) -> None:
    if options.size is not None:
        im.thumbnail(options.size)
    im.load()
    if options.resize is not None:
        resize(im, options.resize)
    if options.size or options.region:
        remove_thumbnail(im)


def _in_format(im: Image.Image, format_name: str) -> bytes:
    """Return an image in a format, with its metadata: most formats store only what `save` is given."""
    fp = BytesIO()
    im.save(fp, format_name, **metadata_params(im, format_name))
    return fp.getvalue()
