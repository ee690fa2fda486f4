"""Codes are the same bits under every setting of a host: python fuzz/determinism.py [FILE...]

In each configuration, the codes of each file are decoded along every code path and compared with the golden digest of
the file, or with those of the first configuration. The settings of the host must not be changed.

    --weights PATH   make a model known first
    --quick          each value of each setting twice, among other values, instead of all combinations
    --iterations N   for other images, which are encoded first with the last of the models
    --mosaic         for other images: the centre 64 x 64 pixels of each, as the tiles of one file
    --device NAME    also on a torch device such as cuda
    --processes      also in new interpreters: -O, -OO, several threads of BLAS
    --add FILE...    write the golden digests of files; they must never change afterwards
"""

from __future__ import annotations

import argparse
import hashlib
import io
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import model
import numpy as np
import torch
from PIL import Image

from pillow_rnc.codec import decoder, encoder
from pillow_rnc.codec.execution import ExecutionOptions
from pillow_rnc.container import reader, records, writer
from pillow_rnc.entropy.kernel import library
from pillow_rnc.entropy.tile_coder import TileDecoder
from pillow_rnc.models import torch_runtime, weights
from pillow_rnc.models.complexity import bytes_per_pixel
from pillow_rnc.models.embedded.numpy_network import NumpyTiles
from pillow_rnc.models.runtime import CPU, releases_lock, runtime
from pillow_rnc.models.torch_runtime import TorchTiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.container.records import RncFile

    Planes = dict[int, list[NDArray[np.uint8]]]
    """Planes of each tile."""

DIGESTS = model.GOLDEN / "codes.json"
BACKENDS: Any = torch.backends
TILE = 64


class Configuration(NamedTuple):
    """Settings of a host, and how the work is divided."""

    threads: int = 1
    onednn: bool = True
    channels_last: bool = True
    batch: int = 1
    order: str = "forward"
    autocast: bool = False
    dtype: str = "float32"
    device: str = "cpu"
    deterministic: bool = False
    precision: str = "highest"
    numpy_errors: str = "warn"
    kernel: str = ""


AXES: dict[str, tuple[Any, ...]] = {
    "threads": (1, 2, 4, 8),
    "onednn": (True, False),
    "channels_last": (True, False),
    "batch": (1, 15, 16),
    "order": ("forward", "reverse", "random"),
    "autocast": (False, True),
}
"""All combinations of these, 288."""
EXTRAS: dict[str, tuple[Any, ...]] = {
    "dtype": ("float32", "float64", "float16"),
    "device": ("cpu", "meta"),
    "deterministic": (False, True),
    "precision": ("highest", "medium"),
    "numpy_errors": ("warn", "raise"),
    "kernel": ("", "0", *library.supported()[:-1]),  # the best that there is, NumPy, lesser instruction sets
}
"""One at a time, each with two extreme combinations of the above."""


def configurations(*, quick: bool) -> Iterator[Configuration]:
    """Yield the matrix, or a few that have each value of each setting twice; the default comes first."""
    if quick:
        axes = AXES | EXTRAS
        for turn in range(max(map(len, axes.values()))):
            for shift in (0, 1):
                places = enumerate(axes.items())
                yield Configuration(**{axis: values[(turn + shift * n) % len(values)] for n, (axis, values) in places})
        return
    yield Configuration()
    yield from (Configuration(*values) for values in itertools.product(*AXES.values()))
    for axis, values in EXTRAS.items():
        for value in values[1:]:
            yield Configuration()._replace(**{axis: value})
            yield Configuration(4, onednn=False, batch=16, autocast=True)._replace(**{axis: value})


def settings_of_host() -> tuple[object, ...]:
    """Return all settings that we must not change."""
    return (
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        BACKENDS.mkldnn.enabled,
        BACKENDS.mkldnn.matmul.fp32_precision,
        BACKENDS.mkldnn.conv.fp32_precision,
        torch.random.get_rng_state().numpy().tobytes(),
        tuple(np.geterr().items()),
        str(np.random.get_state()),  # noqa: NPY002 -- the state of others is what we look at
        random.getstate(),
    )


@contextmanager
def applied(one: Configuration) -> Iterator[None]:
    """Apply these settings of a host."""
    threads, dtype, enabled = torch.get_num_threads(), torch.get_default_dtype(), BACKENDS.mkldnn.enabled
    torch.set_num_threads(one.threads)
    torch.set_default_dtype(getattr(torch, one.dtype))
    torch.set_float32_matmul_precision(one.precision)
    torch.use_deterministic_algorithms(one.deterministic)
    BACKENDS.mkldnn.set_flags(one.onednn)
    try:
        with ExitStack() as stack:
            stack.enter_context(patch.dict(os.environ, {library.VARIABLE: one.kernel}))
            stack.enter_context(np.errstate(all=one.numpy_errors))  # type: ignore[arg-type]
            if one.autocast:
                stack.enter_context(torch.autocast("cpu"))
            if one.device != "cpu":
                stack.enter_context(torch.device(one.device))
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision("highest")
        torch.use_deterministic_algorithms(mode=False)
        BACKENDS.mkldnn.set_flags(enabled)


