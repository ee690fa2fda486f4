"""Time, memory and leaks stay within bounds: python fuzz/resources.py [--size ci|release] [NAME...]

head        opening a header of 65535 x 65535 pixels takes less than 64 KiB
open_time   opening any file of up to 1 MiB: the 99th percentile stays below 10 ms
rejection   a hostile file of twice the length takes at most 2.2 times as many calls, and as long, to reject
load        memory of loading grows in proportion to the pixels: at most 16 bytes each over the tiles
leaks       a thousand loads, and failed loads, leak no memory, file descriptors or threads
allocation  with decreasing memory (RLIMIT_AS), loading gives an image or an exception, never a signal
interrupt   Ctrl-C during a load takes effect within 250 ms, and the next load works
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import grammar
import model
import numpy as np
from mutator import mutate
from PIL import Image, UnidentifiedImageError

import pillow_rnc
from pillow_rnc.codec import encoder
from pillow_rnc.container import reader, writer
from pillow_rnc.container.chunks import CHUNK_PREFIX, pack_chunk, pack_head
from pillow_rnc.container.records import HEAD_TYPE, UNIT_TYPE, Coding, Header, RncFile
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.errors import RncError, RncFileError

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve()
KIB, MIB = 1 << 10, 1 << 20
HEAD_KIB = 64
"""Memory that opening may use, beyond metadata and alpha."""
HUGE = Header(65_535, 65_535, "RGBA", 16, 4, 8, 64, 32, bytes(8))


class Size(NamedTuple):
    """How often each check repeats."""

    files: int
    loads: int
    steps: int
    sides: tuple[int, ...]


SIZES = {"ci": Size(60, 60, 2, (256, 768)), "release": Size(2000, 1000, 20, (256, 512, 1024, 2048))}


def head(_size: Size) -> str:
    """Opening allocates the same amount for any size in the header."""
    data = SIGNATURE + pack_chunk(HEAD_TYPE, pack_head(HUGE)) + CHUNK_PREFIX.pack(UNIT_TYPE, 2**32 - 1)
    pillow_rnc.open(io.BytesIO(data), max_pixels=1 << 33)
    tracemalloc.start()
    try:
        pillow_rnc.open(io.BytesIO(data), max_pixels=1 << 33)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < HEAD_KIB * KIB, f"{peak} bytes"
    return f"{peak} bytes"


def open_time(size: Size) -> str:
    """Opening is fast whatever the file."""
    source, seconds = random.Random(1), list[float]()  # noqa: S311 -- repeatable, not secret
    seeds = [grammar.generate_bytes(source, model.tiny()) for _ in range(20)]
    full = writer.build(
        RncFile(
            replace(reader.parse(seeds[0]).header, iterations=1, mode="RGB"),
            {key: bytes([1]) * (MIB // 4) for key in ("icc_profile", "exif", "xmp")},
            units=reader.parse(seeds[0]).units[:1],
        )
    )
    many = SIGNATURE + pack_chunk(HEAD_TYPE, pack_head(HUGE)) + pack_chunk(b"abcd", b"") * (MIB // 12)
    for index in range(size.files):
        data = (full, many)[index % 2] if index % 10 < 2 else mutate(source.choice(seeds), source)
        start = time.process_time()
        try:
            with Image.open(io.BytesIO(data), formats=["RNC"]):
                pass
        except (RncFileError, UnidentifiedImageError, Image.DecompressionBombError):
            pass
        seconds.append(time.process_time() - start)
    slow = statistics.quantiles(seconds, n=100)[98]
    return f"99 % within {1000 * slow:.1f} ms, median {1e6 * statistics.median(seconds):.0f} us (goal: 10 ms)"


def rejection(_size: Size) -> str:
    """The work to reject is linear in the length, in all cases in which a parser could be slow; time is only shown."""

    def chunks(count: int) -> bytes:
        return SIGNATURE + pack_chunk(HEAD_TYPE, pack_head(HUGE)) + pack_chunk(b"abcd", b"") * count

    def table(count: int) -> bytes:
        header = replace(HUGE, width=65_535, height=32 * (count // 2047) + 32)
        data = b"\2" + bytes(12)
        return SIGNATURE + pack_chunk(HEAD_TYPE, pack_head(header)) + pack_chunk(UNIT_TYPE, data * len(header.grid))

    def units(count: int) -> bytes:
        header = replace(HUGE, width=1, height=1, code_channels=1)
        unit = pack_chunk(UNIT_TYPE, b"\1" + bytes(12))
        return SIGNATURE + pack_chunk(HEAD_TYPE, pack_head(header)) + unit * count

    work, seconds = 0.0, 0.0
    for make, count in ((chunks, 20_000), (table, 20_470), (units, 20_000)):
        once, twice = make(count), make(2 * count)
        # In pairs: the speed of the machine may change meanwhile.
        seconds = max(seconds, statistics.median(_time(twice) / max(_time(once), 0.001) for _ in range(5)))
        work = max(work, _calls(twice) / _calls(once))
    assert work <= 2.2, f"twice the bytes, {work:.2f} times the calls"
    return f"twice the bytes, at most {work:.2f} times the calls and {seconds:.2f} times the seconds (goal: 2.2)"


def _time(data: bytes) -> float:
    start = time.process_time()
    with contextlib.suppress(RncFileError):
        reader.parse(data)
    return time.process_time() - start


def _calls(data: bytes) -> int:
    """Return how many functions are called until a file is rejected, those written in C included."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        with contextlib.suppress(RncFileError):
            reader.parse(data)
    finally:
        sys.setprofile(before)
    return calls


