"""Forks while a thread stands at a line of the package, and does the same work in the child; run by `test_forks.py`.

Arguments: what the thread does, "load", "path", "save" or "copy", and every how many lines to fork; or "first" for the
first load of a process, and the module in whose import the thread stands; or "imports", and keywords of a first save.
"""

from __future__ import annotations

import builtins
import faulthandler
import hashlib
import io
import json
import os
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

import pillow_rnc
from pillow_rnc.fork_safety import importing

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
        # During imports, a fork would wait for the thread.
        if event == "line" and place not in self.passed and not importing._lock._is_owned():  # type: ignore[attr-defined]
            self.passed[place] = None
            if place == self.stop_at:
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


def digest(result: bytes) -> bytes:
    return hashlib.sha256(result).digest()


def digest_of_child(work: Callable[[Image.Image], bytes], im: Image.Image) -> bytes:
    """Fork, work in the child, and return the digest of its result; nothing if it fails, or comes to none in time."""
    source, target = os.pipe()
    child = os.fork()
    if not child:
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            os.write(target, digest(work(im)))
            os._exit(0)
        except BaseException:  # noqa: BLE001 -- whatever it is, the child ends here
            traceback.print_exc()
            os._exit(4)
    os.close(target)
    with os.fdopen(source, "rb") as fp:
        found = fp.read()
    return found if os.waitpid(child, 0)[1] == 0 else b""


class Finder:
    """Finds no module, but is told of all that other threads begin to import: stops them there, or notes them."""

    def __init__(self, stop_at: str = "") -> None:
        self.stop_at = stop_at
        self.stopped, self.resumed = threading.Event(), threading.Event()
        self.unguarded: list[str] = []

    def find_spec(self, name: str, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            return
        if name == self.stop_at:
            self.stop()
        if not importing._lock._is_owned():  # type: ignore[attr-defined]
            self.unguarded.append(name)

    def stop(self) -> None:
        self.stopped.set()
        self.resumed.wait(SECONDS)

    def find_again(self, name: str, *arguments: Any) -> object:  # noqa: ANN401 -- those of `__import__`
        """Import a module, and stop a thread first where constriction looks up functions of NumPy."""
        if "constriction" in sys.modules and name.endswith(".multiarray") and not self.stopped.is_set():
            self.stop()
        return real_import(name, *arguments)


real_import = builtins.__import__


def fork_in_first_load(module: str) -> None:
    im, finder = Image.open(Path(__file__).parent / "golden" / "likely.rnc"), Finder(module)
    sys.meta_path.insert(0, finder)
    if module == "within constriction":
        builtins.__import__ = finder.find_again  # type: ignore[assignment]
    thread = threading.Thread(target=im.load)
    thread.start()
    assert finder.stopped.wait(SECONDS), f"{module} was not imported"
    threading.Timer(0.3, finder.resumed.set).start()  # the fork waits for the import
    found = digest_of_child(Image.Image.tobytes, im)
    thread.join()
    print(f"{int(found == digest(im.tobytes()))} of 1")


def note_imports(options: dict[str, object]) -> None:
    finder = Finder()
    Image.init()
    sys.meta_path.insert(0, finder)

    def work() -> None:
        fp = io.BytesIO()
        ORIGINAL.save(fp, "RNC", **options)
        Image.open(fp).load()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    print(*finder.unguarded)


def main(action: str, step: int) -> None:
    work, new_image = shared_by(action)
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
        found = digest_of_child(work, im)
        tracer.resumed.set()
        thread.join()
        if found != digest(expected):
            print("child failed at", place)
            sys.exit(1)
        assert work(im) == expected
    assert len(missed) < MISSED_SHARE * len(places), f"never stopped at {missed}"
    print(f"{len(places) - len(missed)} of {len(places) - len(missed)}")


if __name__ == "__main__":
    if sys.argv[1] == "first":
        fork_in_first_load(sys.argv[2])
    elif sys.argv[1] == "imports":
        note_imports(json.loads(sys.argv[2]))
    else:
        main(sys.argv[1], int(sys.argv[2]))
