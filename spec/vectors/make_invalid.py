"""The invalid files of the vectors, one fault each; used by `generate.py` only."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from vectors.assemble import (
    SIGNATURE,
    Draft,
    Entry,
    Model,
    Plan,
    chunk,
    code_units,
    file_bytes,
    stored_zlib,
    unit_data,
)

from pillow_rnc.container.records import Header
from pillow_rnc.entropy.range_coder import SegmentDecoder
from pillow_rnc.entropy.tile_coder import code_plane

if TYPE_CHECKING:
    from collections.abc import Iterator

    Units = tuple[tuple[Entry, ...], ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One invalid file.

    Attributes:
        name: Of the file.
        comment: What is wrong.
        data: The bytes.
        expect: Class of the fault.
        found_in: What a decoder must check to find it: "file" (without the model), "codes" (with it), "alpha" or "end".
        complete_iterations: Iterations that a tolerant decoder may show; for truncated files.
        weights: The model.
    """

    name: str
    comment: str
    data: bytes
    expect: str = "corrupt"
    found_in: str = "file"
    complete_iterations: int = 0
    weights: str = "complete"


def invalid_cases(models: dict[str, Model]) -> list[Fault]:
    """Return every case, in the order of their numbers."""
    base, odd, grey = _base(models), _odd_base(models), _base(models, mode="LA", width=5, height=4)
    makers = (
        _signature(base),
        _head(base),
        _model(base),
        _chunks(base, grey),
        _units(base, odd),
        _segments(base, odd),
        _inferred(models),
        _payloads(models, base),
        _moved(models),
        _spliced(models),
        _alpha(grey),
        _truncated(base),
    )
    return [fault for maker in makers for fault in maker]


def _base(models: dict[str, Model], plan: Plan | None = None, seed: int = 7, **fields: object) -> Draft:
    """Return a valid file of two tiles and three iterations, all coded, which each fault is put into."""
    model = models["complete"]
    header = Header(100, 48, "RGB", 3, model.code_channels, model.code_stride, 64, 16, model.model_id)
    header = replace(header, **fields)  # type: ignore[arg-type]
    units = code_units(header, model.entropy_model, Random(seed), plan or Plan())  # noqa: S311 -- repeatable
    return Draft(header, (), units)


def _odd_base(models: dict[str, Model]) -> Draft:
    """Return a valid file of one raw plane with padding bits."""
    model = models["odd"]
    header = Header(10, 10, "L", 1, model.code_channels, model.code_stride, 64, 0, model.model_id)
    return Draft(header, (), code_units(header, model.entropy_model, Random(8), Plan()))  # noqa: S311 -- repeatable


def _signature(base: Draft) -> Iterator[Fault]:
    data = base.bytes()
    yield Fault("empty", "no bytes", b"", "signature")
    yield Fault("signature-short", "ends within the signature", data[:7], "signature")
    yield Fault("signature-high-bit", "first byte lost its high bit", b"\x0a" + data[1:], "signature")
    yield Fault("signature-line-end", "CR LF became LF", data.replace(b"\r\n", b"\n", 1), "signature")
    yield Fault("signature-schema", "a RELAX NG schema", b"start = element a { empty }\n", "signature")
    yield Fault("signature-propack", "an archive of ProPack", b"RNC\x01" + data[4:], "signature")


def _head(base: Draft) -> Iterator[Fault]:
    for name, offset, value, expect in (
        ("major-0", 0, b"\0", "unsupported"),
        ("major-2", 0, b"\2", "unsupported"),
        ("width-0", 2, b"\0\0", "corrupt"),
        ("height-0", 4, b"\0\0", "corrupt"),
        ("mode-4", 6, b"\4", "unsupported"),
        ("iterations-0", 7, b"\0", "corrupt"),
        ("iterations-33", 7, b"\x21", "unsupported"),
        ("channels-0", 8, b"\0", "corrupt"),
        ("stride-4", 9, b"\4", "unsupported"),
        ("tile-size-48", 10, b"\x30\0", "corrupt"),
        ("tile-size-72", 10, b"\x48\0", "corrupt"),
        ("tile-size-4112", 10, b"\x10\x10", "corrupt"),
        ("overlap-8", 12, b"\x08", "corrupt"),
        ("overlap-48", 12, b"\x30", "corrupt"),
        ("flags-1", 13, b"\1", "unsupported"),
    ):
        yield Fault(f"head-{name}", f"byte {offset} of HEAD", replace(base, head={offset: value}).bytes(), expect)
    head, rest = base.head_data(), base.bytes()[8 + 34 :]
    yield Fault("head-short", "HEAD of 21 bytes", SIGNATURE + chunk(b"HEAD", head[:-1]) + rest)
    yield Fault("head-long", "HEAD of 23 bytes", SIGNATURE + chunk(b"HEAD", head + b"\0") + rest)
    yield Fault("head-empty", "HEAD without data", SIGNATURE + chunk(b"HEAD", b"") + rest)
    yield Fault("head-crc", "Crc of HEAD", SIGNATURE + chunk(b"HEAD", head, crc_change=1) + rest)
    yield Fault(
        "head-missing", "first chunk is a comment", SIGNATURE + chunk(b"comm", b"x") + chunk(b"HEAD", head) + rest
    )
    data = replace(base, chunks=(chunk(b"HEAD", head),)).bytes()
    yield Fault("head-twice", "HEAD is repeated", data)


