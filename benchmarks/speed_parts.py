"""The measurements of the command `speed`; each imports what it measures when it is called."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

import pillow_rnc
from benchmarks import memory
from benchmarks.stopwatch import Stopwatch, peak_of_program
from pillow_rnc.codec import decoder
from pillow_rnc.container import reader
from pillow_rnc.evaluation.metrics import ms_ssim
from pillow_rnc.evaluation.peers import PEERS, Peer, is_available
from pillow_rnc.models import weights
from pillow_rnc.models.basis import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_COLD_ITERATIONS = 6
_LOAD = "import sys; from PIL import Image; import pillow_rnc; Image.open(sys.argv[1]).load()"
_LOAD_BY_TORCH = "import sys; import pillow_rnc; pillow_rnc.open(sys.argv[1], device='cpu:0').load()"
_ASPECT = 1.5
THUMBNAIL_PX = 64
THUMBNAILS = 96
_PEAK_SIDE = 1024
_LOAD_MIB, _LOAD_BYTES_PER_PIXEL = 256, 16


class Coded(NamedTuple):
    """Time, size and quality of one codec on the image."""

    name: str
    encode_s: float
    decode_s: float
    file_bytes: int
    ms_ssim: float


def encoded(image: Image.Image, iterations: int, device: str = "cpu", model: str = "auto") -> bytes:
    """Return the file of an image."""
    file = io.BytesIO()
    image.save(file, "RNC", iterations=iterations, device=device, model=model)
    return file.getvalue()


def own_codec(image: Image.Image, iterations: int, device: str, watch: Stopwatch, model: str = "auto") -> Coded:
    """Return our codec on a device, through Pillow, from and to memory."""

    def save() -> bytes:
        return encoded(image, iterations, device, model)

    data = save()

    def load() -> Image.Image:
        im = pillow_rnc.open(io.BytesIO(data), device=device)
        im.load()
        return im

    quality = ms_ssim(np.asarray(image), np.asarray(load()))
    return Coded(f"rnc, {device}", watch.seconds(save), watch.seconds(load), len(data), quality)


def peers(image: Image.Image, quality: float, watch: Stopwatch) -> Iterator[Coded]:
    """Yield each codec of Pillow at its lowest setting of at least this MS-SSIM."""
    pixels = np.asarray(image)

    def load(data: bytes) -> Image.Image:
        im = Image.open(io.BytesIO(data))
        im.load()
        return im

    def found(peer: Peer, setting: int) -> float:
        return ms_ssim(pixels, np.asarray(load(peer.encode(image, setting)).convert("RGB")))

    for peer in (peer for peer in PEERS.values() if peer.package is None and is_available(peer)):
        settings = sorted(peer.search_settings)
        low, high = 0, len(settings) - 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if found(peer, settings[middle]) >= quality else (middle + 1, high)
        setting = settings[low]
        data = peer.encode(image, setting)
        encode_s = watch.seconds(lambda peer=peer, setting=setting: peer.encode(image, setting))  # type: ignore[misc]
        decode_s = watch.seconds(lambda data=data: load(data))  # type: ignore[misc]
        yield Coded(peer.label, encode_s, decode_s, len(data), found(peer, setting))


def paper_network(size: tuple[int, int], iterations: int, watch: Stopwatch) -> Coded:
    """Return the network of the paper on an image of noise, with random weights and no entropy coding."""
    import torch

    from pillow_rnc.models.config import RecurrentConfig
    from pillow_rnc.models.families import make_network

    config = RecurrentConfig(network="paper", cell="lstm", framework="additive", iterations=iterations)
    network = make_network(config).eval()
    target = torch.rand(1, 3, size[1], size[0]) - 0.5
    blocks = size[1] // BLOCK, size[0] // BLOCK
    codes: list[torch.Tensor] = []

    def encode() -> None:
        codes.clear()
        state, memory = network.initial_state(1, *blocks), None
        for t in range(iterations):
            a, memory = network.encode_step(target, network.weights_of(t), state, memory)
            codes.append(network.binarizer(a))
            state = network.decode_step(codes[-1], network.weights_of(t), state)

    def decode() -> None:
        state = network.initial_state(1, *blocks)
        for t, bits in enumerate(codes):
            state = network.decode_step(bits, network.weights_of(t), state)

    with torch.inference_mode():
        encode_s, decode_s = watch.seconds(encode), watch.seconds(decode)
    return Coded("network of the paper", encode_s, decode_s, 0, float("nan"))


class Cold(NamedTuple):
    """Time and memory of a fresh process."""

    seconds: float
    peak_mib: float


def cold_start(image: Image.Image, watch: Stopwatch) -> dict[str, Cold]:
    """Return time and memory of fresh processes that load an image of six iterations, or import a library."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.rnc")
        image.save(path, iterations=_COLD_ITERATIONS)
        programs = {
            "import, open and load": (_LOAD, path),
            "the same with torch": (_LOAD_BY_TORCH, path),
            "import torch": ("import torch",),
            "import numpy": ("import numpy",),
            "nothing": ("pass",),
        }
        best = dict.fromkeys(programs, float("inf"))
        for _ in range(watch.repeat):  # alternating, so that other load affects all equally
            once = Stopwatch(1, watch.cpu)
            best = {name: min(best[name], once.program_seconds(*program)) for name, program in programs.items()}
        return {name: Cold(best[name], peak_of_program(*program)) for name, program in programs.items()}


