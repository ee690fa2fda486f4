"""Several images at once are what each of them is alone; and which tiles form a batch."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import model
import numpy as np
import pytest
from tiny_codec import register_tiny_codec

from pillow_rnc.codec import decoder, encoder
from pillow_rnc.codec.batching import TileRef, batches
from pillow_rnc.codec.execution import ExecutionOptions
from pillow_rnc.container import reader, writer
from pillow_rnc.container.records import Coding, RncFile
from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import CorruptError, RncError
from pillow_rnc.models import weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIZES = [(40, 24), (16, 16), (24, 40), (130, 70), (16, 16), (40, 24)]


@pytest.fixture(autouse=True, scope="module")
def _tiny(tmp_path_factory: pytest.TempPathFactory) -> None:
    register_tiny_codec(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def images() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(7)
    return [random.integers(0, 256, (height, width, 3), np.uint8) for width, height in SIZES]


def encoded(images: list[NDArray[np.uint8]], max_memory: int = 1 << 30) -> list[RncFile]:
    encoded = encoder.encode_many(
        images,
        weights.load("tiny"),
        iterations=3,
        tile_size=64,
        overlap=16,
        verify=True,
        execution=ExecutionOptions(max_memory=max_memory),
    )
    return [RncFile(header, units=units) for header, units in encoded]


def models_of(files: list[RncFile]) -> list[weights.Weights]:
    return [weights.weights_for(file.header) for file in files]


@pytest.mark.parametrize("max_memory", [1, 10_000_000, 1 << 30])
def test_each_image_of_a_batch_is_what_it_is_alone(images: list[NDArray[np.uint8]], max_memory: int) -> None:
    files = encoded(images, max_memory=max_memory)
    together = decoder.decode_many(files, models_of(files), execution=ExecutionOptions(max_memory=max_memory))

    for pixels, file, decoded in zip(images, files, together, strict=True):
        assert (file.header.height, file.header.width) == pixels.shape[:2]
        assert decoded.shape == pixels.shape
        assert len(file.units) == 3
        assert {len(unit) for unit in file.units} == {len(file.header.grid)}
        assert np.abs(decoder.decode(file, weights.weights_for(file.header)).astype(int) - decoded).max() <= 1
        whole = reader.parse(writer.build(file))
        assert np.abs(decoder.decode(whole, weights.weights_for(whole.header)).astype(int) - decoded).max() <= 1


def test_files_of_other_modes_iterations_and_models_stand_in_one_batch(images: list[NDArray[np.uint8]]) -> None:
    own = encoded(images[:2])
    own[1] = replace(own[1], units=own[1].units[:1])
    golden = [reader.parse(path.read_bytes()) for path in sorted(model.GOLDEN.glob("*.rnc"))]
    stopped = [unit[0].coding for file in golden for unit in file.units]
    assert Coding.STOPPED in stopped
    files = [*own, *golden, *own]

    for file, decoded in zip(files, decoder.decode_many(files, models_of(files)), strict=True):
        alone = decoder.decode(file, weights.weights_for(file.header))
        assert alone.shape == decoded.shape
        assert np.abs(alone.astype(int) - decoded).max() <= 1


def _peak(work: Callable[[], object]) -> int:
    """Return the most bytes that were allocated at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_tiles_of_the_released_model_stay_within_max_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """More tiles at once take no more than that beyond what one alone takes."""
    monkeypatch.setenv(library.VARIABLE, "0")  # the kernel works on one tile in each thread
    limit, pixels = 24 << 20, np.random.default_rng(3).integers(0, 256, (416, 416, 3), np.uint8)

    def encode(max_memory: int) -> encoder.EncodedImage:
        return encoder.encode(
            pixels,
            weights.load(weights.DEFAULT),
            iterations=2,
            tile_size=128,
            overlap=32,
            execution=ExecutionOptions(max_memory=max_memory),
        )

    header, units = encode(1)
    file = RncFile(header, units=units)
    assert len(header.grid) == 16

    def decode(max_memory: int) -> object:
        return decoder.decode(file, weights.weights_for(file.header), execution=ExecutionOptions(max_memory=max_memory))

    for work in (encode, decode):
        alone, together = (_peak(lambda work=work, n=n: work(n)) for n in (1, limit))  # type: ignore[misc]
        assert 1.5 * alone < together < alone + limit


def test_the_damaged_file_of_a_batch_is_named(images: list[NDArray[np.uint8]]) -> None:
    files = encoded(images)
    unit = files[3].units[1]
    wrong = tuple(replace(segment, codes_crc=segment.codes_crc ^ 1, payload=segment.payload[:-4]) for segment in unit)
    files[3] = replace(files[3], units=(files[3].units[0], wrong, *files[3].units[2:]))

    with pytest.raises(CorruptError, match=r"tile 0, iteration 1") as caught:
        decoder.decode_many(files, models_of(files))
    assert caught.value.__notes__ == ["in file 3 of the batch, counted from 0"]
    with pytest.raises(RncError) as alone:
        decoder.decode_many(files[3:4], models_of(files[3:4]))
    assert not hasattr(alone.value, "__notes__")


def test_nothing_makes_nothing() -> None:
    assert encoder.encode_many([], weights.load("tiny"), iterations=1) == []
    assert decoder.decode_many([], []) == []


def test_tiles_of_one_kind_form_a_batch_and_those_of_an_image_in_order() -> None:
    small, large = (16, 16), (64, 64)
    sizes = {
        TileRef(0, 0): small,
        TileRef(1, 0): large,
        TileRef(1, 1): large,
        TileRef(1, 2): small,
        TileRef(2, 0): small,
        TileRef(3, 0): small,
    }
    expected = [
        ([TileRef(0, 0), TileRef(2, 0), TileRef(3, 0)], small),
        ([TileRef(1, 0), TileRef(1, 1)], large),
        ([TileRef(1, 2)], small),
    ]

    assert list(batches(sizes, 1 << 30, 216)) == expected
    assert [refs for refs, _ in batches(sizes, 0, 216)] == [
        [ref] for ref in sorted(sizes, key=lambda ref: ref.image == 1)
    ]