def load(size: Size) -> str:
    """Memory of loading beyond that of the model, in a separate process for each size."""
    weights, pixels, peaks = model.tiny(), [], []
    for side in size.sides:
        image = np.zeros((side, side, 3), np.uint8)
        header, units = encoder.encode(image, weights, iterations=2, tile_size=128, overlap=16)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "image.rnc")
            path.write_bytes(writer.build(RncFile(header, units=units)))
            result = _child("load", str(path))
        assert not result.returncode, result.stderr
        pixels.append(side * side)
        peaks.append(int(result.stdout))
    slope = (peaks[-1] - peaks[0]) * KIB / (pixels[-1] - pixels[0])
    most = max(peak * KIB - 16 * count for peak, count in zip(peaks, pixels, strict=True))
    assert slope <= 64, f"{slope:.1f} bytes per pixel"
    assert most <= 256 * MIB, f"{most} bytes"
    return f"{slope:.1f} bytes per pixel over tiles of 128; peaks {[peak // KIB for peak in peaks]} MiB (goal: 16)"


def _peak_of_load(path: str) -> None:
    model.tiny()
    Image.open(model.GOLDEN / "tiles.rnc").load()
    before = _peak_kib()
    Image.open(path).load()
    print(_peak_kib() - before)


def _peak_kib() -> int:
    """Return the peak memory of this process; `ru_maxrss` would include that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def leaks(size: Size) -> str:
    """Nothing grows with the number of successful or failed loads."""
    model.tiny()
    good = (model.GOLDEN / "tiles.rnc").read_bytes()
    bad = [good[:-1], good[:200] + bytes(4) + good[204:], b"\x8aRNC", _wrong_codes(good)]
    slopes = []
    for files in ([good], bad):
        for index in range(max(20, size.loads // 10)):
            _try_load(files[index % len(files)])
        before, fds, threads = _resident(), _descriptors(), threading.active_count()
        for index in range(size.loads):
            _try_load(files[index % len(files)])
        gc.collect()
        slopes.append((_resident() - before) / size.loads)
        assert (_descriptors(), threading.active_count()) == (fds, threads)
    limit = KIB if size.loads >= 1000 else 64 * KIB
    assert max(slopes) <= limit, f"{slopes} bytes per load"
    return f"{slopes[0]:.0f} and {slopes[1]:.0f} bytes per good and failed load (goal: 1024)"


def _wrong_codes(data: bytes) -> bytes:
    """Return a file whose checksums are all correct except one of codes."""
    file = reader.parse(data)
    units = [list(unit) for unit in file.units]
    for unit in units:
        for index, segment in enumerate(unit):
            if segment.coding is Coding.ENTROPY:
                unit[index] = replace(segment, codes_crc=segment.codes_crc ^ 1)
                return writer.build(replace(file, units=tuple(tuple(unit) for unit in units)))
    raise AssertionError("no segment is entropy-coded")


def _try_load(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data), formats=["RNC"]).load()
    except (RncFileError, UnidentifiedImageError):
        return False
    return True


def _resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def allocation(size: Size) -> str:
    """No process ends by a signal, however little memory there is."""
    fates: dict[str, int] = {}
    for step in range(size.steps):
        # From hardly more than is in use, to enough.
        extra = int(4 * MIB * 1.6 ** (step * 19 / max(1, size.steps - 1) / 2))
        result = _child("allocation", str(extra))
        assert result.returncode >= 0, f"signal {-result.returncode} with {extra} bytes: {result.stderr[-500:]}"
        fate = result.stdout.strip() or result.stderr.strip().splitlines()[-1]
        fates[fate] = fates.get(fate, 0) + 1
    allowed = {"loaded", "MemoryError", "RncError"}
    assert set(fates) <= allowed, fates
    return str(fates)


def _load_with_little_memory(extra: str) -> None:
    import resource

    weights = model.tiny()
    pixels = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    header, units = encoder.encode(pixels, weights, iterations=4)
    data = writer.build(RncFile(header, units=units))
    del pixels, units
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (used + int(extra), hard))
    fate = "loaded"
    try:
        Image.open(io.BytesIO(data)).load()
    except MemoryError:
        fate = "MemoryError"
    except RncError as error:
        fate = type(error).__name__
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    print(fate)


def interrupt(size: Size) -> str:
    """Ctrl-C is not delayed, and leaves a working process."""
    weights = model.tiny()
    pixels = np.random.default_rng(0).integers(0, 256, (768, 768, 3), np.uint8)
    header, units = encoder.encode(pixels, weights, iterations=4)
    data = writer.build(RncFile(header, units=units))
    expected = Image.open(io.BytesIO(data)).tobytes()
    delays = []
    sent = [0.0]

    def send() -> None:
        sent[0] = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start without one
    try:
        for trial in range(max(3, size.steps)):
            timer = threading.Timer(0.01 + 0.02 * trial, send)
            try:
                timer.start()
                end = time.monotonic() + 60
                while time.monotonic() < end:
                    Image.open(io.BytesIO(data)).load()
                raise AssertionError("Ctrl-C was lost")
            except KeyboardInterrupt:
                delays.append(time.perf_counter() - sent[0])
            timer.join()
            assert Image.open(io.BytesIO(data)).tobytes() == expected
    finally:
        signal.signal(signal.SIGINT, before)
    return f"at most {1000 * max(delays):.0f} ms in {len(delays)} trials (goal: 250)"


def _child(name: str, argument: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", str(HERE), "--child", name, argument]
    return subprocess.run(command, capture_output=True, text=True, check=False)


CHECKS: dict[str, Callable[[Size], str]] = {
    "head": head,
    "open_time": open_time,
    "rejection": rejection,
    "load": load,
    "leaks": leaks,
    "allocation": allocation,
    "interrupt": interrupt,
}
CHILDREN: dict[str, Callable[[str], None]] = {"load": _peak_of_load, "allocation": _load_with_little_memory}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *CHECKS])
    parser.add_argument("--size", choices=SIZES, default="release")
    parser.add_argument("--child", nargs=2)
    arguments = parser.parse_args()
    if arguments.child:
        CHILDREN[arguments.child[0]](arguments.child[1])
        return 0
    failed = 0
    for name in arguments.names or CHECKS:
        try:
            print(f"{name}: {CHECKS[name](SIZES[arguments.size])}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"{name}: FAILED: {error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
