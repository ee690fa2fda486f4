"""Files with several faults, of which all decoders report the first in the order of checks of the specification."""

from __future__ import annotations

from pathlib import Path

from vectors.assemble import chunk

VECTORS = Path(__file__).parents[1] / "spec" / "vectors"
ONE_TILE = (VECTORS / "valid" / "mode-RGB.rnc").read_bytes()
HEAD_END = 42
EMPTY = chunk(b"drwn", b"")
SEVERAL_FAULTS: dict[str, tuple[str, bytes]] = {
    "an empty HEAD, then nothing": ("corrupt", ONE_TILE[:8] + chunk(b"HEAD", b"")[:8]),
    "an empty comment, then nothing": ("corrupt", ONE_TILE[:HEAD_END] + chunk(b"comm", b"")),
    "a short dens, then nothing": ("corrupt", ONE_TILE[:HEAD_END] + chunk(b"dens", bytes([1] * 15))),
    "a dens of zeros, then nothing": ("corrupt", ONE_TILE[:HEAD_END] + chunk(b"dens", bytes(16))),
    "alpha in mode RGB, then nothing": ("corrupt", ONE_TILE[:HEAD_END] + chunk(b"ALPH", b"\0any")),
    "an empty ALPH, then nothing": ("corrupt", ONE_TILE[:HEAD_END] + chunk(b"ALPH", b"")),
    "alpha in mode RGB, within its Crc": ("truncated", ONE_TILE[:HEAD_END] + chunk(b"ALPH", b"\0any")[:-1]),
    "a 65th chunk, within its Data": ("corrupt", ONE_TILE[:HEAD_END] + EMPTY * 64 + chunk(b"comm", b"any")[:9]),
    "HEAD as 65th chunk, within its Data": ("corrupt", ONE_TILE[:HEAD_END] + EMPTY * 64 + ONE_TILE[8:20]),
    "a repeated HEAD, within its Data": ("truncated", ONE_TILE[:HEAD_END] + chunk(b"HEAD", b"\1" * 23)[:20]),
    "a critical chunk after an empty one": (
        "corrupt",
        ONE_TILE[:HEAD_END] + chunk(b"comm", b"") + chunk(b"Drwn", b"") + ONE_TILE[HEAD_END:],
    ),
    "a damaged payload, within the Crc of its unit": (
        "truncated",
        ONE_TILE[:-5] + bytes([ONE_TILE[-5] ^ 1]) + ONE_TILE[-4:-1],
    ),
}
"""The fault that is reported, and the bytes of the file, by what is wrong with it; its model is `complete`."""
