"""The valid files of the vectors: named cases, and some drawn from a grammar; used by `generate.py` only."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from vectors.assemble import Draft, Model, Plan, chunk, code_units, stored_zlib

from pillow_rnc.container.records import Header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vectors.assemble import Entry


# A plane of 20 zeros as one deflate block of fixed codes.
FIXED_ZEROS = bytes.fromhex("78da6360c0040000140001")


@dataclass(frozen=True, slots=True)
class Case:
    """One valid file."""

    name: str
    comment: str
    draft: Draft
    weights: str = "complete"


def dens(*words: int) -> bytes:
    """Return a chunk of pixel density."""
    return chunk(b"dens", struct.pack("<4I", *words))


def alpha_plane(width: int, height: int) -> bytes:
    """Return a plane in which every value and both differences change."""
    return bytes((37 * x + 11 * y * y) & 255 for y in range(height) for x in range(width))


def predicted(plane: bytes, width: int, predictor: int) -> bytes:
    """Return what the stream of an alpha chunk holds."""
    rows = [list(plane[start : start + width]) for start in range(0, len(plane), width)]
    if predictor & 1:
        rows = [[(value - left) & 255 for value, left in zip(row, [0, *row], strict=False)] for row in rows]
    if predictor & 2:
        above = [[0] * width, *rows]
        rows = [
            [(value - up) & 255 for value, up in zip(*pair, strict=True)] for pair in zip(rows, above, strict=False)
        ]
    return bytes(value for row in rows for value in row)


def alph(header: Header, predictor: int = 0, *block_lengths: int) -> bytes:
    """Return the chunk of an image's alpha plane, in stored blocks."""
    values = predicted(alpha_plane(header.width, header.height), header.width, predictor)
    return chunk(b"ALPH", bytes([predictor]) + stored_zlib(values, *block_lengths))


def valid_cases(models: dict[str, Model]) -> list[Case]:
    """Return every case, in the order of their numbers."""
    makers = (_modes, _sizes, _grids, _codings, _schedule, _metadata, _alpha, _odd, _extremes, _drawn, _recurrent)
    return [case for maker in makers for case in maker(models)]


class _Maker:
    """Makes headers and drafts with one model."""

    def __init__(self, models: dict[str, Model], seed: int, name: str = "complete") -> None:
        self.model, self.random = models[name], Random(seed)  # noqa: S311 -- to be repeated, not to be secret
        channels, stride = self.model.code_channels, self.model.code_stride
        self.base = Header(16, 16, "RGB", 1, channels, stride, 64, 0, self.model.model_id)

    def draft(self, plan: Plan | None = None, *chunks: bytes, **fields: object) -> Draft:
        header = replace(self.base, **fields)  # type: ignore[arg-type]
        return Draft(header, chunks, code_units(header, self.model.entropy_model, self.random, plan or Plan()))


def _modes(models: dict[str, Model]) -> Iterator[Case]:
    make = _Maker(models, 10)
    for mode in ("L", "LA", "RGB", "RGBA"):
        yield Case(f"pixel-{mode}", "1 x 1, the smallest image", make.draft(width=1, height=1, mode=mode))
        yield Case(f"mode-{mode}", "three iterations", make.draft(width=20, height=12, mode=mode, iterations=3))


def _sizes(models: dict[str, Model]) -> Iterator[Case]:
    make = _Maker(models, 20)
    for width, height in ((15, 16), (16, 17), (33, 31), (64, 64), (64, 1), (1, 64)):
        draft = make.draft(width=width, height=height, iterations=2)
        yield Case(f"size-{width}x{height}", "one tile with this padding", draft)


def _grids(models: dict[str, Model]) -> Iterator[Case]:
    make = _Maker(models, 30)
    for width, height, tile_size, overlap, comment in (
        (65, 1, 64, 0, "second tile of one pixel"),
        (100, 64, 64, 16, "the example of the text: 64 and 52 pixels wide"),
        (1, 130, 64, 0, "three tiles, one above the other"),
        (70, 70, 64, 32, "four tiles, overlap of half a tile"),
        (113, 97, 64, 16, "two by two, the last column one pixel past the overlap"),
        (160, 40, 80, 32, "tile size that is not a power of two"),
        (128, 64, 64, 0, "two full tiles without overlap"),
        (112, 64, 64, 16, "second tile exactly fills its 64 pixels"),
        (96, 16, 4096, 240, "largest tile size and overlap, one tile"),
        (64, 64, 64, 32, "image as large as a tile: one tile"),
    ):
        draft = make.draft(width=width, height=height, tile_size=tile_size, overlap=overlap, iterations=2)
        yield Case(f"grid-{width}x{height}-{tile_size}-{overlap}", comment, draft)


