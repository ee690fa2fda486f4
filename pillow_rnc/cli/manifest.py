"""The manifest of a run over a folder: JSON lines, one for each input, that outlive an interruption.

While a run goes on, lines are only added, and the last one of an input counts. A line that was cut short by a crash is
dropped at the next start. At the end of a run every input has one line.
Must not load Pillow, torch or numpy.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self, TypedDict

from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.file_io import replacing

if TYPE_CHECKING:
    from pathlib import Path


_BEGINNING = b'{"input": '
"""How every line begins."""


class Line(TypedDict):
    """What the manifest says of one input.

    Attributes:
        input: Name of the input below its folder, with slashes.
        output: Name of the output below its folder; None if the input can have none.
        input_bytes: Length of the input.
        bytes: Length of the output.
        bpp: Bits per pixel of the `.rnc` file.
        iterations: Iterations stored when encoding, decoded when decoding.
        model: Id of the model in hexadecimal.
        seconds: How long a worker took; None if the output was found, whole, and no line told of it.
        error: Why there is no output; None if there is one.
        error_type: The class of that error.
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


class Manifest:
    """A manifest file, opened for a run; use it in a `with` block.

    Holds the place of each input's last line in memory, not the lines.

    Raises:
        RncOptionError: The file is there and no manifest; it is left as it is.
        OSError: The file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._places: dict[str, int] = {}
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
        if name not in self._places:
            return None
        self._fp.seek(self._places[name])
        line: Line = json.loads(self._fp.readline())
        return line

    def add(self, line: Line) -> None:
        """Add a line; it is with the operating system when this returns, so the end of this process cannot lose it."""
        start = self._fp.seek(0, 2)
        self._fp.write(json.dumps(line).encode() + b"\n")
        self._fp.flush()
        self._note(line["input"], start)

    def tidy(self) -> None:
        """Leave one line for each input; this ends the use of the manifest."""
        if not self._superseded:
            return
        with replacing(self.path.resolve()) as temporary:
            with temporary.open("wb") as kept:
                for place in sorted(self._places.values()):
                    self._fp.seek(place)
                    kept.write(self._fp.readline())
            self._fp.close()  # Windows does not replace a file that is open

    def _read(self) -> None:
        self._fp.seek(0)
        for number, line in enumerate(self._fp, 1):
            start = self._fp.tell() - len(line)
            if not line.endswith(b"\n") and (line.startswith(_BEGINNING) or _BEGINNING.startswith(line)):
                self._fp.truncate(start)
                break
            name = _input_of(line)
            if name is None:
                raise RncOptionError(f"{self.path} is no manifest of a run over a folder, see its line {number}")
            self._note(name, start)

    def _note(self, name: str, start: int) -> None:
        self._superseded |= name in self._places
        self._places[name] = start


def _input_of(line: bytes) -> str | None:
    """Return the input that a line tells of, or None if it is none of a manifest."""
    try:
        known = json.loads(line)
    except ValueError:
        return None
    return str(known["input"]) if isinstance(known, dict) and known.keys() >= Line.__required_keys__ else None
