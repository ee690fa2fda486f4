"""Bytes of .rnc files assembled field by field, so that every field can be made wrong; used by `generate.py` only."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load

from pillow_rnc.container.checksum import RunningCrc
from pillow_rnc.container.records import STOPPED_SEGMENT, Coding, Header, Segment
from pillow_rnc.entropy.model import EntropyModel
from pillow_rnc.entropy.tile_coder import TileEncoder, code_plane

if TYPE_CHECKING:
    from random import Random

    from numpy.typing import NDArray


SIGNATURE = b"\x8aRNC\r\n\x1a\n"


class Plan:
    """How the codes of a file are chosen and stored; the rule chooses coded bits only.

    Args:
        rule: "likely" draws each bit with its own probability, "noise" with one half; "surest" and "unlikely" take the
            bit of greater and of less probability; "zeros", "ones" and "alternating" ignore it.
        raw: Iterations stored raw even if coding would be shorter: "none", "all" or "odd".
        stops: The iteration from which on a tile is stopped, by tile.
    """

    def __init__(self, rule: str = "likely", *, raw: str = "none", stops: dict[int, int] | None = None) -> None:
        self.rule, self.raw, self.stops = rule, raw, stops or {}

    def bits(self, p1_q16: NDArray[np.uint16], random: Random) -> NDArray[np.uint8]:
        """Return bits that are coded in succession, with probabilities p1_q16 / 65536 of a one."""
        return np.array([self._bit(one, n, random) for n, one in enumerate(p1_q16.tolist())], np.uint8)

    def _bit(self, p1_q16: int, n: int, random: Random) -> int:
        match self.rule:
            case "likely":
                return int(random.random() * 65536 < p1_q16)
            case "noise":
                return int(random.random() < 0.5)
            case "surest":
                return int(p1_q16 >= 32768)
            case "unlikely":
                return int(p1_q16 < 32768)
            case "alternating":
                return n % 2
        return int(self.rule == "ones")

    def is_raw(self, iteration: int) -> bool:
        return self.raw == "all" or (self.raw == "odd" and iteration % 2 == 1)


@dataclass(frozen=True, slots=True)
class Model:
    """What decoding the codes of a file needs; unlike the package's loader, it requires no decoder network."""

    model_id: bytes
    code_channels: int
    code_stride: int
    entropy_model: EntropyModel


def read_model(weights: bytes) -> Model:
    """Return the model of a weights file."""
    tensors = load(weights)
    config = json.loads(json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])["__metadata__"]["config"])
    network = EntropyModel.from_tensors(tensors, config["passes"])
    return Model(hashlib.sha256(weights).digest()[:8], config["code_channels"], config["code_stride"], network)


@dataclass(frozen=True, slots=True)
class Entry:
    """One segment with all fields of its table entry, each of which may be wrong.

    In a draft, `codes_crc` covers the segment's codes alone; in the bytes of the file it covers all codes so far.
    """

    coding: int
    payload: bytes
    codes_crc: int
    length: int | None = None
    payload_crc: int | None = None

    def table(self) -> bytes:
        length = len(self.payload) if self.length is None else self.length
        crc = zlib.crc32(self.payload) if self.payload_crc is None else self.payload_crc
        return struct.pack("<BIII", self.coding, length, crc, self.codes_crc)


