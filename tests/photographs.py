"""A folder of small pictures, good and bad, for tests of runs over folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

BAD = {
    "cut.jpg": "OSError",
    "empty.png": "RncFileError",
    "folder.jpg": "IsADirectoryError",
    "sub/text.jpg": "UnidentifiedImageError",
}
"""The bad inputs that `add_bad` makes, and the classes of their errors."""


def write_pictures(folder: Path, count: int) -> list[str]:
    """Write so many pictures of different content into a folder and one below it; return their names."""
    (folder / "sub").mkdir(parents=True)
    names = [f"{'sub/' if number % 2 else ''}{number:03}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        Image.linear_gradient("L").convert("RGB").rotate(7 * number).resize((70, 50)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return names


def add_bad(folder: Path) -> None:
    """Add the inputs of `BAD`; one of them is a folder with a good picture."""
    (folder / "folder.jpg").mkdir()
    picture = Image.linear_gradient("L").resize((70, 50))
    picture.save(folder / "folder.jpg" / "good.png")
    picture.save(folder / "cut.jpg")
    data = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").touch()
    (folder / "sub" / "text.jpg").write_text("no picture either")


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder but the manifest, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.jsonl"
    }
