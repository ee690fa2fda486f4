"""Where commands over single files write: beside the input, into a folder, to a file, or to standard output."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pillow_rnc.cli.reporting import FILE_ERRORS
from pillow_rnc.cli.streams import write_out
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.file_io import atomic_write, name_key

if TYPE_CHECKING:
    from collections.abc import Iterable

STANDARD_STREAM = Path("-")
"""Means standard input and standard output."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the outputs of a command go.

    Attributes:
        output: The file or folder that was named, or None.
        no_overwrite: Never replace a file.
        only_if_named: Replace a file only if `output` names it.
    """

    output: Path | None
    no_overwrite: bool
    only_if_named: bool = False

    def path_for(self, source: Path, suffix: str) -> Path:
        """Return where the output for an input goes."""
        if self.output is None:
            if _is_in_device_folder(source):
                raise RncOptionError(f"no default output for {source}: name it with --output")
            return source if source == STANDARD_STREAM else source.with_suffix(suffix)
        if self.output.is_dir():
            name = "stdin" if source == STANDARD_STREAM else source.name
            return self.output / Path(name).with_suffix(suffix)
        return self.output

    def check(self, source: Path, target: Path) -> None:
        """Raise unless the output may be written.

        Raises:
            RncOptionError: It exists and must not be replaced, or is the input without having been named.
        """
        if target == STANDARD_STREAM or not target.exists():
            return
        if self.no_overwrite:
            raise RncOptionError(f"output {target} exists")
        # A folder does not name the file.
        if source != STANDARD_STREAM and target != self.output and target.samefile(source):
            raise RncOptionError(f"output for {source} is the input itself, name it with --output")
        if self.only_if_named and self.output is None:
            # Most likely the image that was encoded, of which the decoded one has lost something.
            raise RncOptionError(f"output {target} exists, name it with --output to replace it")

    def shared(self, sources: Iterable[Path], suffix: str) -> dict[Path, Path]:
        """Return the outputs that several of the inputs would have, by input."""
        targets: list[tuple[Path, Path, str]] = []
        for source in sources:
            with suppress(*FILE_ERRORS):  # which the command itself reports
                target = self.path_for(source, suffix)
                targets.append((source, target, name_key(str(target.resolve()))))
        count = Counter(key for _, _, key in targets)
        return {source: target for source, target, key in targets if count[key] > 1}


def _is_in_device_folder(source: Path) -> bool:
    """Return whether a path is one of the system, such as /dev/stdin and those of process substitution."""
    return source.is_absolute() and source.parts[1:2] in (("dev",), ("proc",)) and "shm" not in source.parts[2:3]


def write_output(target: Path, data: bytes) -> None:
    """Write a file completely or not at all; `STANDARD_STREAM` means standard output.

    Raises:
        OSError: It cannot be written.
    """
    if target == STANDARD_STREAM:
        write_out(data)
    else:
        atomic_write(target, data)
