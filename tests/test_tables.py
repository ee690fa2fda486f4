"""The tables are data: these tests say where each number comes from and that none has changed."""

from __future__ import annotations

import math
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pillow_rnc.entropy.tables import PROBABILITY, SIGMOID, TANH

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _nearest(value: float) -> int:
    """Round to nearest, ties away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def test_sigmoid_follows_its_formula() -> None:
    expected = [_nearest(255 / (1 + math.exp(-(i - 128) / 16))) for i in range(256)]

    assert expected == SIGMOID.tolist()


def test_tanh_follows_its_formula() -> None:
    expected = [_nearest(127 * math.tanh((i - 128) / 32)) for i in range(256)]

    assert expected == TANH.tolist()


def test_probability_follows_its_formula() -> None:
    exact = [_nearest(65536 / (1 + math.exp(-(i - 128) / 16))) for i in range(256)]
    expected = [min(max(value, 32), 65504) for value in exact]

    assert expected == PROBABILITY.tolist()


def test_probability_of_a_one_mirrors_that_of_a_zero() -> None:
    for i in range(1, 256):
        assert int(PROBABILITY[i]) + int(PROBABILITY[256 - i]) == 65536


def test_the_bytes_of_every_table_have_the_printed_crc() -> None:
    assert zlib.crc32(SIGMOID.tobytes()) == 0xD311B844
    assert zlib.crc32(TANH.tobytes()) == 0xFDB8E9B2
    assert zlib.crc32(PROBABILITY.astype("<u2").tobytes()) == 0x3D728A15


def test_nobody_can_write_into_a_table() -> None:
    for table in (SIGMOID, TANH, PROBABILITY):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 1


@pytest.mark.parametrize(
    ("name", "table"), [("SIGMOID", SIGMOID), ("TANH", TANH), ("PROBABILITY", PROBABILITY)], ids=["u", "n", "k"]
)
def test_the_specification_prints_each_table_with_its_crc(name: str, table: NDArray[np.integer]) -> None:
    text = (Path(__file__).parent.parent / "spec" / "rnc-format.md").read_text(encoding="utf-8")
    _, _, after = text.partition(f"\n`{name}[i]`: ")
    printed = re.search(r"0x([0-9A-F]{8})\.\n\n((?:    .*\n)+)", after)

    assert printed
    assert [int(entry) for entry in printed[2].split()] == table.tolist()
    assert int(printed[1], 16) == zlib.crc32(table.astype(table.dtype.newbyteorder("<")).tobytes())
