"""A second decoder of .rnc files: bytes and weights in, header and codes out.

It needs nothing but the Python standard library, shares no code with the package and follows the order of the
specification. It is written to be read and checked, not to be fast.
It decodes what must be exact, codes and alpha plane; `reference_network.py` computes the pixels, and
`reference_weights.py` has the rules of weights files.
It verifies: a file with bytes after the last unit is rejected, which a viewer should ignore.

    python reference_decoder.py WEIGHTS FILE

prints a line for each tile and iteration, as `decoder.c` does: iteration, tile, coding, CRC-32 of the packed code
plane. The last line names the fault, if there is one; of a truncated file the complete iterations are printed first.
"""

from __future__ import annotations

import hashlib
import struct
import sys
import zlib
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from reference_weights import IDLE, PAIR_TABLES, check_for_codes, read_description

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reference_weights import Tensor

Plane = list[list[int]]  # per channel, the cells of a tile in row-major order
BIT_64 = (1 << 64) - 1


class Rejected(Exception):  # noqa: N818
    """The file must be rejected; the class of the fault has the name that the specification gives it."""

    fault = ""


class SignatureError(Rejected):
    """It is not an .rnc file."""

    fault = "signature"


class UnsupportedError(Rejected):
    """It requires something that this version does not define."""

    fault = "unsupported"


class CorruptError(Rejected):
    """It violates a rule."""

    fault = "corrupt"


class TruncatedError(Rejected):
    """It ends early, after `complete_iterations` complete iterations."""

    fault = "truncated"
    complete_iterations = 0


def require(holds: bool, what: str, error: type[Rejected] = CorruptError) -> None:
    """Reject the file unless a rule holds."""
    if not holds:
        raise error(what)


# --- Signature, chunks, header ---------------------------------------------------------------------------------------

SIGNATURE = b"\x8aRNC\r\n\x1a\n"
OPTIONAL = (b"iccp", b"exif", b"xmpp", b"comm", b"dens", b"ALPH")  # in this order
MEBIBYTE = 1 << 20


class Header(NamedTuple):
    """The fields of the `HEAD` chunk."""

    major: int
    minor: int
    width: int
    height: int
    mode: int
    iterations: int
    code_channels: int
    code_stride: int
    tile_size: int
    overlap: int
    flags: int
    model_id: bytes