def _model(base: Draft) -> Iterator[Fault]:
    header = base.header
    data = replace(base, header=replace(header, model_id=b"nonesuch")).bytes()
    yield Fault("model-unknown", "no such model", data, "unsupported", "codes")
    for name, fields in (("channels", {"code_channels": 4}), ("stride", {"code_stride": 16})):
        other = replace(header, **fields)  # type: ignore[arg-type]
        units = tuple(
            tuple(_raw(bytes(other.code_shape(tile).raw_bytes)) for tile in other.grid) for _ in range(other.iterations)
        )
        data = Draft(other, (), units).bytes()
        yield Fault(f"model-{name}", f"{name} not those of the model", data, "unsupported", "codes")
    stopped = Entry(2, b"", 0)
    long = Draft(replace(header, iterations=7), (), base.units + ((stopped, stopped),) * 4)
    yield Fault("model-iterations", "seven iterations, the model has six", long.bytes(), "unsupported", "codes")


def _raw(payload: bytes) -> Entry:
    return Entry(1, payload, zlib.crc32(payload))


def _chunks(base: Draft, grey: Draft) -> Iterator[Fault]:
    comment, profile, exif = (chunk(kind, b"x") for kind in (b"comm", b"iccp", b"exif"))
    density = struct.pack("<4I", 72, 1, 72, 1)
    for name, about, chunks, expect in (
        ("critical", "unknown critical chunk", (chunk(b"Abcd", b"x"),), "unsupported"),
        ("digit", "type with a digit", (chunk(b"abc1", b"x"),), "corrupt"),
        ("crc", "Crc of an unknown chunk", (chunk(b"abcd", b"x", crc_change=0x80000000),), "corrupt"),
        ("twice", "two comments", (comment, comment), "corrupt"),
        ("order", "ICC profile after Exif", (exif, profile), "corrupt"),
        ("empty", "comment without data", (chunk(b"comm", b""),), "corrupt"),
        ("long", "Length of an ancillary chunk above the limit", (struct.pack("<4sI", b"abcd", 1048577),), "corrupt"),
        ("65", "one chunk more than is allowed", (chunk(b"aaaa", b""),) * 65, "corrupt"),
        ("dens-15", "pixel density of 15 bytes", (chunk(b"dens", density[:-1]),), "corrupt"),
        ("dens-0", "denominator 0", (chunk(b"dens", density[:-4] + bytes(4)),), "corrupt"),
    ):
        yield Fault(f"chunk-{name}", about, replace(base, chunks=chunks).bytes(), expect)
    for name, about, part in (
        ("alph-empty", "ALPH without data", chunk(b"ALPH", b"")),
        ("alph-long", "Length of ALPH above the limit", struct.pack("<4sI", b"ALPH", 2 * 20 + 1024 + 1)),
        ("alph-early", "ALPH before a comment", chunk(b"ALPH", b"\0" + stored_zlib(bytes(20))) + comment),
    ):
        yield Fault(f"chunk-{name}", about, replace(grey, chunks=(part,)).bytes())
    opaque = replace(grey, header=replace(grey.header, mode="RGB"))
    data = replace(opaque, chunks=(chunk(b"ALPH", b"\0" + stored_zlib(bytes(20))),)).bytes()
    yield Fault("chunk-alph-rgb", "alpha in an image of mode RGB", data)
    start, rest = (len(replace(base, units=base.units[:n]).bytes()) for n in (1, 3))
    data = base.bytes()
    yield Fault("chunk-late", "a comment between two units", data[:start] + comment + data[start:rest])