RUNTIMES: dict[str, type[Any]] = {"cpu": NumpyTiles, "cpu:0": TorchTiles}
"""The runtimes of the network, by device."""


def codes_beside_the_network(file: RncFile, device: str, batch: int) -> tuple[Planes, NDArray[np.uint8]]:
    """Return the planes that the network receives during decoding, and the pixels.

    At most `batch` tiles are decoded together, in the order of the file.
    """
    planes: Planes = {}
    first_tiles: dict[int, int] = {}
    own = weights.load(file.header.model_id)
    # Which class runs a model on the CPU depends on its network.
    kind: type[Any] = type(runtime(own, device)(1, TILE, TILE)) if device == CPU else RUNTIMES[device]
    right: Callable[[object, NDArray[np.uint8]], None] = kind.decode

    def noted(network: object, group: NDArray[np.uint8]) -> None:
        if id(network) not in first_tiles:
            first_tiles[id(network)] = len(planes)
            kept.append(network)
        for tile, plane in enumerate(group, first_tiles[id(network)]):
            planes.setdefault(tile, []).append(plane.copy())
        right(network, group)

    kept: list[object] = []  # so that no two networks have the same id
    largest = max(tile.padded_width * tile.padded_height for tile in file.header.grid)
    with patch.object(kind, "decode", noted):
        # Tiles that are decoded several at a time begin in any order, and `noted` could not tell which is which.
        threads = 1 if releases_lock(own, device) else 0
        max_memory = batch * largest * bytes_per_pixel(own.config)
        execution = ExecutionOptions(device, max_memory=max_memory, max_threads=threads)
        pixels = decoder.decode(file, own, execution=execution)
    return planes, pixels


def codes_alone(file: RncFile, *, batch: int, order: str) -> Planes:
    """Return the planes of each tile; `batch` tiles are decoded alternately, in the given order."""
    entropy_model = weights.load(file.header.model_id).entropy_model
    tiles = list(range(len(file.header.grid)))
    if order == "reverse":
        tiles.reverse()
    elif order == "random":
        random.Random(0).shuffle(tiles)  # noqa: S311 -- any order
    planes: Planes = {}
    for start in range(0, len(tiles), batch):
        shapes = {index: file.header.code_shape(file.header.grid[index]) for index in tiles[start : start + batch]}
        decoders = {index: TileDecoder(entropy_model, *shape[1:], tile=index) for index, shape in shapes.items()}
        for unit in file.units:
            for index, tile_decoder in decoders.items():
                plane = tile_decoder.decode_next(unit[index])
                if plane is not None:
                    planes.setdefault(index, []).append(plane)
    return planes


def digest(planes: Planes) -> str:
    """Return the SHA-256 of the codes of all tiles, with their shapes."""
    sha = hashlib.sha256()
    for index in sorted(planes):
        stack = np.stack(planes[index])
        sha.update(f"{index} {stack.shape} ".encode())
        sha.update(np.packbits(stack).tobytes())
    return sha.hexdigest()


def check(paths: Sequence[Path], *, quick: bool, say: Callable[[str], object] = print) -> int:
    """Compare all files under all configurations, and return how many comparisons differed."""
    golden: dict[str, str] = json.loads(DIGESTS.read_text())
    wrong = done = 0
    first: dict[Path, NDArray[np.uint8]] = {}
    worst_pixel = 0
    for one in configurations(quick=quick):
        encoded: dict[bytes, bool] = {}
        for path in paths:
            file = reader.parse(path.read_bytes())
            _lay_out(file.header.model_id, channels_last=one.channels_last)
            with applied(one):
                before = settings_of_host()
                alone = codes_alone(file, batch=one.batch, order=one.order)
                beside = {device: codes_beside_the_network(file, device, one.batch) for device in RUNTIMES}
                if file.header.model_id not in encoded:
                    encoded[file.header.model_id] = all(_encoded(file.header.model_id, device) for device in RUNTIMES)
                same_settings = settings_of_host() == before
            expected = golden.setdefault(path.name, digest(alone))
            for _, pixels in beside.values():
                pixels_differ = int(np.abs(first.setdefault(path, pixels).astype(int) - pixels).max())
                worst_pixel = max(worst_pixel, pixels_differ)
            for fault, name in (
                (digest(alone) != expected, "codes"),
                *((digest(codes) != expected, f"codes beside {device}") for device, (codes, _) in beside.items()),
                (not encoded[file.header.model_id], "codes encoded here"),
                (not same_settings, "settings of the host"),
            ):
                done += 1
                if fault:
                    wrong += 1
                    say(f"{path.name}: other {name} under {one}")
            _lay_out(file.header.model_id, channels_last=True)
    say(f"{done} comparisons, {wrong} differ; pixels differ by at most {worst_pixel} of 255")
    return wrong


