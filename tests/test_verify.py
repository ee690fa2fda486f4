"""`save(verify=True)` reads all codes back before a byte is written, and believes nothing else."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tiny_codec import register_tiny_codec

from pillow_rnc.container.records import Coding, Segment
from pillow_rnc.entropy.tile_coder import TileEncoder
from pillow_rnc.errors import RncError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

PICTURE = Image.linear_gradient("L").resize((70, 40)).convert("RGB")


@pytest.fixture(autouse=True, scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return register_tiny_codec(tmp_path_factory.mktemp("weights"))


def saved(**params: Any) -> bytes:  # noqa: ANN401 -- any option
    fp = io.BytesIO()
    try:
        PICTURE.save(fp, "RNC", model="tiny", iterations=3, tile_size=64, overlap=16, **params)
    except RncError:
        assert not fp.getvalue()
        raise
    return fp.getvalue()


def _wrong_crc(segment: Segment) -> Segment:
    return replace(segment, codes_crc=segment.codes_crc ^ 1)


def _other_codes(segment: Segment) -> Segment:
    payload = bytes([segment.payload[0] ^ 1]) + segment.payload[1:]
    raw = Segment(Coding.RAW, payload, 0)
    return replace(raw, codes_crc=raw.payload_crc)


def test_verifying_changes_no_byte() -> None:
    assert saved(verify=True) == saved()


@pytest.mark.parametrize(
    ("fault", "message"),
    [(_wrong_crc, "cannot be decoded: tile 1, iteration 2"), (_other_codes, "tile 1 decodes to other codes")],
)
def test_codes_that_come_back_otherwise_are_not_saved(
    fault: Callable[[Segment], Segment], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = TileEncoder.encode_next
    coded: list[Segment] = []

    def wrong(encoder: TileEncoder, plane: NDArray[np.uint8]) -> Segment:
        coded.append(right(encoder, plane))
        if len(coded) < 6:
            return coded[-1]
        packed = np.packbits(plane).tobytes()
        raw = Segment(Coding.RAW, packed, 0)
        return fault(coded[-1] if fault is _wrong_crc else raw)

    monkeypatch.setattr(TileEncoder, "encode_next", wrong)

    with pytest.raises(RncError, match=message):
        saved(verify=True, max_threads=1)  # tiles in their order