def _codings(models: dict[str, Model]) -> Iterator[Case]:
    make = _Maker(models, 40)
    square = {"width": 48, "height": 48}
    for rule in ("likely", "surest", "unlikely", "zeros", "ones", "alternating", "noise"):
        yield Case(f"codes-{rule}", f"codes by the rule {rule}", make.draft(Plan(rule), **square, iterations=6))
    yield Case(
        "all-raw", "raw where coding would be shorter", make.draft(Plan("surest", raw="all"), **square, iterations=3)
    )
    comment = "coded after raw: raw codes update the state too"
    yield Case("raw-between", comment, make.draft(Plan(raw="odd"), **square, iterations=6))
    two = {"width": 100, "height": 40, "overlap": 16}
    yield Case("stop-one-tile", "tile 1 stops after one iteration", make.draft(Plan(stops={1: 1}), **two, iterations=4))
    yield Case("stop-both-tiles", "both stop, at two places", make.draft(Plan(stops={0: 3, 1: 2}), **two, iterations=5))
    plan = Plan(stops={0: 1, 1: 1})
    yield Case("stop-all", "every tile stops after iteration 0", make.draft(plan, **two, iterations=6))
    plan = Plan(raw="odd", stops={1: 2})
    yield Case("stop-after-raw", "raw, then stopped", make.draft(plan, **two, iterations=3))
    yield Case("all-iterations", "all six iterations of the model", make.draft(width=32, height=32, iterations=6))


def _schedule(models: dict[str, Model]) -> Iterator[Case]:
    make = _Maker(models, 45)
    nothing = "nothing is coded in the last iteration"
    yield Case("nothing", f"{nothing}: one word 0", make.draft(width=32, height=32, iterations=4))
    yield Case("nothing-raw", f"{nothing}, raw", make.draft(Plan(raw="odd"), width=32, height=32, iterations=4))
    for rule in ("likely", "ones", "noise"):
        draft = make.draft(Plan(rule), width=20, height=12, iterations=6)
        yield Case(f"schedule-{rule}", f"all iterations of the schedule, with samples, codes by the rule {rule}", draft)


