"""Measures images: our files at every iteration count, the peers, and JPEG of the same bytes.

Files are written and read only by ``Image.save`` and ``Image.open``.
"""

from __future__ import annotations

import io
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image

import pillow_rnc  # noqa: F401  registers the format with Pillow
from pillow_rnc.evaluation.curves import METRICS, Metric, Point, mean_curve, mean_point
from pillow_rnc.evaluation.metrics import MS_SSIM_MIN_SIDE_PX, score
from pillow_rnc.evaluation.peer_measurements import PeerMeasurements
from pillow_rnc.evaluation.peers import PEERS
from pillow_rnc.evaluation.photographs import load_photograph

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MATCHED_PEER = "jpeg420"


class Codec(Protocol):
    """Something that makes files of several sizes which ``Image.open`` can read."""

    @property
    def label(self) -> str:
        """How reports name it."""

    def encode(self, image: Image.Image, settings: Sequence[int]) -> dict[int, bytes]:
        """Return one file per setting."""


@dataclass(frozen=True, slots=True)
class RncCodec:
    """Our codec: encodes once with the most iterations and truncates the file to the others.

    A file truncated to k iterations is byte for byte the file saved at k iterations.
    """

    model: str | None = None  # None: the plugin's default
    weights: Path | None = None  # unreleased weights instead of a model
    tile_size: int | None = None  # None: the plugin's default

    @property
    def label(self) -> str:
        """How reports name it."""
        name = self.model if self.weights is None else self.weights.stem
        return "RNC" if name is None else f"RNC {name}"

    def all_iterations(self) -> tuple[int, ...]:
        """Return the iteration counts of the model, from 1 on.

        Raises:
            RncOptionError: No model has this name.
            WeightsError: The weights are missing or damaged.
        """
        from pillow_rnc.models import weights

        model = self.model or weights.DEFAULT
        if self.weights is not None:
            model = weights.register(self.weights).model_id.hex()
        return tuple(range(1, weights.load(model).config.iterations + 1))

    def encode(self, image: Image.Image, settings: Sequence[int]) -> dict[int, bytes]:
        """Return one file per number of iterations.

        Raises:
            OSError: Pillow cannot save or open the file.
            ValueError: A save option is rejected.
            WeightsError: The weights are missing or damaged.
        """
        whole = io.BytesIO()
        model = self.model
        if self.weights is not None:
            from pillow_rnc.models.weights import register

            model = register(self.weights).model_id.hex()  # in each worker process, for later opens too
        given: dict[str, str | int | None] = {"model": model, "tile_size": self.tile_size}
        chosen = {name: value for name, value in given.items() if value is not None}
        image.save(whole, "RNC", iterations=max(settings), **chosen)
        files = {}
        for iterations in settings:
            cut = io.BytesIO()
            with Image.open(whole) as opened:
                opened.save(cut, "RNC", iterations=iterations)
            files[iterations] = cut.getvalue()
        return files


@dataclass(frozen=True, slots=True)
class MeasurementPlan:
    """What to measure on every image."""

    codec: Codec
    iterations: tuple[int, ...]
    peers: tuple[str, ...]
    cache_folder: Path | None
    peer_settings: int | None = None  # most settings of a peer's curve; None: all
    matched: bool = True  # whether to search the best JPEG of the bytes of each of our files


class Matched(NamedTuple):
    """Our file and the best JPEG 4:2:0 of at most the same bytes, if JPEG gets that small."""

    ours: Point
    jpeg: Point | None


@dataclass(frozen=True, slots=True)
class PictureResult:
    """All measurements of one image."""

    name: str
    width: int
    height: int
    ours: list[Point]
    peers: dict[str, list[Point]]
    matched: list[Matched]  # empty where it was not asked for


class Skipped(NamedTuple):
    """An image that could not be measured."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All measurements of a set of images."""

    label: str
    pictures: list[PictureResult]
    skipped: list[Skipped]

    def curves(self) -> dict[str, list[Point]]:
        """Return the mean curves by label, ours first."""
        curves = {self.label: mean_curve([picture.ours for picture in self.pictures])}
        for name in self.pictures[0].peers:
            members = [picture.peers[name] for picture in self.pictures]
            curves[PEERS[name].label] = mean_curve(members)
        return curves


class MatchedMean(NamedTuple):
    """Means over the images for which JPEG gets as small as our file; nan where none does."""

    iterations: int
    pictures: int  # that have such a JPEG
    ours: Point
    jpeg: Point
    wins: dict[Metric, int]  # images on which ours is better