def _units(base: Draft, odd: Draft) -> Iterator[Fault]:
    before = replace(base, units=base.units[:2]).bytes()
    data = unit_data(base.stored_units()[2])
    yield Fault("unit-crc", "Crc of the last unit", before + chunk(b"ITER", data, crc_change=1))
    yield Fault("unit-short", "shorter than its table", before + chunk(b"ITER", data[:25]))
    yield Fault("unit-padding", "a byte after the payloads", before + chunk(b"ITER", data + b"\0"))
    wrong = base.with_entry(2, 1, length=len(base.units[2][1].payload) - 4)
    yield Fault("unit-lengths", "lengths of payloads add up to less", wrong.bytes())
    wrong = base.with_entry(2, 1, length=0xFFFFFFFC)
    yield Fault("unit-lengths-huge", "lengths of payloads add up to more than 2^32", wrong.bytes())
    yield Fault("unit-extra", "one unit too many", base.bytes() + chunk(b"ITER", data))
    yield Fault("unit-trailing", "a byte after the last unit", odd.bytes() + b"\0", found_in="end", weights="odd")


def _segments(base: Draft, odd: Draft) -> Iterator[Fault]:
    payload, crc = base.units[1][0].payload, base.units[1][0].codes_crc
    raw_length = base.header.code_shape(base.header.grid[0]).raw_bytes
    for name, about, iteration, entry in (
        ("coding-3", "unknown coding", 1, Entry(3, payload, crc)),
        ("coded-0", "coded payload of 0 bytes", 1, Entry(0, b"", crc)),
        ("coded-odd", "coded payload of 4 n + 1 bytes", 1, Entry(0, payload + b"\0", crc)),
        ("coded-long", "coded payload longer than raw", 1, Entry(0, payload + bytes(raw_length), crc)),
        ("payload-crc", "Payload_Crc", 1, Entry(0, payload, crc, payload_crc=zlib.crc32(payload) ^ 1)),
        ("raw-short", "raw payload one byte short", 1, _raw(bytes(raw_length - 1))),
        ("raw-long", "raw payload one byte too long", 1, _raw(bytes(raw_length + 1))),
        ("raw-codes-crc", "Codes_Crc of a raw segment", 1, Entry(1, bytes(raw_length), 0)),
        ("stop-first", "stopped in iteration 0", 0, Entry(2, b"", 0)),
        ("stop-payload", "stopped with a payload", 2, Entry(2, bytes(4), 0)),
        ("stop-payload-crc", "stopped with a Payload_Crc", 2, Entry(2, b"", 0, payload_crc=1)),
        ("stop-codes-crc", "stopped with a Codes_Crc", 2, Entry(2, b"", 1)),
        ("stop-undone", "codes after a stopped segment", 1, Entry(2, b"", 0)),
    ):
        units = [list(unit) for unit in base.units]
        units[iteration][0] = entry
        data = replace(base, units=tuple(map(tuple, units))).bytes()
        yield Fault(f"segment-{name}", about, data, "unsupported" if name == "coding-3" else "corrupt")
    (entry,) = odd.units[0]
    padded = _raw(bytes([entry.payload[0] | 1]))
    yield Fault("segment-padding-bit", "padding bit set", replace(odd, units=((padded,),)).bytes(), weights="odd")


def _inferred(models: dict[str, Model]) -> Iterator[Fault]:
    """Raw planes in which an inferred bit is set; see the schedule of the model."""
    base = _base(models, Plan("noise", raw="all"), width=48, height=40, iterations=5)
    shape = base.header.code_shape(base.header.grid[0])
    planes = [np.unpackbits(np.frombuffer(entry.payload, np.uint8), count=shape.bits) for (entry,) in base.units]
    first, second, third, _, fifth = (plane.reshape(shape) for plane in planes)
    anywhere = np.ones(shape[1:], np.bool_)
    for name, about, iteration, channel, where in (
        ("idle", "magnitude bit of an idle pair", 0, 2, anywhere),
        ("idle-sign", "sign bit of an idle pair", 0, 6, anywhere),
        ("nothing", "magnitude bit in an iteration that codes nothing", 3, 0, anywhere),
        ("level", "the second level without the first", 0, 1, first[0] == 0),
        ("level-3", "the third level without the second", 2, 3, (third[1] == 1) & (third[2] == 0)),
        ("level-known", "the second level of a significant coefficient", 4, 1, (first[3] == 1) & (fifth[0] == 1)),
        ("sign-zero", "sign bit of a coefficient that stays zero", 0, 4, first[0] == 0),
        ("sign-level", "sign bit of a second level", 0, 5, first[1] == 1),
        ("sign-known", "sign bit of a significant coefficient", 1, 5, (first[0] == 1) & (second[1] == 1)),
    ):
        place = np.ravel_multi_index((channel, *np.argwhere(where)[0]), shape)
        bits = planes[iteration].copy()
        assert not bits[place]
        bits[place] = 1
        units = list(base.units)
        units[iteration] = (_raw(np.packbits(bits).tobytes()),)
        data = replace(base, units=tuple(units)).bytes()
        yield Fault(f"inferred-{name}", f"{about} is set in a raw plane", data, found_in="codes")