class Input:
    """Bytes with a position."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        require(len(self.data) - self.position >= count, "the file ends early", TruncatedError)
        self.position += count
        return self.data[self.position - count : self.position]

    def chunk(self, kind: bytes, length: int) -> bytes:
        """Return the data of a chunk whose type and length have been read, after checking its CRC."""
        value = self.take(length)
        (crc,) = struct.unpack("<I", self.take(4))
        require(crc == zlib.crc32(kind + struct.pack("<I", length) + value), f"CRC of {kind!r}")
        return value


def read_header(source: Input) -> Header:
    """Return the header, which is the first chunk."""
    start = source.data[: len(SIGNATURE)]
    require(start == SIGNATURE, "signature", SignatureError)
    source.take(len(SIGNATURE))
    kind, length = struct.unpack("<4sI", source.take(8))
    require(kind == b"HEAD" and 1 <= length <= MEBIBYTE, "the first chunk is not a header")
    if length != 22:
        require(source.data[source.position : source.position + 1] != b"\x01", "length of the header")
    value = source.chunk(kind, length)
    require(value[0] == 1, "major version", UnsupportedError)
    header = Header(*struct.unpack("<BBHHBBBBHBB8s", value))
    for holds, what in (
        (header.flags == 0, "flags"),
        (header.mode <= 3, "mode"),
        (header.iterations <= 32, "more than 32 iterations"),
        (header.code_stride in (8, 16), "code stride"),
    ):
        require(holds, what, UnsupportedError)
    require(header.iterations >= 1, "no iterations")
    require(header.width >= 1 and header.height >= 1, "empty image")
    require(header.code_channels >= 1, "no code channels")
    require(64 <= header.tile_size <= 4096 and header.tile_size % 16 == 0, "tile size")
    require(header.overlap % 16 == 0 and 2 * header.overlap <= header.tile_size, "overlap")
    return header


def read_optional_chunks(source: Input, header: Header) -> dict[bytes, bytes]:
    """Return the chunks between header and units; the position is then that of the first unit."""
    found: dict[bytes, bytes] = {}
    total = 0
    for count in range(65):
        kind, length = struct.unpack("<4sI", source.take(8))
        if kind == b"ITER":
            source.position -= 8
            break
        require(count < 64, "more than 64 chunks before the first unit")
        limit = MEBIBYTE
        if kind == b"ALPH":
            limit = 2 * header.width * header.height + 1024
        else:
            total += length
        require(length <= limit and total <= 4 * MEBIBYTE, f"length of {kind!r}")
        value = source.chunk(kind, length)
        if kind in OPTIONAL:
            require(all(OPTIONAL.index(kind) > OPTIONAL.index(other) for other in found), f"place of {kind!r}")
            require(length >= 1, f"{kind!r} is empty")
            found[kind] = value
        else:
            require(kind.isalpha(), "chunk type")
            require(kind != b"HEAD", "place of the header")
            require(bool(kind[0] & 0x20), f"critical chunk {kind!r}", UnsupportedError)
        if kind == b"dens":
            require(length == 16 and 0 not in struct.unpack("<4I", value), "density")
        require(kind != b"ALPH" or header.mode in (1, 3), "alpha in an opaque mode")
    return found


# --- Alpha -----------------------------------------------------------------------------------------------------------


def decode_alpha(data: bytes) -> bytes | None:
    """Return the alpha plane of a file, one byte for each pixel by rows, or None where every pixel is opaque."""
    source = Input(data)
    header = read_header(source)
    value = read_optional_chunks(source, header).get(b"ALPH")
    if value is None:
        return None
    require(value[0] <= 3, "predictor")
    stream = zlib.decompressobj()
    try:
        plane = bytearray(stream.decompress(value[1:], header.width * header.height + 1))
    except zlib.error as error:
        raise CorruptError(str(error)) from error
    complete = len(plane) == header.width * header.height and stream.eof and not stream.unused_data
    require(complete, "alpha stream has another length")
    for n in range(len(plane)):
        if value[0] & 1 and n % header.width:
            plane[n] = (plane[n] + plane[n - 1]) & 255
    for n in range(header.width, len(plane)):
        if value[0] & 2:
            plane[n] = (plane[n] + plane[n - header.width]) & 255
    return bytes(plane)


# --- Units -----------------------------------------------------------------------------------------------------------

ENTROPY, RAW, STOPPED = range(3)


class Segment(NamedTuple):
    """One tile of one iteration."""

    coding: int
    payload: bytes
    crc_before: int
    codes_crc: int


def covered_head(header: Header, alpha: bytes) -> int:
    """Return the CRC of the covered bytes before the first codes of an image."""
    fields = header._replace(minor=0, iterations=0)
    return zlib.crc32(struct.pack("<BBHHBBBBHBB8s", *fields) + alpha)


def read_unit(source: Input, header: Header, before: list[Segment], crc: int) -> list[Segment]:
    """Return the segments of one iteration, given those of the last one and the Codes_Crc before them."""
    grids = code_grids(header)
    kind, length = struct.unpack("<4sI", source.take(8))
    require(kind == b"ITER", f"{kind!r} in place of a unit")
    require(length >= 13 * len(grids), "length of the unit")
    table = list(struct.iter_unpack("<BIII", source.take(13 * len(grids))))
    require(length == 13 * len(grids) + sum(entry[1] for entry in table), "length of the unit")
    source.position -= 13 * len(grids)
    payloads = Input(source.chunk(kind, length)[13 * len(grids) :])
    segments = []
    for tile, ((coding, size, payload_crc, codes_crc), (rows, columns)) in enumerate(zip(table, grids, strict=True)):
        payload = payloads.take(size)
        bits = header.code_channels * rows * columns
        raw_bytes = -(-bits // 8)
        require(zlib.crc32(payload) == payload_crc, f"payload CRC of tile {tile}")
        require(coding <= STOPPED, "coding", UnsupportedError)
        if coding == STOPPED:
            require(size == 0 and bool(before), "stopped segment")
        else:
            require(not before or before[tile].coding != STOPPED, "codes after a stopped segment")
        if coding == RAW:
            require(size == raw_bytes and payload[-1] & ((1 << (-bits % 8)) - 1) == 0, "raw segment")
        if coding == ENTROPY:
            require(size % 4 == 0 and 4 <= size <= raw_bytes, "length of an entropy-coded segment")
        else:
            covered = payload if coding == RAW else b"\0"
            require(codes_crc == zlib.crc32(covered, crc), f"codes CRC of tile {tile}")
        segments.append(Segment(coding, payload, crc, codes_crc))
        crc = codes_crc
    return segments


def read_units(source: Input, header: Header, alpha: bytes, *, tolerant: bool) -> list[list[Segment]]:
    """Return the units up to the end of the file; a tolerant decoder returns the complete ones of a truncated file."""
    units: list[list[Segment]] = []
    crc = covered_head(header, alpha)
    while len(units) < header.iterations:
        try:
            units.append(read_unit(source, header, units[-1] if units else [], crc))
            crc = units[-1][-1].codes_crc
        except TruncatedError as error:
            if tolerant and units:
                return units
            error.complete_iterations = len(units)
            raise
    require(tolerant or source.position == len(source.data), "trailing bytes after the last unit")
    return units


# --- Tile grid -------------------------------------------------------------------------------------------------------


def spans(length: int, header: Header) -> list[int]:
    """Return the padded lengths of the tiles along one axis, in pixels."""
    step = header.tile_size - header.overlap
    count = 1 if length <= header.tile_size else -(-(length - header.overlap) // step)
    ends = [min(n * step + header.tile_size, length) - n * step for n in range(count)]
    return [-(-end // 16) * 16 for end in ends]


def code_grids(header: Header) -> list[tuple[int, int]]:
    """Return rows and columns of code cells of each tile."""
    stride = header.code_stride
    return [(h // stride, w // stride) for h in spans(header.height, header) for w in spans(header.width, header)]


# --- Codes -----------------------------------------------------------------------------------------------------------


def unpack_bits(packed: bytes, channels: int, cells: int) -> Plane:
    """Return the codes of raw bytes, first bit in the highest place."""
    bits = [byte >> place & 1 for byte in packed for place in range(7, -1, -1)]
    return [bits[n * cells : (n + 1) * cells] for n in range(channels)]


def pack_bits(codes: Plane) -> bytes:
    """Return codes as raw bytes, padding bits 0."""
    bits = "".join(str(bit) for channel in codes for bit in channel)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


# --- Weights file ----------------------------------------------------------------------------------------------------


def read_weights(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of pairs and entropy network, and the configuration of a weights file.

    Raises:
        ModelError: They are not as the specification demands.
        UnsupportedError: The model is of another family.
    """
    family = read_description(data)[1].get("family")
    require(family in ("embedded", "recurrent"), "family", UnsupportedError)
    return check_for_codes(data)


