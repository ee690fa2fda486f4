"""Compiles the decoder of the kernel to WebAssembly, and checks what is committed against it.

    python web/build.py            # writes web/dist/*.wasm, web/dist/SHA256, and the script of bundle.py
    python web/build.py --check    # builds again and compares, and checks sizes

Needs `ziglang` of the version below from PyPI, which is a C compiler with the headers of WASI. The same version gives
the same bytes on every machine. The results import nothing and allocate nothing: JavaScript lays out their memory.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import bundle

ZIG = "0.17.1"
MAX_COMPRESSED_BYTES = 200 * 1024
VARIANTS = {
    "rnc.wasm": ["-mcpu=mvp+bulk_memory+sign_ext+nontrapping_fptoint"],
    "rnc-simd.wasm": ["-mcpu=mvp+bulk_memory+sign_ext+nontrapping_fptoint+simd128"],
    "rnc-relaxed.wasm": ["-mcpu=mvp+bulk_memory+sign_ext+nontrapping_fptoint+simd128+relaxed_simd"],
}
EXPORTS = (
    "rnc_entropy_model_size", "rnc_entropy_model_init", "rnc_entropy_tile_size", "rnc_entropy_tile_init",
    "rnc_entropy_tile_decode", "rnc_entropy_tile_take", "rnc_network_size", "rnc_network_init",
    "rnc_network_tile_size", "rnc_network_tile_init", "rnc_network_tile_decode", "rnc_network_tile_pixels",
    "rnc_blend", "rnc_round",
)  # fmt: skip
MEMORY_BYTES = 1 << 30
"""The most that an instance may grow to, whatever a file says."""
_STACK_BYTES = 1 << 18
_WEB = Path(__file__).resolve().parent
_KERNEL = _WEB.parent / "kernel"
_ONE_BY_ONE = ("compute.c", "network_compute.c", "intervals_compute.c")
_SOURCES = ("cpu.c", "entropy_model.c", "entropy_tile.c", "network.c", "network_tile.c", "tables.c")


def build(folder: Path) -> None:
    """Write all variants to a folder."""
    for name, flags in VARIANTS.items():
        objects = []
        sources = [(source, ["-DRNC_SUFFIX=plain"]) for source in (*_SOURCES, *_ONE_BY_ONE)]
        if name == "rnc-relaxed.wasm":  # the module chooses between both when a model is loaded
            sources.append(("compute.c", ["-DRNC_SUFFIX=bytes", "-DRNC_USE_RELAXED_BYTES"]))
        for source, definitions in sources:
            target = folder / f"{name}.{len(objects)}.o"
            contract = "off" if source in ("intervals_compute.c", "network_tile.c") else "fast"
            _zig(
                "-c", *flags, f"-ffp-contract={contract}", *definitions, "-DNDEBUG", "-Iinclude", "-Isrc",
                f"src/{source}", "-o", str(target),
            )  # fmt: skip
            objects.append(str(target))
        exports = [f"-Wl,--export={one}" for one in (*EXPORTS, "__heap_base")]
        _zig(
            *flags, "-nostdlib", "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,--gc-sections", *exports,
            f"-Wl,--max-memory={MEMORY_BYTES}", f"-Wl,-z,stack-size={_STACK_BYTES}", *objects, "-o", str(folder / name),
        )  # fmt: skip
        for one in objects:
            Path(one).unlink()


def _zig(*arguments: str) -> None:
    common = ("-target", "wasm32-wasi", "-std=c11", "-O3", "-g0", "-fno-math-errno", "-fno-trapping-math",
              "-fvisibility=hidden", "-fno-sanitize=all")  # fmt: skip
    subprocess.run([sys.executable, "-m", "ziglang", "cc", *common, *arguments], check=True, cwd=_KERNEL)


def digests(folder: Path) -> str:
    """Return the lines of ``SHA256`` for the files of a folder."""
    return "".join(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in VARIANTS)


def main() -> None:
    """Build, and write or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is committed")
    check = parser.parse_args().check
    bundle.main()
    if metadata.version("ziglang") != ZIG:
        sys.exit(f"ziglang {metadata.version('ziglang')}, must be {ZIG}")
    dist = _WEB / "dist"
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        build(folder)
        for name in VARIANTS:
            data = (folder / name).read_bytes()
            size = len(gzip.compress(data, 9, mtime=0))
            print(f"{name}: {len(data)} bytes, {size} compressed")
            if size > MAX_COMPRESSED_BYTES:
                sys.exit(f"{name} has {size} bytes compressed, must be at most {MAX_COMPRESSED_BYTES}")
            if not check:
                (dist / name).write_bytes(data)
        if not check:
            (dist / "SHA256").write_text(digests(folder))
        elif not (digests(folder) == digests(dist) == (dist / "SHA256").read_text()):
            sys.exit("web/dist differs from its sources; run python web/build.py")


if __name__ == "__main__":
    main()