def _metadata(models: dict[str, Model]) -> Iterator[Case]:
    make = _Maker(models, 50)
    tiff = bytes.fromhex("49492a00080000000000")
    for kind, value, comment in (
        (b"iccp", b"opaque", "an ICC profile is not interpreted"),
        (b"exif", tiff, "Exif without prefix"),
        (b"exif", b"Exif\0\0" + tiff, "Exif with prefix"),
        (b"xmpp", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", "XMP"),
        (b"comm", b"\xff", "a comment need not be UTF-8"),
        (b"dens", struct.pack("<4I", 1, 0xFFFFFFFF, 0xFFFFFFFF, 1), "extreme pixel density"),
        (b"abcd", b"", "unknown ancillary chunk without data"),
        (b"zzzZ", b"text", "unknown ancillary chunk, not safe to copy when truncating"),
    ):
        name = kind.decode() + ("-prefix" if value[:4] == b"Exif" else "")
        yield Case(f"chunk-{name}", comment, make.draft(None, chunk(kind, value)))
    known = [chunk(kind, b"x") for kind in (b"iccp", b"exif", b"xmpp", b"comm")] + [dens(72, 1, 300, 1)]
    yield Case("chunk-all", "every kind of metadata", make.draft(None, *known))
    around = [
        chunk(b"aaaa", b"1"),
        known[0],
        chunk(b"aaaa", b"2"),
        chunk(b"bbBB", b"3"),
        known[4],
        chunk(b"cccc", b"4"),
    ]
    yield Case("chunk-64", "the maximum number of chunks", make.draft(None, *[chunk(b"aaaa", b"")] * 63, known[4]))
    yield Case("unknown-between", "unknown chunks anywhere, also repeated", make.draft(None, *around))


def _alpha(models: dict[str, Model]) -> Iterator[Case]:
    make = _Maker(models, 60)
    for mode in ("LA", "RGBA"):
        for predictor in range(4) if mode == "RGBA" else (3,):
            draft = make.draft(width=9, height=5, mode=mode)
            draft = replace(draft, chunks=(alph(draft.header, predictor),))
            yield Case(f"alpha-{mode}-{predictor}", f"predictor {predictor}", draft)
    draft = make.draft(width=5, height=4, mode="LA")
    comment = "the stream in three stored blocks, one of them empty"
    yield Case("alpha-blocks", comment, replace(draft, chunks=(alph(draft.header, 1, 7, 0),)))
    plane = zlib.decompress(FIXED_ZEROS)
    assert plane == bytes(20)
    yield Case("alpha-fixed", "a block of fixed codes", replace(draft, chunks=(chunk(b"ALPH", b"\0" + FIXED_ZEROS),)))
    draft = make.draft(width=1, height=1, mode="RGBA")
    yield Case("alpha-pixel", "alpha of one pixel", replace(draft, chunks=(dens(72, 1, 72, 1), alph(draft.header, 3))))


def _odd(models: dict[str, Model]) -> Iterator[Case]:
    make = _Maker(models, 70, "odd")
    for name, comment, plan, fields in (
        ("cell", "one cell of six codes: two padding bits, an empty pass", Plan(), {"width": 7, "height": 9}),
        (
            "cells",
            "15 cells, 90 codes: six padding bits",
            Plan(raw="all"),
            {"width": 80, "height": 48, "tile_size": 80},
        ),
        ("stride-16", "stride 16, two passes", Plan(), {"width": 128, "height": 96, "tile_size": 128}),
        ("all-32", "32 iterations", Plan(), {"width": 64, "height": 64, "iterations": 32}),
        ("wide", "65535 pixels in a row", Plan("surest"), {"width": 65535, "height": 1, "tile_size": 4096}),
        ("high", "65535 pixels in a column", Plan("surest"), {"width": 1, "height": 65535, "tile_size": 4096}),
    ):
        yield Case(f"odd-{name}", comment, make.draft(plan, **{"iterations": 2, **fields}), "odd")


def _extremes(models: dict[str, Model]) -> Iterator[Case]:
    """Payloads that are rare by chance; the first seed that gives one is used."""
    for name, comment, width, height, wanted in (
        ("one-word", "one word, which is as long as the raw payload", 16, 16, lambda entry: len(entry.payload) == 4),
        ("zero-word", "a payload that ends with a word 0", 64, 32, lambda entry: entry.payload[-4:] == bytes(4)),
    ):
        yield Case(f"payload-{name}", comment, _search(models, width, height, wanted))
    make = _Maker(models, 80)
    future = make.draft(None, chunk(b"neWz", b"of a later version"), dens(72, 1, 72, 1), version=(1, 9))
    yield Case("minor-9", "a later minor version with an unknown ancillary chunk", future)
    yield Case("minor-255", "the last minor version", make.draft(version=(1, 255)))


def _search(models: dict[str, Model], width: int, height: int, wanted: Callable[[Entry], bool]) -> Draft:
    for seed in range(5000):
        draft = _Maker(models, seed).draft(width=width, height=height)
        (entry,) = draft.units[0]
        if entry.coding == 0 and wanted(entry):
            return draft
    raise LookupError(f"no payload like this at {width} x {height}")


def _between(random: Random, low: int, high: int) -> int:
    """Return an integer of low..high; only `random.random` is guaranteed not to change."""
    return low + int(random.random() * (high + 1 - low))


def _pick(random: Random, choices: tuple[Any, ...]) -> Any:  # noqa: ANN401 -- whatever they are
    return choices[_between(random, 0, len(choices) - 1)]


def _bytes(random: Random, count: int) -> bytes:
    return bytes(_between(random, 0, 255) for _ in range(count))


def _drawn(models: dict[str, Model]) -> Iterator[Case]:
    """Everything at once, drawn from the grammar of the format."""
    for seed in range(100, 116):
        make = _Maker(models, seed)
        random = make.random
        mode = _pick(random, ("L", "LA", "RGB", "RGBA"))
        tile_size = 16 * _between(random, 4, 8)
        fields = {
            "width": _between(random, 1, 140),
            "height": _between(random, 1, 100),
            "mode": mode,
            "iterations": _between(random, 1, 6),
            "tile_size": tile_size,
            "overlap": 16 * _between(random, 0, tile_size // 32),
            "version": (1, _pick(random, (0, 0, 1, 200))),
        }
        plan = Plan(
            _pick(random, ("likely", "likely", "surest", "noise")),
            raw=_pick(random, ("none", "none", "odd")),
            stops={tile: _between(random, 1, 6) for tile in range(9) if random.random() < 0.4},
        )
        chunks = [chunk(kind, _bytes(random, _between(random, 1, 9))) for kind in (b"iccp", b"exif", b"xmpp", b"comm")]
        chunks = [one for one in chunks if random.random() < 0.3]
        chunks.insert(_between(random, 0, len(chunks)), chunk(b"drwn", _bytes(random, _between(random, 0, 5))))
        draft = make.draft(plan, *chunks, **fields)
        if mode.endswith("A") and draft.header.width * draft.header.height < 1500 and random.random() < 0.8:
            draft = replace(draft, chunks=(*draft.chunks, alph(draft.header, _between(random, 0, 3))))
        yield Case(f"drawn-{seed}", "drawn from the grammar", draft)


def _recurrent(models: dict[str, Model]) -> Iterator[Case]:
    # A seed belongs to a model, so that files of a draft stay what they are when another model comes.
    for name, seed in {
        "light-residual-gru": 200,
        "light-associative": 201,
        "paper-lstm": 202,
        "block-gru": 203,
    }.items():
        make = _Maker(models, seed, name)
        surest = make.draft(Plan("surest"), width=24, height=20)
        yield Case(f"{name}-one", "one iteration", surest, name)
        grey = make.draft(Plan(raw="odd"), width=24, height=20, mode="L", iterations=3)
        yield Case(f"{name}-grey", "a raw segment between two others", grey, name)
        grid = make.draft(Plan(stops={1: 2}), width=74, height=9, overlap=16, iterations=3)
        yield Case(f"{name}-grid", "two tiles, one of which stops", grid, name)
