"""The manifest of a run over a folder: JSON lines, one per input, which survive an interruption.

During a run lines are only appended, and the last line of an input is valid. A line left incomplete by a crash is
dropped at the next start. At the end of a run every input has exactly one line.
Must not load Pillow, torch or numpy.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypedDict

from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.file_io import atomic_replace

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self


_LINE_PREFIX = b'{"input": '
"""The first bytes of every line."""


class Line(TypedDict):
    """What the manifest records of one input.

    Attributes:
        input: Name of the input below its folder, with slashes.
        output: Name of the output below its folder; None if the input was rejected.
        input_bytes: Length of the input in bytes.
        bytes: Length of the output in bytes.
        bpp: Bits per pixel of the `.rnc` file.
        iterations: Iterations stored when encoding, decoded when decoding; None if a valid decoded image was found
            that no line described.
        model: Id of the model in hexadecimal.
        seconds: Time that a worker took; None if a valid output was found that no line described.
        error: Why there is no output; None if there is one.
        error_type: Name of the class of that error.
    """

    input: str
    output: str | None
    input_bytes: int | None
    bytes: int | None
    bpp: float | None
    iterations: int | None
    model: str | None
    seconds: float | None
    error: str | None
    error_type: str | None


def failure(name: str, output: str | None, error: str, error_type: str) -> Line:
    """Return the line of an input that has no output."""
    return Line(
        input=name,
        output=output,
        input_bytes=None,
        bytes=None,
        bpp=None,
        iterations=None,
        model=None,
        seconds=None,
        error=error,
        error_type=error_type,
    )


class Manifest:
    """A manifest file, opened for a run; use it in a `with` block.

    Keeps the position of each input's last line in memory, not the lines.

    Raises:
        RncOptionError: The file exists and is not a manifest; it is left unchanged.
        OSError: The file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_fifo() or path.is_socket():
            raise RncOptionError(f"manifest {path} is not a regular file")
        self.path = path
        self._positions: dict[str, int] = {}
        self._superseded = False
        self._fp = path.open("a+b")
        try:
            self._read()
        except (OSError, RncOptionError):
            self._fp.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._fp.close()

    def line(self, name: str) -> Line | None:
        """Return the last line of an input."""
        if name not in self._positions:
            return None
        self._fp.seek(self._positions[name])
        line: Line = json.loads(self._fp.readline())
        return line

    def add(self, line: Line) -> None:
        """Append a line and hand it to the operating system, so that it is kept if this process ends."""
        start = self._fp.seek(0, 2)
        self._fp.write(json.dumps(line).encode() + b"\n")
        self._fp.flush()
        self._note(line["input"], start)

    def compact(self) -> None:
        """Keep one line per input; the manifest cannot be used afterwards."""
        if not self._superseded:
            return
        with atomic_replace(self.path.resolve()) as temporary:
            with temporary.open("wb") as kept:
                for position in sorted(self._positions.values()):
                    self._fp.seek(position)
                    kept.write(self._fp.readline())
            self._fp.close()  # Windows does not replace open files

    def _read(self) -> None:
        self._fp.seek(0)
        for number, line in enumerate(self._fp, 1):
            start = self._fp.tell() - len(line)
            if not line.endswith(b"\n") and (line.startswith(_LINE_PREFIX) or _LINE_PREFIX.startswith(line)):
                self._fp.truncate(start)
                break
            name = _input_of(line)
            if name is None:
                raise RncOptionError(f"{self.path} is not a manifest of a run over a folder, see line {number}")
            self._note(name, start)

    def _note(self, name: str, start: int) -> None:
        self._superseded |= name in self._positions
        self._positions[name] = start


def _input_of(line: bytes) -> str | None:
    """Return the input that a line describes, or None if it is not a line of a manifest."""
    try:
        known = json.loads(line)
    except ValueError:
        return None
    return str(known["input"]) if isinstance(known, dict) and known.keys() >= Line.__required_keys__ else None