# --- Iteration schedule ----------------------------------------------------------------------------------------------


class Pairs:
    """The pairs of a model, and which coefficients of a tile are significant."""

    def __init__(self, tensors: dict[str, Tensor], cells: int) -> None:
        self.coefficients, self.levels = (tensors[name].rows() for name in PAIR_TABLES[:2])
        self.number = len(self.levels[0])
        self.channels = 2 * self.number
        self.significant: list[set[int]] = [set() for _ in range(cells)]

    def is_significant(self, t: int, p: int, cell: int) -> bool:
        """Return whether the coefficient of a pair was significant before iteration t, up to which all is taken in."""
        return self.coefficients[t][p] in self.significant[cell]

    def is_coded(self, t: int, channel: int, cell: int, codes: Plane) -> bool:
        """Return whether a bit of iteration t is coded; in `codes`, the bits before it in coding order suffice."""
        p = channel % self.number
        level = self.levels[t][p]
        if level == IDLE:
            return False
        if channel >= self.number:
            return level == 1 and not self.is_significant(t, p, cell) and codes[p][cell] == 1
        return level == 1 or (not self.is_significant(t, p, cell) and codes[p - 1][cell] == 1)

    def values(self, t: int, codes: Plane) -> Plane:
        """Return the values of an iteration, all of its codes known, before it is taken in."""
        return [[self.value(t, p, cell, bit) for cell, bit in enumerate(codes[p])] for p in range(self.number)]

    def value(self, t: int, p: int, cell: int, bit: int) -> int:
        """Return the value of a magnitude bit."""
        if bit:
            return 1
        # Of a significant coefficient, only level 1 is coded.
        return -1 if self.levels[t][p] == 1 and self.is_significant(t, p, cell) else 0

    def check(self, t: int, codes: Plane) -> None:
        """Reject the codes of a raw segment if an inferred bit is set."""
        for channel, row in enumerate(codes):
            for cell, bit in enumerate(row):
                require(not bit or self.is_coded(t, channel, cell, codes), "an inferred bit is set")

    def take_in(self, t: int, codes: Plane) -> None:
        """Make those coefficients significant of which iteration t says it."""
        for p in range(self.number):
            if self.levels[t][p] == 1:
                for cell, bit in enumerate(codes[p]):
                    if bit:
                        self.significant[cell].add(self.coefficients[t][p])