def matched_means(pictures: Sequence[PictureResult]) -> list[MatchedMean]:
    """Return the comparison with JPEG 4:2:0 of the same bytes, one entry per iteration count.

    The rule: per image, the JPEG of the highest quality setting (1 to 100, optimized
    Huffman tables) whose file is not larger than ours. Images for which no JPEG is that
    small are left out of both means and show in the count.
    """
    means = []
    for entries in zip(*(picture.matched for picture in pictures), strict=True):
        pairs = [(entry.ours, entry.jpeg) for entry in entries if entry.jpeg is not None]
        iterations = entries[0].ours.setting
        wins = {
            metric: sum(getattr(ours, metric) > getattr(jpeg, metric) for ours, jpeg in pairs) for metric in METRICS
        }
        nothing = Point(iterations, *[math.nan] * 5)
        means.append(
            MatchedMean(
                iterations,
                len(pairs),
                mean_point([ours for ours, _ in pairs]) if pairs else nothing,
                mean_point([jpeg for _, jpeg in pairs]) if pairs else nothing,
                wins,
            )
        )
    return means


def measure_photograph(path: Path, plan: MeasurementPlan) -> PictureResult | Skipped:
    """Return all measurements of an image file, or why there are none."""
    try:
        image = load_photograph(path)
        if min(image.size) < MS_SSIM_MIN_SIDE_PX:
            return Skipped(
                path.name,
                f"{image.width}x{image.height} is too small: MS-SSIM needs at least "
                f"{MS_SSIM_MIN_SIDE_PX} pixels on either side",
            )
        return measure_image(path.name, image, plan)
    except (OSError, ValueError) as error:
        return Skipped(path.name, str(error) or type(error).__name__)


def measure_image(name: str, image: Image.Image, plan: MeasurementPlan) -> PictureResult:
    """Return all measurements of an RGB image without metadata."""
    files = plan.codec.encode(image, plan.iterations)
    ours = [measure_file(image, files[count], count) for count in plan.iterations]
    curves, matched = {}, []
    for peer in plan.peers:
        measurements = PeerMeasurements(image, PEERS[peer], plan.cache_folder)
        curves[peer] = measurements.curve(plan.peer_settings)
        measurements.write()  # an interrupted run goes on from here
    if plan.matched:
        jpeg = PeerMeasurements(image, PEERS[MATCHED_PEER], plan.cache_folder)
        matched = [Matched(point, jpeg.best_within(int(point.file_bytes))) for point in ours]
        jpeg.write()
    return PictureResult(name, image.width, image.height, ours, curves, matched)


def measure_file(image: Image.Image, file: bytes, setting: int) -> Point:
    """Return size and scores of a file against its original, an RGB image."""
    with Image.open(io.BytesIO(file)) as opened:
        return point_of(image, opened.convert("RGB"), len(file), setting)


def point_of(image: Image.Image, picture: Image.Image, file_bytes: int, setting: int) -> Point:
    """Return size and scores of what a file of ``file_bytes`` shows of an RGB image."""
    scores = score(np.asarray(image), np.asarray(picture))
    return Point(setting, file_bytes, 8 * file_bytes / (image.width * image.height), *scores)


def measure_all(paths: Sequence[Path], plan: MeasurementPlan, *, jobs: int = 1) -> Iterator[PictureResult | Skipped]:
    """Yield the measurements of image files, in the order in which they are ready.

    Args:
        paths: The image files.
        plan: What to measure on each.
        jobs: Processes, of one thread each; 1 measures in this process and leaves
            the threads of torch as they are.
    """
    if jobs == 1:
        yield from (measure_photograph(path, plan) for path in paths)
        return
    # A forked child would inherit torch's thread pool in an undefined state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_use_one_thread) as pool:
        futures = [pool.submit(measure_photograph, path, plan) for path in paths]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def evaluation_of(label: str, results: Sequence[PictureResult | Skipped]) -> Evaluation:
    """Return the evaluation of all results, images in the order of their names."""
    return Evaluation(
        label,
        sorted(
            (result for result in results if isinstance(result, PictureResult)),
            key=lambda picture: picture.name,
        ),
        sorted(result for result in results if isinstance(result, Skipped)),
    )


def _use_one_thread() -> None:
    torch.set_num_threads(1)