class Scale(NamedTuple):
    """Time and memory of an image of some size."""

    megapixels: float
    encode_s: float
    decode_s: float
    peak_mib: float  # of loading, above the loaded model

    @property
    def allowed_mib(self) -> float:
        """What loading is meant to take at most."""
        return _LOAD_MIB + _LOAD_BYTES_PER_PIXEL * self.megapixels * 1e6 / (1 << 20)


def scale(image: Image.Image, megapixels: Sequence[float], iterations: int, watch: Stopwatch) -> Iterator[Scale]:
    """Yield time and memory against pixels; the image is scaled to each size, and run once."""
    once, model = Stopwatch(1, watch.cpu), weights.load(weights.DEFAULT)
    encoded(image.crop((0, 0, 32, 32)), 1)  # prepares the network
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.rnc")
        for wanted in megapixels:
            height = max(1, round((wanted * 1e6 / _ASPECT) ** 0.5))
            picture = image.resize((round(_ASPECT * height), height), Image.Resampling.BICUBIC)
            encode_s = once.seconds(lambda picture=picture: picture.save(path, iterations=iterations))  # type: ignore[misc]
            decode_s = once.seconds(lambda: decoder.decode(reader.parse(path.read_bytes()), model))
            before, most, pixels = memory.loaded(path)
            yield Scale(pixels / 1e6, encode_s, decode_s, (most - before) / (1 << 20))


def batches(image: Image.Image, iterations: int, watch: Stopwatch) -> dict[str, tuple[float, float]]:
    """Return the seconds of encoding and decoding thumbnails, one by one and in a batch."""
    side = THUMBNAIL_PX
    across = image.width // side
    boxes = [(i % across * side, i // across % (image.height // side) * side) for i in range(THUMBNAILS)]
    images = [image.crop((x, y, x + side, y + side)) for x, y in boxes]
    files = pillow_rnc.encode_batch(images, iterations=iterations)

    def one_by_one() -> None:
        for im in images:
            im.save(io.BytesIO(), "RNC", iterations=iterations)

    def opened() -> None:
        for data in files:
            Image.open(io.BytesIO(data)).load()

    return {
        "one by one": (watch.seconds(one_by_one), watch.seconds(opened)),
        "in a batch": (
            watch.seconds(lambda: pillow_rnc.encode_batch(images, iterations=iterations)),
            watch.seconds(lambda: pillow_rnc.decode_batch(map(io.BytesIO, files))),
        ),
    }


def peak_macs(watch: Stopwatch) -> float:
    """Return multiply-accumulates per second of a large float32 product in NumPy, with all threads that it takes."""
    a, b = np.random.default_rng(0).random((2, _PEAK_SIDE, _PEAK_SIDE), np.float32)
    out = np.empty_like(a)
    product: Callable[[], object] = lambda: np.matmul(a, b, out=out)  # noqa: E731 -- one line says it
    return float(_PEAK_SIDE**3 / watch.seconds(product))