class AllCoded:
    """The bits of a model of family `recurrent`: all of them are context-coded, none is inferred."""

    def __init__(self, channels: int) -> None:
        self.number = self.channels = channels

    def is_coded(self, t: int, channel: int, cell: int, codes: Plane) -> bool:
        """Return whether a bit is coded; see `Pairs.is_coded`."""
        del t, channel, cell, codes
        return True

    def values(self, t: int, codes: Plane) -> Plane:
        """Return the values of an iteration."""
        return [
            [self.value(t, channel, cell, bit) for cell, bit in enumerate(row)] for channel, row in enumerate(codes)
        ]

    def value(self, t: int, channel: int, cell: int, bit: int) -> int:
        """Return the value of a bit."""
        del t, channel, cell
        return 1 if bit else -1

    def check(self, t: int, codes: Plane) -> None:
        """Accept the codes of any raw segment."""

    def take_in(self, t: int, codes: Plane) -> None:
        """Do nothing: no coefficient becomes significant."""


# --- Entropy network -------------------------------------------------------------------------------------------------


def table(text: str, crc: int, code: str) -> tuple[int, ...]:
    """Return a table of the specification, its CRC-32 compared."""
    values = tuple(map(int, text.split()))
    if len(values) != 256 or zlib.crc32(struct.pack(f"<256{code}", *values)) != crc:
        raise AssertionError("misprinted table")
    return values


