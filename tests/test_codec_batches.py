"""Several pictures at once are what each of them is alone; and how tiles find together."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import model
import numpy as np
import pytest
from tiny_codec import register_tiny_codec

from pillow_rnc.codec import decoder, encoder
from pillow_rnc.codec.batching import Place, groups
from pillow_rnc.container import reader, writer
from pillow_rnc.container.records import Coding, RncFile
from pillow_rnc.errors import CorruptError, RncError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIZES = [(40, 24), (16, 16), (24, 40), (130, 70), (16, 16), (40, 24)]


@pytest.fixture(autouse=True, scope="module")
def _tiny(tmp_path_factory: pytest.TempPathFactory) -> None:
    register_tiny_codec(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def pictures() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(7)
    return [random.integers(0, 256, (height, width, 3), np.uint8) for width, height in SIZES]


def encoded(pictures: list[NDArray[np.uint8]], max_memory: int = 1 << 30) -> list[RncFile]:
    units = encoder.encode_batch(
        pictures, iterations=3, model="tiny", tile_size=64, overlap=16, verify=True, max_memory=max_memory
    )
    return [RncFile(header, units=units) for header, units in units]


@pytest.mark.parametrize("max_memory", [1, 10_000_000, 1 << 30])
def test_each_picture_of_a_batch_is_what_it_is_alone(pictures: list[NDArray[np.uint8]], max_memory: int) -> None:
    files = encoded(pictures, max_memory=max_memory)
    together = decoder.decode_batch(files, max_memory=max_memory)

    for pixels, file, decoded in zip(pictures, files, together, strict=True):
        assert (file.header.height, file.header.width) == pixels.shape[:2]
        assert decoded.shape == pixels.shape
        assert len(file.units) == 3
        assert {len(unit) for unit in file.units} == {len(file.header.grid)}
        assert np.abs(decoder.decode(file).astype(int) - decoded).max() <= 1
        whole = reader.parse(writer.build(file))
        assert np.abs(decoder.decode(whole).astype(int) - decoded).max() <= 1


def test_files_of_other_modes_iterations_and_models_stand_in_one_batch(pictures: list[NDArray[np.uint8]]) -> None:
    own = encoded(pictures[:2])
    own[1] = replace(own[1], units=own[1].units[:1])
    golden = [reader.parse(path.read_bytes()) for path in sorted(model.GOLDEN.glob("*.rnc"))]
    stopped = [unit[0].coding for file in golden for unit in file.units]
    assert Coding.STOPPED in stopped
    files = [*own, *golden, *own]

    for file, decoded in zip(files, decoder.decode_batch(files), strict=True):
        alone = decoder.decode(file)
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


def test_tiles_of_the_released_model_stay_within_max_memory() -> None:
    """More tiles at once take no more than that beyond what one alone takes."""
    limit, pixels = 24 << 20, np.random.default_rng(3).integers(0, 256, (416, 416, 3), np.uint8)

    def encode(max_memory: int) -> encoder.Encoded:
        return encoder.encode(pixels, iterations=2, tile_size=128, overlap=32, max_memory=max_memory)

    header, units = encode(1)
    file = RncFile(header, units=units)
    assert len(header.grid) == 16
    for work in (encode, lambda max_memory: decoder.decode(file, max_memory=max_memory)):
        alone, together = (_peak(lambda work=work, n=n: work(n)) for n in (1, limit))  # type: ignore[misc]
        assert 2 * alone < together < alone + limit


def test_the_damaged_file_of_a_batch_is_named(pictures: list[NDArray[np.uint8]]) -> None:
    files = encoded(pictures)
    unit = files[3].units[1]
    wrong = tuple(replace(segment, codes_crc=segment.codes_crc ^ 1, payload=segment.payload[:-4]) for segment in unit)
    files[3] = replace(files[3], units=(files[3].units[0], wrong, *files[3].units[2:]))

    with pytest.raises(CorruptError, match=r"tile 0, iteration 1") as caught:
        decoder.decode_batch(files)
    assert caught.value.__notes__ == ["in file 3 of the batch, counted from 0"]
    with pytest.raises(RncError) as alone:
        decoder.decode_batch(files[3:4])
    assert not hasattr(alone.value, "__notes__")


def test_nothing_makes_nothing() -> None:
    assert encoder.encode_batch([], iterations=1, model="tiny") == []
    assert decoder.decode_batch([]) == []


def test_tiles_alike_stand_together_and_those_of_a_picture_in_order() -> None:
    small, large = (16, 16), (64, 64)
    sizes = {
        Place(0, 0): small,
        Place(1, 0): large,
        Place(1, 1): large,
        Place(1, 2): small,
        Place(2, 0): small,
        Place(3, 0): small,
    }
    expected = [
        ([Place(0, 0), Place(2, 0), Place(3, 0)], small),
        ([Place(1, 0), Place(1, 1)], large),
        ([Place(1, 2)], small),
    ]

    assert list(groups(sizes, 1 << 30)) == expected
    assert [places for places, _ in groups(sizes, 0)] == [[at] for at in sorted(sizes, key=lambda at: at.picture == 1)]