@dataclass(frozen=True, slots=True)
class Draft:
    """A file before it becomes bytes."""

    header: Header
    chunks: tuple[bytes, ...] = ()
    units: tuple[tuple[Entry, ...], ...] = ()
    head: dict[int, bytes] = field(default_factory=dict)  # bytes of HEAD to overwrite, by offset

    def head_data(self) -> bytes:
        h = self.header
        mode = ("L", "LA", "RGB", "RGBA").index(h.mode)
        start = struct.pack("<BBHHBB", *h.version, h.width, h.height, mode, h.iterations)
        end = struct.pack("<BBHBB8s", h.code_channels, h.code_stride, h.tile_size, h.overlap, 0, h.model_id)
        data = bytearray(start + end)
        for offset, value in self.head.items():
            data[offset : offset + len(value)] = value
        return bytes(data)

    def bytes(self) -> bytes:
        return file_bytes(self.head_data(), self.chunks, self.stored_units())

    def stored_units(self) -> tuple[tuple[Entry, ...], ...]:
        """Return the units as they stand in the file."""
        covered = bytearray(self.head_data())
        covered[1] = covered[7] = 0
        alpha = b"".join(one[8:-4] for one in self.chunks if one.startswith(b"ALPH"))
        running = RunningCrc(zlib.crc32(covered + alpha))
        lengths = [self.header.code_shape(tile).raw_bytes for tile in self.header.grid]

        def stored(entry: Entry, length: int) -> Entry:
            codes_bytes = 0 if entry.coding == Coding.STOPPED else length
            return replace(entry, codes_crc=running.stored(entry.codes_crc, codes_bytes))

        return tuple(tuple(map(stored, unit, lengths)) for unit in self.units)

    def with_entry(self, iteration: int, tile: int, **changes: object) -> Draft:
        units = [list(unit) for unit in self.units]
        units[iteration][tile] = replace(units[iteration][tile], **changes)  # type: ignore[arg-type]
        return replace(self, units=tuple(map(tuple, units)))


def chunk(kind: bytes, data: bytes, *, crc_change: int = 0) -> bytes:
    """Return a complete chunk."""
    start = struct.pack("<4sI", kind, len(data)) + data
    return start + struct.pack("<I", zlib.crc32(start) ^ crc_change)


def file_bytes(head_data: bytes, chunks: tuple[bytes, ...], units: tuple[tuple[Entry, ...], ...]) -> bytes:
    """Return a file of these parts; the units are written as they are."""
    parts = [SIGNATURE, chunk(b"HEAD", head_data), *chunks]
    return b"".join(parts + [chunk(b"ITER", unit_data(unit)) for unit in units])


def unit_data(unit: tuple[Entry, ...]) -> bytes:
    """Return the data of an ITER chunk."""
    return b"".join(entry.table() for entry in unit) + b"".join(entry.payload for entry in unit)


def stored_zlib(data: bytes, *block_lengths: int) -> bytes:
    """Return a zlib stream of stored blocks, independent of the library; the last block has the rest."""
    out, position = b"\x78\x01", 0
    for length in (*block_lengths, None):
        block = data[position:] if length is None else data[position : position + length]
        position += len(block)
        out += struct.pack("<BHH", length is None, len(block), 0xFFFF ^ len(block)) + block
    return out + zlib.adler32(data).to_bytes(4, "big")


def code_units(header: Header, model: EntropyModel, random: Random, plan: Plan) -> tuple[tuple[Entry, ...], ...]:
    """Return the units of an image whose pixels do not matter."""
    columns = []
    for index, tile in enumerate(header.grid):
        shape = header.code_shape(tile)
        encoder = TileEncoder(model, shape.height, shape.width)
        state, coded_bits = model.start(shape.height, shape.width), model.coded_bits(shape.height, shape.width)
        values, segments = None, []
        for iteration in range(min(header.iterations, plan.stops.get(index, header.iterations))):
            state.start_iteration(iteration, values)
            plane: NDArray[np.uint8] = np.zeros(shape, np.uint8)
            code_plane(model.passes, state, coded_bits, plane, lambda p1_q16, _: plan.bits(p1_q16, random))
            segment, values = encoder.encode_next(plane), coded_bits.finish(plane)
            if plan.is_raw(iteration):
                segment = Segment(Coding.RAW, np.packbits(plane).tobytes(), segment.codes_crc)
            segments.append(segment)
        columns.append(segments + [STOPPED_SEGMENT] * (header.iterations - len(segments)))
    return tuple(
        tuple(Entry(int(segment.coding), segment.payload, segment.codes_crc) for segment in unit)
        for unit in zip(*columns, strict=True)
    )