SIGMOID = table(
    """
    0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
    0 0 0 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 2 2 2 2 2 2
    2 2 2 3 3 3 3 3 4 4 4 4 5 5 5 6 6 6 7 7 7 8 8 9 10 10
    11 11 12 13 14 14 15 16 17 18 19 20 22 23 24 26 27 29 30 32 34 36 38 40 42 44
    47 49 51 54 57 60 62 65 69 72 75 78 82 85 89 93 96 100 104 108 112 116 120 124 128 131
    135 139 143 147 151 155 159 162 166 170 173 177 180 183 186 190 193 195 198 201 204 206 208 211 213 215
    217 219 221 223 225 226 228 229 231 232 233 235 236 237 238 239 240 241 241 242 243 244 244 245 245 246
    247 247 248 248 248 249 249 249 250 250 250 251 251 251 251 252 252 252 252 252 253 253 253 253 253 253
    253 253 253 254 254 254 254 254 254 254 254 254 254 254 254 254 254 254 254 254 255 255 255 255 255 255
    255 255 255 255 255 255 255 255 255 255 255 255 255 255 255 255 255 255 255 255 255 255
    """,
    0xD311B844,
    "B",
)
TANH = table(
    """
    -127 -127 -127 -127 -127 -127 -127 -127 -127 -127 -127 -127 -127 -127 -127 -127 -127 -127 -127 -127
    -127 -127 -127 -127 -127 -127 -127 -127 -127 -126 -126 -126 -126 -126 -126 -126 -126 -126 -126 -126
    -126 -126 -126 -126 -126 -126 -125 -125 -125 -125 -125 -125 -125 -125 -125 -124 -124 -124 -124 -124
    -123 -123 -123 -123 -122 -122 -122 -122 -121 -121 -120 -120 -120 -119 -119 -118 -118 -117 -116 -116
    -115 -114 -113 -113 -112 -111 -110 -109 -108 -107 -105 -104 -103 -101 -100 -98 -97 -95 -93 -91
    -89 -87 -85 -83 -81 -78 -76 -73 -70 -68 -65 -62 -59 -56 -52 -49 -46 -42 -38 -35
    -31 -27 -24 -20 -16 -12 -8 -4 0 4 8 12 16 20 24 27 31 35 38 42
    46 49 52 56 59 62 65 68 70 73 76 78 81 83 85 87 89 91 93 95
    97 98 100 101 103 104 105 107 108 109 110 111 112 113 113 114 115 116 116 117
    118 118 119 119 120 120 120 121 121 122 122 122 122 123 123 123 123 124 124 124
    124 124 125 125 125 125 125 125 125 125 125 126 126 126 126 126 126 126 126 126
    126 126 126 126 126 126 126 126 127 127 127 127 127 127 127 127 127 127 127 127
    127 127 127 127 127 127 127 127 127 127 127 127 127 127 127 127
    """,
    0xFDB8E9B2,
    "b",
)
PROBABILITY = table(
    """
    32 32 32 32 32 32 32 34 36 39 41 44 47 50 53 56 60 64
    68 72 77 82 87 92 98 105 111 119 126 134 143 152 162 172 184 195
    208 221 236 251 267 284 302 321 342 364 387 412 439 467 497 528 562 598
    636 677 720 766 815 867 922 980 1042 1109 1179 1253 1333 1417 1506 1601 1701 1808
    1921 2041 2168 2303 2446 2598 2758 2928 3108 3298 3500 3713 3938 4176 4427 4692 4971 5266
    5577 5904 6249 6611 6992 7392 7812 8252 8714 9197 9702 10230 10782 11357 11955 12579 13226 13898
    14595 15316 16062 16832 17625 18442 19282 20143 21025 21928 22849 23788 24743 25712 26695 27689 28693 29705
    30723 31744 32768 33792 34813 35831 36843 37847 38841 39824 40793 41748 42687 43608 44511 45393 46254 47094
    47911 48704 49474 50220 50941 51638 52310 52957 53581 54179 54754 55306 55834 56339 56822 57284 57724 58144
    58544 58925 59287 59632 59959 60270 60565 60844 61109 61360 61598 61823 62036 62238 62428 62608 62778 62938
    63090 63233 63368 63495 63615 63728 63835 63935 64030 64119 64203 64283 64357 64427 64494 64556 64614 64669
    64721 64770 64816 64859 64900 64938 64974 65008 65039 65069 65097 65124 65149 65172 65194 65215 65234 65252
    65269 65285 65300 65315 65328 65341 65352 65364 65374 65384 65393 65402 65410 65417 65425 65431 65438 65444
    65449 65454 65459 65464 65468 65472 65476 65480 65483 65486 65489 65492 65495 65497 65500 65502 65504 65504
    65504 65504 65504 65504
    """,
    0x3D728A15,
    "H",
)