def _payloads(models: dict[str, Model], base: Draft) -> Iterator[Fault]:
    payload, crc = base.units[0][0].payload, base.units[0][0].codes_crc
    words = list(struct.unpack(f"<{len(payload) // 4}I", payload))
    nearby = [*words[:-1], words[-1] + 1]
    for name, about, wrong, codes_crc in (
        ("codes-crc", "Codes_Crc of a coded segment", words, crc ^ 1),
        ("extra-word", "an additional word 0", [*words, 0], crc),
        ("missing-word", "the last word is missing", words[:-1], crc),
        ("not-canonical", "the right codes from another last word", nearby, crc),
        ("outside", "first bit outside the interval", [0xFFFFFFFF] * len(words), crc),
    ):
        data = struct.pack(f"<{len(wrong)}I", *wrong)
        if name == "not-canonical":
            assert _first_codes(models["complete"], base, data) == _first_codes(models["complete"], base, payload)
        draft = base.with_entry(0, 0, payload=data, codes_crc=codes_crc)
        yield Fault(f"payload-{name}", about, draft.bytes(), found_in="codes")
    base = _base(models, iterations=4)
    assert base.units[3][0].payload == bytes(4)
    for name, about, data in (
        ("nothing-1", "a word 1 in place of the payload of no bits", struct.pack("<I", 1)),
        ("nothing-0-0", "two words 0 in place of the payload of no bits", bytes(8)),
    ):
        yield Fault(f"payload-{name}", about, base.with_entry(3, 0, payload=data).bytes(), found_in="codes")


def _first_codes(model: Model, base: Draft, payload: bytes) -> bytes:
    """Return the codes of tile 0 in iteration 0, whatever the end of the payload looks like."""
    shape = base.header.code_shape(base.header.grid[0])
    network, decoder, plane = model.entropy_model, SegmentDecoder(payload), np.zeros(shape, np.uint8)
    state, coded_bits = network.start(shape.height, shape.width), network.coded_bits(shape.height, shape.width)
    state.start_iteration(0, None)
    code_plane(network.passes, state, coded_bits, plane, lambda p1_q16, _: decoder.decode(p1_q16))
    return plane.tobytes()


def _moved(models: dict[str, Model]) -> Iterator[Fault]:
    """Valid units and segments of a file, moved to other positions in the same file."""
    for raw in ("none", "all"):
        base, kind, found_in = _base(models, Plan(raw=raw)), "raw" if raw == "all" else "coded", _found_in(raw)
        first, second, third = base.stored_units()
        for name, about, units in (
            ("units", "units 1 and 2 exchanged", (first, third, second)),
            ("first-units", "units 0 and 1 exchanged", (second, first, third)),
            ("unit-twice", "unit 1 again in place of unit 2", (first, second, second)),
            ("tiles", "the two tiles exchanged in every unit", tuple((b, a) for a, b in (first, second, third))),
            ("tiles-once", "the two tiles exchanged in unit 1", (first, second[::-1], third)),
            ("tile-twice", "tile 0 again in place of tile 1, in unit 2", (first, second, third[:1] * 2)),
        ):
            data = file_bytes(base.head_data(), (), units)
            yield Fault(f"moved-{name}-{kind}", f"{about}, {kind}", data, found_in=found_in)
    base = _base(models, Plan(stops={0: 2}))
    first, second, third = base.stored_units()
    data = file_bytes(base.head_data(), (), (first, second, third[:1] * 2))
    yield Fault("moved-stop", "the stopped segment of tile 0 again in place of tile 1, in unit 2", data)


