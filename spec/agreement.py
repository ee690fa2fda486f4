"""Compares the codes of package, reference decoder and C decoder over many random files and models.

    cd spec; cc -std=c99 -O2 -o decoder decoder.c
    PYTHONPATH=.. python agreement.py [--bits 10000000] [--seed 0] [--program ./decoder]
    PYTHONPATH=.. python agreement.py --program ./decoder --weights WEIGHTS FILE.rnc...

A release requires 10^7 entropy-coded bits without a difference, which takes ten minutes; the tests run a small part.
Models are drawn anew every few rounds; each round draws image size, tiles, codes and up to three optional chunks. The
package encodes them, and all decoders decode. Then the file is damaged: one bit is changed, in some rounds with the
file cut at a random length; one bit of the codes is another, which are stored raw with correct checksums; and an
optional chunk violates a rule, likewise with or without a cut. All decoders must report the same fault, or none. The C
decoder takes part if it is given.

With files of a released model, only package and C decoder decode these, because the reference decoder would take hours:
10^8 bits of photographs in some minutes.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import tempfile
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import reference_decoder
from vectors.assemble import Draft, Model, Plan, chunk, code_units, read_model
from vectors.make_recurrent_weights import recurrent_code_weights
from vectors.make_weights import complete_weights, odd_weights

from pillow_rnc.container import reader
from pillow_rnc.container.records import Coding, Header
from pillow_rnc.entropy.significance import coded_mask
from pillow_rnc.entropy.tile_coder import decode_tile
from pillow_rnc.errors import RncFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pillow_rnc.container.records import Segment

_ROUNDS_PER_MODEL = 12
_MAKERS = (complete_weights, odd_weights, recurrent_code_weights)
_DENSITY = struct.pack("<4I", 72, 1, 300, 1)
_CHUNKS = (
    *(chunk(kind, b"any") for kind in (b"iccp", b"exif", b"xmpp", b"comm")),
    *(chunk(b"dens", _DENSITY), chunk(b"ALPH", b"\0any"), chunk(b"drwn", b""), chunk(b"drwN", b"any")),
)
"""Optional chunks in an order in which any of them may stand together."""
_REPEATABLE = (len(_CHUNKS) - 2, len(_CHUNKS) - 1)
_WRONG_CHUNKS = (
    *(chunk(b"comm", b""), chunk(b"ALPH", b""), chunk(b"dens", b""), chunk(b"dens", _DENSITY[:-1])),
    *(chunk(b"dens", bytes(16)), chunk(b"HEAD", b""), chunk(b"HEAD", b"\1" + bytes(20)), chunk(b"HEAD", bytes(22))),
    *(chunk(b"iccp", b"any"), chunk(b"Drwn", b"any"), chunk(b"drw1", b"any"), chunk(b"comm", b"any", crc_change=1)),
    *(struct.pack("<4sI", b"drwn", (1 << 20) + 1), struct.pack("<4sI", b"ALPH", 1 << 31), chunk(b"drwn", b"") * 65),
)
"""Chunks of which each violates a rule, in some places at least."""


class Disagreement(Exception):  # noqa: N818
    """The decoders differ; the message identifies the round."""


@dataclass(frozen=True, slots=True)
class Program:
    """The C decoder, with a folder for its inputs."""

    path: Path
    folder: Path

    def lines(self, data: bytes, weights: bytes) -> list[str]:
        """Return its output for a file."""
        (self.folder / "file").write_bytes(data)
        (self.folder / "weights").write_bytes(weights)
        command = [self.path, self.folder / "weights", self.folder / "file"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        return (done.stdout + done.stderr).splitlines()


def compare(bits: int, seed: int, program: Program | None = None) -> int:
    """Compare at least `bits` entropy-coded bits, and return how many were compared.

    Raises:
        Disagreement: Codes or faults differ.
    """
    random = Random(seed)  # noqa: S311 -- to be repeated, not to be secret
    compared = number = 0
    while compared < bits:
        if number % _ROUNDS_PER_MODEL == 0:
            make = _MAKERS[number // _ROUNDS_PER_MODEL % len(_MAKERS)]
            weights = make(int(random.random() * 2**32))
            model = read_model(weights)
        number += 1
        place = f"seed {seed}, round {number}"
        draft = _draw(random, model)
        data = draft.bytes()
        coded, lines = _same_codes(data, weights, model, place)
        compared += coded
        if program and program.lines(data, weights) != lines:
            raise Disagreement(f"{place}: codes of the program")
        for change, other in _damaged(random, draft, weights).items():
            fault = _package_fault(other, model)
            if fault != _reference_fault(other, weights):
                raise Disagreement(f"{place}: faults after {change}")
            if program and fault != fault_of(program.lines(other, weights)):
                raise Disagreement(f"{place}: faults of the program after {change}")
    return compared


def compare_files(paths: Sequence[Path], weights: bytes, program: Program) -> int:
    """Compare the codes that package and C decoder find in files, and return their number of entropy-coded bits.

    Raises:
        Disagreement: Codes differ.
    """
    model, compared = read_model(weights), 0
    for path in paths:
        data = path.read_bytes()
        file = reader.parse(data)
        lines: dict[tuple[int, int], str] = {}
        for index, tile in enumerate(file.header.grid):
            shape, segments = file.header.code_shape(tile), [unit[index] for unit in file.units]
            planes = decode_tile(segments, model.entropy_model, shape[1:], tile=index)
            coded_bits = model.entropy_model.coded_bits(*shape[1:])
            for segment, plane in zip(segments, planes, strict=False):  # a tile may stop
                compared += int(coded_mask(coded_bits, plane).sum()) if segment.coding is Coding.ENTROPY else 0
                coded_bits.finish(plane)
            lines |= lines_of(index, segments, planes)
        if program.lines(data, weights) != [lines[key] for key in sorted(lines)]:
            msg = f"{path.name}: codes of the program"
            raise Disagreement(msg)
    return compared


def _draw(random: Random, model: Model) -> Draft:
    stride = model.code_stride
    header = Header(
        1 + int(random.random() * 32 * stride),
        1 + int(random.random() * 32 * stride),
        "RGB",
        1 + int(random.random() * model.entropy_model.iterations),
        model.code_channels,
        stride,
        64 + 16 * int(random.random() * 9),
        16 * int(random.random() * 3),
        model.model_id,
    )
    rule = ("likely", "surest", "likely", "alternating", "noise")[int(random.random() * 5)]
    units = code_units(header, model.entropy_model, random, Plan(rule))
    number = int(random.random() * 4)
    places = sorted(int(random.random() * len(_CHUNKS)) for _ in range(number))
    chunks = [_CHUNKS[place] for n, place in enumerate(places) if place not in places[:n] or place in _REPEATABLE]
    if any(one.startswith(b"ALPH") for one in chunks):
        header = replace(header, mode="RGBA")
    return Draft(header, tuple(chunks), units)


def _damaged(random: Random, draft: Draft, weights: bytes) -> dict[str, bytes]:
    """Return damaged files, by what was done to them."""
    data = draft.bytes()
    position = int(random.random() * len(data))
    flipped = data[:position] + bytes([data[position] ^ 1 << int(random.random() * 8)]) + data[position + 1 :]
    place, wrong = (int(random.random() * (len(some) + 1)) for some in (draft.chunks, _WRONG_CHUNKS[1:]))
    chunks = (*draft.chunks[:place], _WRONG_CHUNKS[wrong], *draft.chunks[place:])
    wrong_chunk = replace(draft, chunks=chunks).bytes()
    files = {
        f"a change of byte {position}": flipped,
        "forging": _forged(random, draft, weights),
        f"wrong chunk {wrong} in place {place}": wrong_chunk,
    }
    head = len(replace(draft, chunks=chunks, units=()).bytes()) + 16
    for change, whole, longest in (
        (f"a change of byte {position}", flipped, len(flipped)),
        (f"wrong chunk {wrong} in place {place}", wrong_chunk, min(head, len(wrong_chunk))),
    ):
        if random.random() < 0.5:
            length = int(random.random() * longest)
            files[f"{change}, cut to {length} bytes"] = whole[:length]
    return files


def _forged(random: Random, draft: Draft, weights: bytes) -> bytes:
    """Return a file in which one bit of the last codes is another, stored raw; it may be one that is not coded."""
    _, codes = reference_decoder.decode(draft.bytes(), weights)
    tile = int(random.random() * len(codes))
    plane = codes[tile][-1]
    channel, cell = int(random.random() * len(plane)), int(random.random() * len(plane[0]))
    plane[channel][cell] ^= 1
    payload = reference_decoder.pack_bits(plane)
    entry = {"coding": int(Coding.RAW), "payload": payload, "codes_crc": zlib.crc32(payload)}
    return draft.with_entry(draft.header.iterations - 1, tile, **entry).bytes()


def _same_codes(data: bytes, weights: bytes, model: Model, place: str) -> tuple[int, list[str]]:
    """Return the number of coded bits, and what a decoder prints of the file."""
    file = reader.parse(data)
    _, codes = reference_decoder.decode(data, weights)
    tensors, config = reference_decoder.read_weights(weights)
    coded = 0
    lines: dict[tuple[int, int], str] = {}
    for index, tile in enumerate(file.header.grid):
        shape, segments = file.header.code_shape(tile), [unit[index] for unit in file.units]
        planes = decode_tile(segments, model.entropy_model, shape[1:], tile=index)
        if not np.array_equal(np.reshape(codes[index], planes.shape), planes):
            raise Disagreement(f"{place}, tile {index}: codes")
        pairs = reference_decoder.Network(tensors, config, *shape[1:]).bits
        for t, (segment, plane) in enumerate(zip(segments, codes[index], strict=True)):
            coded += _count_coded_bits(pairs, t, plane) if segment.coding is Coding.ENTROPY else 0
            pairs.take_in(t, plane)
        lines |= lines_of(index, segments, planes)
    return coded, [lines[key] for key in sorted(lines)]


def lines_of(tile: int, segments: Sequence[Segment], planes: NDArray[np.uint8]) -> dict[tuple[int, int], str]:
    """Return what a decoder prints of a tile, by iteration and tile."""
    crcs = [*map(_crc, planes), *["00000000"] * (len(segments) - len(planes))]  # of those after which the tile stopped
    return {
        (t, tile): f"{t} {tile} {segment.coding.name.lower()} {crc}"
        for t, (segment, crc) in enumerate(zip(segments, crcs, strict=True))
    }


def _count_coded_bits(
    pairs: reference_decoder.Pairs | reference_decoder.AllCoded, t: int, plane: reference_decoder.Plane
) -> int:
    return sum(pairs.is_coded(t, channel, cell, plane) for channel, row in enumerate(plane) for cell in range(len(row)))


def _crc(plane: NDArray[np.uint8]) -> str:
    return f"{zlib.crc32(np.packbits(plane).tobytes()):08x}"


def fault_of(lines: list[str]) -> str | None:
    """Return the class of the fault in the last line."""
    classes = {one.fault: one.__name__ for one in reference_decoder.Rejected.__subclasses__()}
    return classes.get(lines[-1].split(":")[0])


def _package_fault(data: bytes, model: Model) -> str | None:
    try:
        file = reader.parse(data)
        known = replace(file.header, model_id=model.model_id) == file.header
        fits = (file.header.code_channels, file.header.code_stride) == (model.code_channels, model.code_stride)
        if not known or not fits or file.header.iterations > model.entropy_model.iterations:
            return "UnsupportedError"
        for index, tile in enumerate(file.header.grid):
            segments = [unit[index] for unit in file.units]
            decode_tile(segments, model.entropy_model, file.header.code_shape(tile)[1:], tile=index)
    except RncFileError as error:
        return type(error).__name__
    return None


def _reference_fault(data: bytes, weights: bytes) -> str | None:
    try:
        reference_decoder.decode(data, weights)
    except reference_decoder.Rejected as error:
        return type(error).__name__
    return None


def main() -> None:
    """Compare, and say how much."""
    parser = argparse.ArgumentParser(description="Compare the codes of package and reference decoder.")
    parser.add_argument("--bits", type=int, default=10_000_000, help="entropy-coded bits to compare at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--program", type=lambda name: Path(name).resolve(), help="the C decoder")
    parser.add_argument("--weights", type=Path, help="of the files")
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    if bool(arguments.files) != bool(arguments.weights) or (arguments.files and not arguments.program):
        parser.error("files need --weights and --program")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        program = Program(arguments.program, Path(folder)) if arguments.program else None
        if program and arguments.files:
            bits = compare_files(arguments.files, arguments.weights.read_bytes(), program)
        else:
            bits = compare(arguments.bits, arguments.seed, program)
    print(f"{bits} coded bits agree, seed {arguments.seed}, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