def clamp(value: int, low: int, high: int) -> int:
    """Return the value of low..high that is nearest."""
    return min(max(value, low), high)


def neighbourhoods(x: Plane, rows: int, columns: int) -> list[list[int]]:
    """Return, per cell, its 3x3 neighbours in each channel, in the order of the weights; 0 outside the tile."""
    zeros = [0] * (columns + 2)
    padded = [
        [zeros, *([0, *channel[n * columns : (n + 1) * columns], 0] for n in range(rows)), zeros] for channel in x
    ]
    return [
        [value for channel in padded for line in channel[row : row + 3] for value in line[column : column + 3]]
        for row in range(rows)
        for column in range(columns)
    ]


def cells_around(rows: int, columns: int) -> list[list[int]]:
    """Return, per cell, those of the eight cells around it that lie in the tile."""
    places = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    return [
        [(row + dy) * columns + column + dx for dy, dx in places if 0 <= row + dy < rows and 0 <= column + dx < columns]
        for row in range(rows)
        for column in range(columns)
    ]


def dot(weights: Sequence[int], inputs: Sequence[int]) -> int:
    """Return the sum of products."""
    return sum(map(mul, weights, inputs))


class Network:
    """The entropy network at work on one tile."""

    def __init__(self, tensors: dict[str, Tensor], config: dict[str, Any], rows: int, columns: int) -> None:
        self.tensors, self.rows, self.columns = tensors, rows, columns
        dense = config["family"] == "recurrent"
        self.bits = AllCoded(config["code_channels"]) if dense else Pairs(tensors, rows * columns)
        self.passes = config["passes"]
        self.state: Plane = [[0] * (rows * columns) for _ in range(tensors["state.weight"].shape[1])]
        self.accumulators = [[0] * tensors["accumulator.weight"].shape[2] for _ in range(rows * columns)]
        self.around = cells_around(rows, columns)
        self.counts: list[list[int]] = []  # 2S features r of the accumulators, per cell

    def cells(self, lattice: int) -> list[int]:
        """Return the cells of a lattice in coding order."""
        places = [divmod(n, self.columns) for n in range(self.rows * self.columns)]
        members = {
            0: [(y + x) % 2 == 0 for y, x in places],
            1: [(y + x) % 2 == 1 for y, x in places],
            2: [y % 2 == 0 and x % 2 == 0 for y, x in places],
            3: [y % 2 == 1 and x % 2 == 1 for y, x in places],
        }
        return [n for n, member in enumerate(members[lattice]) if member]

    def convolved(self, x: Plane) -> list[list[int]]:
        """Return, per cell, the inputs of a convolution over values: the neighbours, 127 times."""
        return neighbourhoods([[127 * value for value in channel] for channel in x], self.rows, self.columns)

    def accumulate(self, t: int, x: Plane) -> None:
        """Add the values of iteration t - 1 to the accumulators."""
        if_zero, otherwise = (self.tensors["accumulator.weight"].at(t - 1, n).rows() for n in (0, 1))
        for cell, accumulator in enumerate(self.accumulators):
            values = [channel[cell] for channel in x]
            for s, q in enumerate(accumulator):
                accumulator[s] += dot(otherwise[s] if q else if_zero[s], values)
        scale = self.tensors["accumulator.scale"].values[t - 1]
        r = [[abs(clamp(q * scale >> 10, -127, 127)) for q in accumulator] for accumulator in self.accumulators]
        self.counts = []
        for cell, around in enumerate(self.around):
            self.counts.append(r[cell] + [sum(r[j][s] for j in around) >> 3 for s in range(len(if_zero))])

    def update(self, t: int, codes: Plane) -> None:
        """Update accumulators, state and significance with the codes of iteration t - 1."""
        x = self.bits.values(t - 1, codes)
        self.bits.take_in(t - 1, codes)
        self.accumulate(t, x)
        w_q = self.tensors["accumulator_input.weight"].rows()
        bias = self.tensors["state_in.bias"].at(t - 1).values
        w_x, w_h = self.tensors["state_in.weight"].at(t - 1).rows(), self.tensors["state.weight"].rows()
        half = len(self.state)
        for cell, around in enumerate(self.convolved(x)):
            h = [channel[cell] for channel in self.state]
            counts = self.counts[cell][: self.tensors["accumulator_input.weight"].shape[1]]
            z = [bias[c] + dot(w_x[c], around) + dot(w_h[c], h) + dot(w_q[c], counts) for c in range(2 * half)]
            for c in range(half):
                u = SIGMOID[clamp(z[c] >> 8, -128, 127) + 128]
                n = TANH[clamp(z[half + c] >> 7, -128, 127) + 128]
                self.state[c][cell] = h[c] + ((u * (n - h[c]) + 128) >> 8)

    def decode(self, t: int, coder: RangeDecoder) -> Plane:
        """Return the codes of iteration t."""
        bits, number = self.bits, self.bits.number
        w_f = self.tensors["feature.weight"].rows()
        feature = [[dot(w, around) for w in w_f] for around in neighbourhoods(self.state, self.rows, self.columns)]
        codes: Plane = [[0] * (self.rows * self.columns) for _ in range(bits.channels)]
        x: Plane = [[0] * (self.rows * self.columns) for _ in range(number)]
        for p, (lattice, first, stop) in enumerate(self.passes):
            p1_q16 = self.probabilities(t, p, feature, self.convolved(x))
            for m in range(first, stop):
                for cell in self.cells(lattice):
                    if bits.is_coded(t, m, cell, codes):
                        codes[m][cell] = coder.bit(p1_q16[cell][m - first])
                    x[m][cell] = bits.value(t, m, cell, codes[m][cell])
        for channel in range(number, bits.channels):
            for cell in range(self.rows * self.columns):
                if bits.is_coded(t, channel, cell, codes):
                    codes[channel][cell] = coder.bit(32768)
        coder.finish()
        return codes

    def probabilities(self, t: int, p: int, feature: list[list[int]], context: list[list[int]]) -> dict[int, list[int]]:
        """Return p1_q16 of each bit of pass p, by cell."""
        bias, out = self.tensors["feature.bias"].at(t, p).values, self.tensors["output.weight"].at(t, p).rows()
        out_bias = self.tensors["output.bias"].at(t, p).values
        w_c = self.tensors["context.weight"].at(t, p - 1).rows() if p else []
        w_q = self.tensors["accumulator_output.weight"].at(t - 1, p).rows() if t else []
        p1_q16: dict[int, list[int]] = {}
        for cell in self.cells(self.passes[p][0]):
            z = [b + f for b, f in zip(bias, feature[cell], strict=True)]
            if p:
                z = [value + dot(w, context[cell]) for value, w in zip(z, w_c, strict=True)]
            a = [clamp(value >> 6, 0, 255) for value in z]
            y = [b + dot(w, a) for b, w in zip(out_bias, out, strict=True)]
            if t:
                y = [value + dot(w, self.counts[cell]) for value, w in zip(y, w_q, strict=True)]
            p1_q16[cell] = [PROBABILITY[clamp(value >> 7, -128, 127) + 128] for value in y]
        return p1_q16


