"""Where the time of decoding goes with the native kernel, part by part, on one thread.

python -m benchmarks.kernel_parts IMAGE

    --rounds 5      of which the least CPU time of each part counts
    --gigahertz G   the clock of the CPU, for the share of its peak (2.6)
    --units N       vector units that multiply and add at a time, of 512 bits each with AVX-512 (2)

The image is scaled to 12 megapixels. Products are those of the entropy network (integers of 8 bits) and of the decoder
network (float32); their rates are those of the whole part, so what is not a product counts as time lost.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from pillow_rnc.codec.blending import Canvas
from pillow_rnc.container import reader
from pillow_rnc.entropy.kernel.memory import memory_kept_in
from pillow_rnc.entropy.tile_coder import TileDecoder
from pillow_rnc.models import weights
from pillow_rnc.models.config import EmbeddedConfig
from pillow_rnc.models.runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pillow_rnc.container.records import RncFile
    from pillow_rnc.models.weights import Weights

_SIZE = 4000, 3000
_ITERATIONS = 8


class PartClock:
    """CPU time of this thread by part, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._last = time.thread_time()

    def add(self, part: str) -> None:
        """Count the time since the last call for a part."""
        now = time.thread_time()
        self.seconds[part] += now - self._last
        self._last = now


def decode(file: RncFile, model: Weights) -> dict[str, float]:
    """Return the seconds of each part of decoding a file."""
    clock, canvas, network_for = PartClock(), Canvas(file.header, None), runtime(model, "cpu", 1)
    kept: list[Any] = []
    with memory_kept_in(kept):
        for index, tile in enumerate(file.header.grid):
            shape = file.header.code_shape(tile)
            decoder = TileDecoder(model.entropy_model, *shape[1:], tile=index)
            clock.add("memory of tiles")
            network = network_for(1, tile.padded_height, tile.padded_width)
            for unit in file.units:
                plane = decoder.decode_next(unit[index])
                clock.add("entropy network, range decoder, checksums")
                assert plane is not None
                network.decode(plane[None])
                clock.add("intervals")
            samples = network.pixels()[0]
            clock.add("decoder network, transform")
            canvas.add(samples)
            clock.add("blending, rounding")
            del decoder, network
            clock.add("memory of tiles")
    image = Image.frombytes("RGB", canvas.pixels.shape[1::-1], canvas.pixels.tobytes())
    clock.add("image of Pillow")
    image.close()
    return clock.seconds


def products(file: RncFile, model: Weights) -> dict[str, float]:
    """Return the multiplications with an addition that each part takes, in billions."""
    config = model.config
    assert isinstance(config, EmbeddedConfig)
    cells = sum(tile.padded_height * tile.padded_width // 64 for tile in file.header.grid)
    iterations = range(len(file.units))
    return {
        "entropy network, range decoder, checksums": cells * sum(_coding(model, config, i) for i in iterations) / 1e9,
        "decoder network, transform": cells * _network(model, config, len(file.units)) / 1e9,
    }


def _coding(model: Weights, config: EmbeddedConfig, iteration: int) -> float:
    """Return the products of the entropy network for a cell and iteration, without accumulators."""
    schedule = model.entropy_model.schedule
    assert schedule is not None
    active = len(schedule[iteration].pairs)
    before = len(schedule[iteration - 1].pairs) if iteration else 0
    state, hidden = config.entropy_state_channels, config.entropy_hidden_channels
    moved = 2 * state * (9 * before + state) if iteration else 0
    # Of the three passes, the second and the third see neighbours of the earlier ones: 4 of 9 taps, and 6 on average.
    context = hidden * active * (0.25 * 4 + 0.5 * 4) if active else 0
    return moved + (9 * state * hidden if iteration else 0) + context + hidden * active


def _network(model: Weights, config: EmbeddedConfig, iterations: int) -> float:
    """Return the products of the decoder network for a cell."""
    schedule = model.entropy_model.schedule
    assert schedule is not None
    seen = len({int(c) for one in schedule[:iterations] for c in one.coefficients})
    d, c, steps = config.decoder_channels, config.context_channels, config.decoder_steps

    def cell(n: int) -> int:  # convolutions of both inputs, gates and candidate; there is no state in the first step
        return 9 * n + 2 * n * n + (steps - 1) * (18 * n + 6 * n * n)

    down_and_up = (4 * d * c) * (1 + steps) / 4
    transform = 192 * 16
    return 2 * seen * d + cell(d) + cell(c) / 4 + down_and_up + d * 192 + transform


def lines(seconds: dict[str, float], work: dict[str, float], peaks: dict[str, float]) -> Iterator[str]:
    """Yield the rows of the table."""
    total = sum(seconds.values())
    for part, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        rate = f"{work[part] / spent:.0f} | {100 * work[part] / spent / peaks[part]:.0f} %" if part in work else " | "
        yield f"| {part} | {1e3 * spent:.0f} ms | {100 * spent / total:.0f} % | {rate} |"
    yield f"| all | {1e3 * total:.0f} ms | 100 % | | |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigahertz", type=float, default=2.6)
    parser.add_argument("--units", type=int, default=2)
    arguments = parser.parse_args()
    fp = io.BytesIO()
    with Image.open(arguments.image) as im:
        im.convert("RGB").resize(_SIZE, Image.Resampling.BICUBIC).save(fp, "RNC", iterations=_ITERATIONS)
    file = reader.parse(fp.getvalue())
    model = weights.weights_for(file.header)
    rounds = [decode(file, model) for _ in range(arguments.rounds)]
    least = {part: min(one[part] for one in rounds) for part in rounds[0]}
    vectors = arguments.gigahertz * arguments.units
    peaks = {"entropy network, range decoder, checksums": 64 * vectors, "decoder network, transform": 16 * vectors}
    print("| Part | Time | Share | Products, 10^9/s | Of the peak |\n|---|---:|---:|---:|---:|")
    print("\n".join(lines(least, products(file, model), peaks)))


if __name__ == "__main__":
    main()
