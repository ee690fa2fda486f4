"""Forks while a thread stands at a line of the package, and does the same work in the child; run by `test_forks.py`.

Arguments: what the thread does, "load", "path", "save", "copy" or "first"; and every how many lines to fork.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

import pillow_rnc

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Place = tuple[str, int]

PACKAGE = str(Path(pillow_rnc.__file__).parent)
SECONDS = 60.0
MISSED_SHARE = 0.2
ATTEMPTS = 6
pillow_rnc.register_model(Path(__file__).parent / "golden" / "tiny.safetensors")


def saved(im: Image.Image) -> bytes:
    fp = io.BytesIO()
    im.save(fp, "RNC", model="tiny", iterations=2, tile_size=64, overlap=16)
    return fp.getvalue()


def copied(im: Image.Image) -> bytes:
    fp = io.BytesIO()
    im.save(fp, "RNC", iterations=1)
    return fp.getvalue()


ORIGINAL = Image.radial_gradient("L").resize((70, 20)).convert("RGBA")
ORIGINAL.putalpha(100)


def shared_by(action: str) -> tuple[Callable[[Image.Image], bytes], Callable[[], Image.Image]]:
    """Return the work, and what makes a new image for it."""
    if action == "save":
        return saved, ORIGINAL.copy
    if action == "first":  # nothing has been imported or decoded yet
        return Image.Image.tobytes, lambda: Image.open(Path(__file__).parent / "golden" / "likely.rnc")
    data = saved(ORIGINAL)
    if action == "path":
        path = Path(tempfile.mkdtemp()) / "a.rnc"
        path.write_bytes(data)
        return Image.Image.tobytes, lambda: Image.open(path)
    return Image.Image.tobytes if action == "load" else copied, lambda: Image.open(io.BytesIO(data))


class Tracer:
    """Notes the lines that threads pass, and stops a thread at the first passage of one of them."""

    def __init__(self, stop_at: Place | None = None) -> None:
        self.passed: dict[Place, None] = {}
        self.stop_at = stop_at
        self.stopped, self.resumed = threading.Event(), threading.Event()

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Tracer | None:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        place = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and place not in self.passed:
            self.passed[place] = None
            if self.stop_at in (place, (place[0], 0)):
                self.stop_at = None
                self.stopped.set()
                self.resumed.wait(SECONDS)
        return self

    def start(self, work: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            sys.settrace(self)
            try:
                work()
            finally:
                sys.settrace(None)
                self.stopped.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread


def child_ends(work: Callable[[Image.Image], bytes], im: Image.Image, expected: bytes | None) -> bool:
    """Fork, work in the child, and return whether it comes to the same result in time."""
    child = os.fork()
    if not child:
        try:
            result = work(im)
            os._exit(0 if expected in (None, result) else 3)
        except BaseException:  # noqa: BLE001 -- whatever it is, the child ends here
            traceback.print_exc()
            os._exit(4)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.002)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


def main(action: str, step: int) -> None:
    work, new_image = shared_by(action)
    if action == "first":
        im, tracer = new_image(), Tracer((f"{PACKAGE}/codec/decoder.py", 0))
        thread = tracer.start(im.load)
        tracer.stopped.wait(SECONDS)
        assert tracer.stop_at is None, "never stopped there"
        threading.Timer(0.3, tracer.resumed.set).start()  # the fork waits for the import
        ended = child_ends(work, im, None)
        thread.join()
        print(f"{int(ended)} of 1")
        return
    expected = work(new_image())
    tracer = Tracer()
    im = new_image()
    tracer.start(lambda: work(im)).join()
    places, missed = list(tracer.passed)[::step], []
    for place in places:
        for _ in range(ATTEMPTS):
            im, tracer = new_image(), Tracer(place)
            thread = tracer.start(lambda im=im: work(im))  # type: ignore[misc]
            tracer.stopped.wait(SECONDS)
            if tracer.stop_at is None:
                break
            thread.join()  # a line that depends on which of two threads comes first
        else:
            missed.append(place)
            continue
        ended = child_ends(work, im, expected)
        tracer.resumed.set()
        thread.join()
        if not ended:
            print("child failed at", place)
            sys.exit(1)
        assert work(im) == expected
    assert len(missed) < MISSED_SHARE * len(places), f"never stopped at {missed}"
    print(f"{len(places) - len(missed)} of {len(places) - len(missed)}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
