"""Files of other formats open as they do without this package: python other_formats.py FOLDER

The result for each file is its format, mode, size and pixels, or the exception. Two processes are compared, one of
which has registered the plugin; before a release, with the images of Pillow's own tests (`Tests/images`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

from PIL import Image


class DifferenceError(AssertionError):
    """A file opens differently with the plugin."""


Answers = dict[str, list[str]]
"""By path in the folder: `opened` or `rejected`, and how."""


def answers(folder: Path) -> Answers:
    """Return the result of Pillow for each file of a folder."""
    warnings.simplefilter("ignore")
    found: Answers = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            with Image.open(path) as im:
                digest = hashlib.sha256(im.tobytes()).hexdigest()
                answer = ["opened", f"{im.format} {im.mode} {im.size} {digest}"]
        except Exception as error:  # noqa: BLE001 -- whatever it is, it must be the same in both processes
            answer = ["rejected", f"{type(error).__name__}: {error}"]
        found[path.relative_to(folder).as_posix()] = answer
    return found


def compare(folder: Path) -> Counter[str]:
    """Return how many files were opened, and how many rejected.

    Raises:
        DifferenceError: A file opens differently.
    """
    without, beside = (_ask(folder, *plugin) for plugin in ((), ("--plugin",)))
    for name in sorted(without.keys() | beside.keys()):
        if without.get(name) != beside.get(name):
            msg = f"{name}: {without.get(name)} without the plugin, {beside.get(name)} with it"
            raise DifferenceError(msg)
    return Counter(answer[0] for answer in without.values())


def _ask(folder: Path, *options: str) -> Answers:
    """Return the results of a new process."""
    command = [sys.executable, __file__, "--answers", *options, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: Answers = json.loads(done.stdout)
    return found


def main() -> int:
    """Run the command and return its exit status; a difference ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--answers", action="store_true", help="print the result for each file")
    parser.add_argument("--plugin", action="store_true", help="with the plugin")
    arguments = parser.parse_args()
    if arguments.plugin:
        import pillow_rnc  # not above: the other process must not register the plugin

        pillow_rnc.register_rnc_opener()
    if arguments.answers:
        print(json.dumps(answers(arguments.folder)))
        return 0
    found = compare(arguments.folder)
    print(f"{found.total()} files, {found['opened']} opened and {found['rejected']} rejected alike")
    return 0


if __name__ == "__main__":
    sys.exit(main())
