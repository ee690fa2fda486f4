"""A page that shows images at every rate beside other codecs at the same bytes.

Numbers are computed by the functions of the evaluation. Memory and the size of the page are bounded: images above a
number of pixels are scaled down before they are measured, each image is written before the next is started, and a page
above a size is rejected.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL
from PIL import Image, features
from tqdm import tqdm

import pillow_rnc
from pillow_rnc.evaluation.curves import METRICS
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
MAX_PAGE_BYTES = 256 * 1024 * 1024
_PAGE = resources.files("pillow_rnc.evaluation")

OURS = "rnc"

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """What a page shows of every image."""

    codec: Codec
    iterations: Sequence[int]
    peers: Sequence[str] = SHOWN_PEERS
    max_pixels: int = MAX_PIXELS
    max_page_bytes: int = MAX_PAGE_BYTES
    cache_folder: Path | None = None


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
    is_file = bool(arguments.model) and arguments.model.endswith(".safetensors")
    codec = RncCodec(weights=Path(arguments.model)) if is_file else RncCodec(arguments.model)
    missing = [name for name in peers if not is_available(PEERS[name])]
    shown = [name for name in peers if name not in missing]
    plan = ComparisonPlan(codec, arguments.iterations, shown, arguments.max_pixels, cache_folder=arguments.cache)
    # `disable=None` draws the bar on a terminal only.
    bar = tqdm(total=len(arguments.files) * (1 + len(shown)), leave=False, disable=arguments.quiet or None)
    with bar, atomic_replace(arguments.page) as temporary, temporary.open("wb") as out:
        page_bytes = write_page(arguments.files, plan, out, bar.update)
    record = {"page": str(arguments.page), "pictures": len(arguments.files), "page_bytes": page_bytes}
    if missing:
        record["warning"] = f"left out, this Pillow is built without: {', '.join(missing)}"
    return record


def write_page(
    paths: Sequence[Path], plan: ComparisonPlan, out: IO[bytes], tick: Callable[[], object] = lambda: None
) -> int:
    """Write a page that shows images at every rate, and return its length in bytes.

    The page needs no network: images are data URIs. One image is in memory at a time.

    Args:
        paths: The image files.
        plan: What to show.
        out: Binary stream.
        tick: Called after each codec of each image.

    Raises:
        OSError: An image cannot be read or is not 8-bit, or the page cannot be written.
        RncError: The codec rejects an image or has no weights.
        RncOptionError: The page would be longer than `plan.max_page_bytes`.
    """
    before, after = _frame(plan)
    written = out.write(before)
    for path in paths:
        try:
            image = load_photograph(path)
        except (OSError, ValueError) as error:
            raise OSError(f"{path}: {error}") from error
        record = compare(path.name, image, plan, tick)
        # Without this, the name of a file could end the element.
        text = json.dumps(record, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        element = f'<script type="application/json" class="picture">{text}</script>\n'.encode()
        written += len(element)
        if written > plan.max_page_bytes:
            raise pillow_rnc.RncOptionError(
                f"page has {written} bytes with {path.name}, at most {plan.max_page_bytes} are allowed: "
                "give fewer images, fewer iterations or fewer pixels"
            )
        out.write(element)
    return written + out.write(after)


def compare(name: str, image: Image.Image, plan: ComparisonPlan, tick: Callable[[], object] = lambda: None) -> Record:
    """Return everything that the page shows of an RGB image without metadata, ready for JSON.

    ``steps`` has one entry per iteration count: for each codec its point, and the key of its file in ``files``; or for
    a peer that cannot make a file as small as ours, the bytes of its smallest. ``curves`` has the points of each
    codec's curve.
    """
    full_size = image.size
    image = plain(within_pixels(image, plan.max_pixels))
    files = {"original": lossless_data_uri(image)}
    steps: list[Record] = []
    curve = []
    for iterations, file in plan.codec.encode(image, plan.iterations).items():
        with Image.open(io.BytesIO(file)) as opened:
            picture = opened.convert("RGB")
        curve.append(point_of(image, picture, len(file), iterations))
        files[f"{OURS} {iterations}"] = lossless_data_uri(picture)
        steps.append({OURS: {"point": point_record(curve[-1]), "file": f"{OURS} {iterations}"}})
    curves = {OURS: [point_record(point) for point in curve]}
    tick()
    for peer in plan.peers:
        measurements = PeerMeasurements(image, PEERS[peer], plan.cache_folder)
        curves[peer] = [point_record(point) for point in measurements.curve()]
        for step, ours in zip(steps, curve, strict=True):
            point = measurements.best_within(int(ours.file_bytes))
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
    }


def _frame(plan: ComparisonPlan) -> tuple[bytes, bytes]:
    """Return what stands before and after the images."""
    about = {
        "codecs": {OURS: plan.codec.label, **{peer: PEERS[peer].label for peer in plan.peers}},
        "metrics": {metric: {"label": METRIC_LABELS[metric], "digits": DIGITS[metric]} for metric in METRICS},
        "versions": dict(_versions(plan)),
    }
    text = (_PAGE / "page.html").read_text(encoding="utf-8")
    for name in ("page.css", "page.js"):
        text = text.replace(f"/* {name} */", (_PAGE / name).read_text(encoding="utf-8"))
    text = text.replace("{}", json.dumps(about).replace("<", "\\u003c"), 1)
    before, after = text.split("<!-- pictures -->\n")
    return before.encode(), after.encode()


def _versions(plan: ComparisonPlan) -> Iterator[tuple[str, str]]:
    yield "pillow-rnc", pillow_rnc.__version__
    yield "Pillow", PIL.__version__
    for peer in plan.peers:
        yield PEERS[peer].label, str(features.version(PEERS[peer].feature))
