"""A page that shows images at every rate beside other codecs at the same bytes.

Numbers are computed by the functions of the evaluation. The page decodes our files itself, except those of recurrent
models, of which it holds decoded copies. Memory and the size of the page are bounded: images above a number of pixels
are scaled down before they are measured, each image is written before the next is started, and a page above a size is
rejected.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import PIL
from PIL import Image, features
from tqdm import tqdm

import pillow_rnc
from pillow_rnc.evaluation.browser_decoder import can_decode
from pillow_rnc.evaluation.curves import METRICS
from pillow_rnc.evaluation.page import MAX_PAGE_BYTES, OURS, PageWriter, Record, source_record
from pillow_rnc.evaluation.peer_measurements import PeerMeasurements
from pillow_rnc.evaluation.peers import PEERS, is_available
from pillow_rnc.evaluation.photographs import load_photograph, plain
from pillow_rnc.evaluation.rate_distortion import RncCodec, point_of
from pillow_rnc.evaluation.report import DIGITS, METRIC_LABELS, point_record
from pillow_rnc.plugin.data_uri import data_uri, lossless_data_uri, within_pixels
from pillow_rnc.plugin.file_io import atomic_replace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from pillow_rnc.evaluation.rate_distortion import Codec

SHOWN_PEERS = ("jpeg420", "webp", "avif")
"""Codecs whose files browsers display; those that this Pillow lacks are omitted."""

MAX_PIXELS = 1_000_000
MAX_MODELS = 3
"""The page has colours for so many."""


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """What a page shows of every image: a codec at its iterations, and others at no more bytes."""

    codec: Codec
    iterations: Sequence[int]
    peers: Sequence[str] = SHOWN_PEERS
    max_pixels: int = MAX_PIXELS
    max_page_bytes: int = MAX_PAGE_BYTES
    cache_folder: Path | None = None
    further_codecs: Sequence[Codec] = ()

    def codecs(self) -> dict[str, Codec]:
        """Return our codecs by the name that the page has for each, the leading one first."""
        return {OURS: self.codec} | {f"{OURS}{number}": codec for number, codec in enumerate(self.further_codecs, 2)}


class _Measured(NamedTuple):
    """Our codec on one image: the entries of its iterations, and its whole file if the page decodes it."""

    entries: list[Record]
    source: Record | None
    files: dict[str, str]


def run(arguments: argparse.Namespace) -> Record:
    """Write the page that ``rnc compare`` asks for, and return what was done.

    An old page is replaced when the new one is complete.

    Raises:
        OSError: An image cannot be read or is not 8-bit, or the page cannot be written.
        RncError: The codec rejects an image or has no weights, an argument is wrong, or the page too large.
    """
    peers = [] if arguments.peers in ("", "none") else arguments.peers.split(",")
    for name in peers:
        if name not in SHOWN_PEERS:
            raise pillow_rnc.RncOptionError(f"peers {name!r} is none of {', '.join(SHOWN_PEERS)}")
    if arguments.max_pixels < 1:
        raise pillow_rnc.RncOptionError(f"max_pixels {arguments.max_pixels} is less than 1")
    codec, *further = [_codec(model) for model in arguments.model or [None]]
    if len(further) >= MAX_MODELS:
        raise pillow_rnc.RncOptionError(f"{1 + len(further)} models, at most {MAX_MODELS} are allowed")
    missing = [name for name in peers if not is_available(PEERS[name])]
    shown = [name for name in peers if name not in missing]
    plan = ComparisonPlan(
        codec, arguments.iterations, shown, arguments.max_pixels, cache_folder=arguments.cache, further_codecs=further
    )
    # `disable=None` draws the bar on a terminal only.
    bar = tqdm(
        total=len(arguments.files) * (len(plan.codecs()) + len(shown)), leave=False, disable=arguments.quiet or None
    )
    with bar, atomic_replace(arguments.page) as temporary, temporary.open("wb") as out:
        page_bytes = write_page(arguments.files, plan, out, bar.update)
    record = {"page": str(arguments.page), "images": len(arguments.files), "page_bytes": page_bytes}
    if missing:
        record["warning"] = f"left out, this Pillow is built without: {', '.join(missing)}"
    return record


def write_page(
    paths: Sequence[Path], plan: ComparisonPlan, out: IO[bytes], tick: Callable[[], object] = lambda: None
) -> int:
    """Write a page that shows images at every rate, and return its length in bytes.

    The page needs no network: it holds images as data URIs, and our files with their decoder. One image is in memory
    at a time.

    Args:
        paths: The image files.
        plan: What to show.
        out: Binary stream.
        tick: Called after each codec of each image.

    Raises:
        OSError: An image cannot be read or is not 8-bit, or the page cannot be written.
        RncError: The codec rejects an image or has no weights, or the decoder for browsers is not installed.
        RncOptionError: The page would be longer than `plan.max_page_bytes`.
    """
    page = PageWriter(out, "rnc compare", plan.max_page_bytes)
    for path in paths:
        try:
            image = load_photograph(path)
        except (OSError, ValueError) as error:
            raise OSError(f"{path}: {error}") from error
        page.picture(compare(path.name, image, plan, tick))
    labels = {name: codec.label for name, codec in plan.codecs().items()}
    about = {
        "codecs": labels | {peer: PEERS[peer].label for peer in plan.peers},
        "metrics": {metric: {"label": METRIC_LABELS[metric], "digits": DIGITS[metric]} for metric in METRICS},
        "versions": dict(_versions(plan)),
    }
    return page.finish(about)


def compare(name: str, image: Image.Image, plan: ComparisonPlan, tick: Callable[[], object] = lambda: None) -> Record:
    """Return everything that a page shows of an RGB image without metadata, ready for JSON.

    ``steps`` has one entry per iteration count: for each codec its point, and the key of its file in ``files`` unless
    ``sources`` has an `.rnc` file that the page decodes; or for a codec that cannot make a file as small as the leading
    one, the bytes of its smallest. ``curves`` has the points of each codec's curve.
    """
    full_size = image.size
    image = plain(within_pixels(image, plan.max_pixels))
    files = {"original": lossless_data_uri(image)}
    measured = {}
    for key, codec in plan.codecs().items():
        measured[key] = _measure(key, codec, image, plan.iterations)
        files |= measured[key].files
        tick()
    curves = {key: [entry["point"] for entry in one.entries] for key, one in measured.items()}
    steps: list[Record] = [{OURS: entry} for entry in measured[OURS].entries]
    for step in steps:
        for key in list(measured)[1:]:
            step[key] = _within(measured[key].entries, step[OURS]["point"]["file_bytes"])
    for peer in plan.peers:
        measurements = PeerMeasurements(image, PEERS[peer], plan.cache_folder)
        curves[peer] = [point_record(point) for point in measurements.curve()]
        for step in steps:
            point = measurements.best_within(step[OURS]["point"]["file_bytes"])
            if point is None:
                step[peer] = {"smallest": measurements.smallest_bytes()}
                continue
            key = f"{peer} {point.setting}"
            if key not in files:
                # The very file: a browser decodes it as Pillow does, up to rounding.
                files[key] = data_uri(measurements.encode(point.setting), f"image/{PEERS[peer].image_format.lower()}")
            step[peer] = {"point": point_record(point), "file": key}
        measurements.write()
        tick()
    return {
        "name": name,
        "width": image.width,
        "height": image.height,
        "full_size": full_size,
        "steps": steps,
        "curves": curves,
        "files": files,
        "sources": {key: one.source for key, one in measured.items() if one.source is not None},
        "copies": [codec.label for key, codec in plan.codecs().items() if measured[key].source is None],
    }


def _codec(model: str | None) -> RncCodec:
    is_file = model is not None and model.endswith(".safetensors")
    return RncCodec(weights=Path(str(model))) if is_file else RncCodec(model)


def _measure(key: str, codec: Codec, image: Image.Image, iterations: Sequence[int]) -> _Measured:
    """Encode an image and measure it after each number of iterations."""
    encoded = codec.encode(image, iterations)
    entries: list[Record] = []
    source = None
    files = {}
    for count, file in encoded.items():
        with Image.open(io.BytesIO(file)) as opened:
            picture = opened.convert("RGB")
        point = point_record(point_of(image, picture, len(file), count))
        entries.append({"point": point})
        if source is None and opened.format == "RNC":
            model_id = bytes.fromhex(pillow_rnc.info(io.BytesIO(file))["model"])
            if can_decode(model_id):
                source = source_record(encoded[max(encoded)], model_id)
        if source is None:
            entries[-1]["file"] = f"{key} {count}"
            files[f"{key} {count}"] = lossless_data_uri(picture)
    return _Measured(entries, source, files)


def _within(entries: Sequence[Record], file_bytes: int) -> Record:
    """Return the entry with the most iterations in at most so many bytes, or the bytes of the smallest."""
    fitting = [entry for entry in entries if entry["point"]["file_bytes"] <= file_bytes]
    return fitting[-1] if fitting else {"smallest": entries[0]["point"]["file_bytes"]}


def _versions(plan: ComparisonPlan) -> Iterator[tuple[str, str]]:
    yield "pillow-rnc", pillow_rnc.__version__
    yield "Pillow", PIL.__version__
    for peer in plan.peers:
        yield PEERS[peer].label, str(features.version(PEERS[peer].feature))