def _spliced(models: dict[str, Model]) -> Iterator[Fault]:
    """Valid parts of two files of equal size, combined in one."""
    for raw in ("none", "all"):
        base, kind, found_in = _base(models, Plan(raw=raw)), "raw" if raw == "all" else "coded", _found_in(raw)
        (first, second, third), other = base.stored_units(), _base(models, Plan(raw=raw), seed=8).stored_units()
        for name, about, units in (
            ("unit", "unit 1 of another image of equal size", (first, other[1], third)),
            ("first-unit", "unit 0 of another image of equal size", (other[0], second, third)),
            ("last-tile", "the last segment is of another image", (first, second, (third[0], other[2][1]))),
            ("tile", "all segments of tile 1 are of another image", _with_tile(1, (first, second, third), other)),
        ):
            data = file_bytes(base.head_data(), (), units)
            yield Fault(f"spliced-{name}-{kind}", f"{about}, {kind}", data, found_in=found_in)
        for field, value in (("width", 99), ("height", 47), ("mode", "L")):
            head = Draft(replace(base.header, **{field: value})).head_data()  # type: ignore[arg-type]
            data = file_bytes(head, (), base.stored_units())
            about = f"HEAD with another {field.capitalize()}, its Crc right, {kind}"
            yield Fault(f"spliced-{field}-{kind}", about, data, found_in=found_in)
    grey = _base(models, Plan(raw="all"), mode="LA", width=5, height=4)
    alpha, other_alpha = (chunk(b"ALPH", b"\0" + stored_zlib(bytes([value] * 20))) for value in (255, 254))
    head, units = grey.head_data(), replace(grey, chunks=(alpha,)).stored_units()
    yield Fault("spliced-alpha", "ALPH of another image of equal size", file_bytes(head, (other_alpha,), units))
    yield Fault("spliced-no-alpha", "ALPH is missing", file_bytes(head, (), units))


def _found_in(raw: str) -> str:
    """Return where a wrong Codes_Crc shows: of raw segments without the model."""
    return "file" if raw == "all" else "codes"


def _with_tile(tile: int, units: Units, other: Units) -> Units:
    """Return units with the segments of one tile from others."""
    return tuple(
        tuple(parts[place == tile] for place, parts in enumerate(zip(own, foreign, strict=True)))
        for own, foreign in zip(units, other, strict=True)
    )


def _alpha(grey: Draft) -> Iterator[Fault]:
    valid = stored_zlib(bytes(20))
    for name, about, value in (
        ("predictor", "Predictor 4", b"\4" + valid),
        ("short", "a plane of 19 bytes", b"\0" + stored_zlib(bytes(19))),
        ("long", "a plane of 21 bytes", b"\0" + stored_zlib(bytes(21))),
        ("truncated", "the stream ends early", b"\0" + valid[:-5]),
        ("adler", "checksum of the stream", b"\0" + valid[:-1] + bytes([valid[-1] ^ 1])),
        ("trailing", "a byte after the stream", b"\0" + valid + b"\0"),
        ("no-stream", "no stream", b"\0"),
    ):
        yield Fault(f"alpha-{name}", about, replace(grey, chunks=(chunk(b"ALPH", value),)).bytes(), found_in="alpha")


def _truncated(base: Draft) -> Iterator[Fault]:
    with_comment = replace(base, chunks=(chunk(b"comm", b"x"),)).bytes()
    lengths = [len(replace(base, units=base.units[:n]).bytes()) for n in range(4)]
    data = base.bytes()
    for name, about, truncated, complete in (
        ("signature-only", "nothing but the signature", data[:8], 0),
        ("head", "within HEAD", data[:20], 0),
        ("comment", "within a comment", with_comment[:51], 0),
        ("no-unit", "after HEAD", data[: lengths[0]], 0),
        ("type", "within the Type of unit 0", data[: lengths[0] + 3], 0),
        ("table", "within the table of unit 0", data[: lengths[0] + 8 + 20], 0),
        ("between", "between units 0 and 1", data[: lengths[1]], 1),
        ("payload", "within a payload of unit 1", data[: lengths[1] + 8 + 27], 1),
        ("crc", "within the Crc of unit 1", data[: lengths[2] - 1], 1),
        ("last-byte", "the last byte is missing", data[:-1], 2),
    ):
        yield Fault(f"truncated-{name}", about, truncated, "truncated", complete_iterations=complete)
