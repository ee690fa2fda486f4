"""The security page says what the code does: its limits, and the settings that it gives to servers."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import resources

import pillow_rnc
from pillow_rnc.codec.execution import DEFAULT_BATCH_MEMORY, DEFAULT_POOL_MEMORY
from pillow_rnc.container import records, writer
from pillow_rnc.container.records import STOPPED_SEGMENT, Coding, Header, RncFile, Segment
from pillow_rnc.container.validation import max_alpha_bytes
from pillow_rnc.plugin import defaults

REPOSITORY = Path(pillow_rnc.__file__).parents[1]
PAGE = (REPOSITORY / ".github" / "SECURITY.md").read_text(encoding="utf-8")
LIMITS = dict(re.findall(r"^\| (\w+)[^|]* \| ([^|]*) \|", PAGE, re.MULTILINE))
SETTINGS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MIB = 1 << 20


def numbers(row: str) -> list[int]:
    return [int(number.replace(" ", "")) for number in re.findall(r"\d[\d ]*", LIMITS[row])]


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    assert numbers("Sides") == [records.MAX_SIDE]
    assert numbers("Iterations") == [records.MAX_ITERATIONS]
    assert numbers("Work") == [defaults.MAX_WORK]
    found = [records.MAX_METADATA_BYTES // MIB, records.MAX_METADATA_TOTAL_BYTES // MIB, records.MAX_OPTIONAL_CHUNKS]
    assert numbers("Metadata") == found
    per_pixel, spare = numbers("Alpha")
    assert per_pixel * 30 * 20 + spare == max_alpha_bytes(Header(30, 20, "LA", 1, 1, 8, 64, 0, bytes(8)))
    assert numbers("Memory") == [resources.HEAD_KIB]
    words = r"at most `max_memory` bytes of them \(by default (\d+) MiB with the native kernel, (\d+) MiB otherwise"
    assert re.findall(words, PAGE) == [(str(DEFAULT_POOL_MEMORY // MIB), str(DEFAULT_BATCH_MEMORY // MIB))]
    assert "a warning above, an error above twice as many" in LIMITS["Pixels"]  # so Pillow has it


def claim(width: int, height: int) -> bytes:
    """Return a file of 16 iterations that is hardly any bytes: one bit for a cell, and nothing after the first."""
    header = Header(width, height, "RGB", 16, 1, 16, 4096, 0, b"anything")
    payloads = [bytes(header.code_shape(tile).raw_bytes) for tile in header.grid]
    first = tuple(Segment(Coding.RAW, payload, zlib.crc32(payload)) for payload in payloads)
    rest = (STOPPED_SEGMENT,) * len(first)
    return writer.build(RncFile(header, units=(first, *15 * (rest,))))


@pytest.mark.parametrize(
    ("width", "height", "words"),
    [
        (6000, 5000, "DecompressionBombWarning: Image size (30000000 pixels) exceeds limit of 24000000"),
        (5000, 4000, "max_work allows 100000000"),
        (50, 40, "model 616e797468696e67 is unknown"),
    ],
    ids=["pixels", "work", "neither"],
)
def test_the_settings_for_servers_refuse_what_the_page_says(
    width: int, height: int, words: str, tmp_path: Path
) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(claim(width, height))
    program = f"import sys\nsys.path.insert(0, {str(REPOSITORY)!r})\nupload = sys.argv[1]\n{SETTINGS[0]}"
    command = [sys.executable, "-c", program, str(upload)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert words in result.stderr