# --- Range coder -----------------------------------------------------------------------------------------------------


class RangeDecoder:
    """Decodes the bits of one payload."""

    def __init__(self, payload: bytes) -> None:
        self.words = [*struct.unpack(f"<{len(payload) // 4}I", payload), 0, 0]
        self.low, self.width, self.next_word = 0, BIT_64, 2
        self.point = self.words[0] << 32 | self.words[1]

    def bit(self, p1_q16: int) -> int:
        """Return the next bit, which is 1 with probability p1_q16 / 65536."""
        share = ((65536 - p1_q16) * 16777214 >> 16) + 1
        unit = self.width >> 24
        offset = (self.point - self.low) & BIT_64
        require(offset // unit < 1 << 24, "payload is invalid under its probabilities")
        bit = int(offset // unit >= share)
        if bit:
            self.low = (self.low + unit * share) & BIT_64
            self.width = unit * ((1 << 24) - share)
        else:
            self.width = unit * share
        if self.width < 1 << 32:
            self.low, self.width = self.low << 32 & BIT_64, self.width << 32
            word = self.words[self.next_word] if self.next_word < len(self.words) else 0
            self.point = self.point << 32 & BIT_64 | word
            self.next_word += 1
        return bit

    def finish(self) -> None:
        """Check that the payload ends as the one canonical payload does."""
        last = (self.low + 0xFFFFFFFF & BIT_64) >> 32
        extra = last == (self.low + self.width & BIT_64) >> 32
        require(self.point == last << 32, "payload does not end canonically")
        require(len(self.words) - 2 == self.next_word - 1 + extra, "payload has missing or additional words")


# --- From bytes to codes ---------------------------------------------------------------------------------------------


def decode(data: bytes, weights: bytes, *, tolerant: bool = False) -> tuple[Header, list[list[Plane]]]:
    """Return the header and the codes [tile][iteration][channel][cell] of a file.

    Raises:
        Rejected: The file breaks a rule, or needs other weights.
        ModelError: The weights break one.
    """
    source = Input(data)
    header = read_header(source)
    alpha = read_optional_chunks(source, header).get(b"ALPH", b"")
    units = read_units(source, header, alpha, tolerant=tolerant)
    require(header.model_id == hashlib.sha256(weights).digest()[:8], "model", UnsupportedError)
    tensors, config = read_weights(weights)
    same_codes = (header.code_channels, header.code_stride) == (config["code_channels"], config["code_stride"])
    require(same_codes, "code channels or stride are not those of the model", UnsupportedError)
    require(header.iterations <= config["iterations"], "more iterations than the model has", UnsupportedError)
    codes: list[list[Plane]] = []
    for tile, (rows, columns) in enumerate(code_grids(header)):
        network = Network(tensors, config, rows, columns)
        codes.append([])
        for t, unit in enumerate(units):
            segment = unit[tile]
            if segment.coding == STOPPED:
                break
            if t:
                network.update(t, codes[tile][-1])
            if segment.coding == RAW:
                codes[tile].append(unpack_bits(segment.payload, header.code_channels, rows * columns))
                network.bits.check(t, codes[tile][-1])
                continue
            codes[tile].append(network.decode(t, RangeDecoder(segment.payload)))
            found = zlib.crc32(pack_bits(codes[tile][-1]), segment.crc_before)
            require(found == segment.codes_crc, f"codes CRC of tile {tile}")
    return header, codes


def report(weights: bytes, data: bytes) -> list[str]:
    """Return the lines of output for one file."""
    fault = []
    try:
        try:
            _, codes = decode(data, weights)
        except TruncatedError as error:
            fault = [f"truncated: {error.complete_iterations} complete iterations"]
            if not error.complete_iterations:
                return fault
            _, codes = decode(data, weights, tolerant=True)
        decode_alpha(data)
    except Rejected as error:
        return [f"{error.fault}: {error}"]
    lines = []
    source = Input(data)
    header = read_header(source)
    alpha = read_optional_chunks(source, header).get(b"ALPH", b"")
    for t, unit in enumerate(read_units(source, header, alpha, tolerant=True)):
        for tile, segment in enumerate(unit):
            crc = zlib.crc32(pack_bits(codes[tile][t])) if t < len(codes[tile]) else 0
            lines.append(f"{t} {tile} {('entropy', 'raw', 'stopped')[segment.coding]} {crc:08x}")
    return lines + fault


def main(arguments: list[str]) -> None:
    """Print what a file holds."""
    weights, data = (Path(name).read_bytes() for name in arguments)
    print("\n".join(report(weights, data)))


if __name__ == "__main__":
    main(sys.argv[1:])