def _lay_out(model_id: bytes, *, channels_last: bool) -> None:
    """Order the weights of a network in memory; where they are made, as they may be tensors of inference only."""
    with torch_runtime.inference_context(torch.device("cpu")):
        network = torch_runtime._network(weights.load(model_id), torch.device("cpu"))
        form = torch.channels_last if channels_last else torch.contiguous_format
        network.to(memory_format=form)  # type: ignore[call-overload]


def _encoded(model_id: bytes, device: str) -> bool:
    """Return whether codes encoded with these settings decode to themselves."""
    pixels = np.arange(24 * 40 * 3, dtype=np.uint8).reshape(24, 40, 3)
    model = weights.load(model_id)
    iterations = min(4, model.config.iterations)
    header, units = encoder.encode(
        pixels, model, iterations=iterations, verify=True, execution=ExecutionOptions(device)
    )
    fp = io.BytesIO(writer.build(records.RncFile(header, units=units)))
    return Image.open(fp).tobytes() != bytes(pixels.size)


def check_processes(arguments: Sequence[str]) -> int:
    """Run the quick matrix in new interpreters, and return the number of failures."""
    failed = 0
    for flags, variables in (
        (("-O",), {}),
        (("-OO",), {}),
        ((), {"OPENBLAS_NUM_THREADS": "8", "OMP_NUM_THREADS": "8"}),
        ((), {"OPENBLAS_CORETYPE": "Prescott"}),
        ((), {"OPENBLAS_CORETYPE": "Haswell", "ATEN_CPU_CAPABILITY": "default"}),
        ((), {"PYTHONHASHSEED": "1", "ONEDNN_MAX_CPU_ISA": "SSE41"}),
    ):
        command = [sys.executable, *flags, __file__, "--quick", *arguments]
        result = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
        print(" ".join(flags), variables, (result.stdout + result.stderr).strip())
        failed += result.returncode != 0
    return failed


def as_files(paths: Sequence[Path], folder: Path, model_id: bytes, *, iterations: int, mosaic: bool) -> list[Path]:
    """Return files; images are encoded in tiles of 64 pixels, so that there are several to decode alternately."""
    files = [path for path in paths if path.suffix == ".rnc"]
    images: dict[str, Image.Image] = {}
    for path in paths:
        if path not in files:
            with Image.open(path) as im:
                images[path.stem] = im.convert("RGB")
    if mosaic:
        images = {"mosaic": _mosaic(list(images.values()))}
    for name, image in images.items():
        files.append(folder / f"{name}.rnc")
        image.save(files[-1], model=model_id.hex(), iterations=iterations, tile_size=TILE, overlap=0)
    return files


def _mosaic(images: Sequence[Image.Image]) -> Image.Image:
    """Return an image whose tiles are the centres of the given images."""
    complete = Image.new("RGB", (TILE * len(images), TILE))
    for index, image in enumerate(images):
        left, top = (image.width - TILE) // 2, (image.height - TILE) // 2
        complete.paste(image.crop((left, top, left + TILE, top + TILE)), (TILE * index, 0))
    return complete


def add(paths: Sequence[Path]) -> None:
    """Write the digests of files; existing ones must not change."""
    golden: dict[str, str] = json.loads(DIGESTS.read_text()) if DIGESTS.exists() else {}
    for path in paths:
        found = digest(codes_alone(reader.parse(path.read_bytes()), batch=1, order="forward"))
        if golden.setdefault(path.name, found) != found:
            raise SystemExit(f"{path.name}: the codes of a golden file must never change")
    DIGESTS.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--weights", type=Path, action="append", default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", action="append", default=[])
    parser.add_argument("--processes", action="store_true")
    parser.add_argument("--add", action="store_true")
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--mosaic", action="store_true")
    arguments = parser.parse_args()
    RUNTIMES.update(dict.fromkeys(arguments.device, TorchTiles))
    model_id = model.tiny().model_id
    for path in arguments.weights:
        model_id = weights.register(path).model_id
    with tempfile.TemporaryDirectory() as folder:
        files = as_files(
            arguments.files or sorted(model.GOLDEN.glob("*.rnc")),
            Path(folder),
            model_id,
            iterations=arguments.iterations,
            mosaic=arguments.mosaic,
        )
        if arguments.add:
            add(files)
            return 0
        wrong = check(files, quick=arguments.quick)
        if arguments.processes:
            passed_on = [*map(str, files), *(f"--weights={path}" for path in arguments.weights)]
            wrong += check_processes(passed_on)
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
