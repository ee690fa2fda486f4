"""``python -m pillow_rnc.training.pack FOLDER FILE``: one file of photographs, to carry to another machine.

The files go in as they are (they are compressed already) and are decoded where they are used. Files that are not valid
images are named and left out.
"""

from __future__ import annotations

import argparse
import logging
import zipfile
from pathlib import Path

from pillow_rnc.training.data import read_pixels, source_files

_log = logging.getLogger(__name__)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of zip files: the same photographs make the same pack


def write_pack(folder: Path, pack: Path) -> tuple[int, int]:
    """Write the images of a folder into a pack; return how many went in and how many were left out.

    Raises:
        FileNotFoundError: The folder holds no image.
    """
    temporary = pack.with_name(pack.name + ".part")
    kept = skipped = 0
    try:
        with zipfile.ZipFile(temporary, "w") as out:
            for file in source_files(folder):
                if read_pixels(file) is None:
                    skipped += 1
                    continue
                with file.open() as data:
                    out.writestr(zipfile.ZipInfo(f"{kept:06d}/{file.name}", _EPOCH), data.read())
                kept += 1
        if not kept:
            msg = f"{folder}: no image, {skipped} files left out"
            raise FileNotFoundError(msg)
        temporary.replace(pack)
    finally:
        temporary.unlink(missing_ok=True)
    return kept, skipped


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.training.pack", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pack", type=Path, help="zip file to write; train from it with --data")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    kept, skipped = write_pack(args.folder, args.pack)
    print(f"{args.pack}: {kept} images, {args.pack.stat().st_size / 1e6:.1f} MB, {skipped} files left out")


if __name__ == "__main__":
    main()
