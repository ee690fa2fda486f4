"""Command ``python -m benchmarks.speed``: how fast the codec is, beside others, in one run.

Everything is measured on one machine within minutes, so ratios mean more than seconds. CompressAI is not among the
others: its version 1.2.8 asks for numpy below 2.0 and cannot be installed beside this package.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PIL import Image

    from benchmarks.speed_parts import Coded
    from benchmarks.stopwatch import Stopwatch

SIZE_PX = (768, 512)
_GIGA = 1e9


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    if options.threads:
        # Before anything loads the libraries that read these.
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(options.threads))
    options.out.mkdir(parents=True, exist_ok=True)
    print(_measure(options).text())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path, nargs="?", help="photograph to measure with (default: of scikit-image)")
    parser.add_argument("--iterations", type=int, default=8, metavar="N", help="default: %(default)s")
    parser.add_argument("--threads", type=int, metavar="N", help="most threads of a product (default: all cores)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs, the best counts (default: 3)")
    parser.add_argument(
        "--paper-iterations", type=int, metavar="N", help="iterations of the paper's network (default: as many)"
    )
    parser.add_argument("--processor-time", action="store_true", help="CPU time of all threads: for busy machines")
    parser.add_argument(
        "--megapixels",
        type=lambda text: tuple(map(float, text.split(","))),
        default=(0.1, 0.4, 1.6, 6.3),
        metavar="N,...",
        help="sizes for time and memory against pixels (default: 0.1,0.4,1.6,6.3)",
    )
    parser.add_argument(
        "--scale-iterations", type=int, metavar="N", help="iterations of those images (default: as many)"
    )
    parser.add_argument(
        "--only",
        type=_sections,
        default=tuple(_SECTIONS),
        metavar="NAMES",
        help=f"what to measure (default: {','.join(_SECTIONS)})",
    )
    parser.add_argument("--out", type=Path, default=Path("evaluation"), metavar="DIR", help="default: %(default)s")
    return parser


def _sections(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in _SECTIONS]:
        msg = f"unknown: {', '.join(unknown)}; known: {', '.join(_SECTIONS)}"
        raise argparse.ArgumentTypeError(msg)
    return names


@dataclass
class _Report:
    """Sections of Markdown, and the same as data; written after each section, so that no measurement is lost."""

    folder: Path
    sections: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)

    def add(self, key: str, title: str, header: Sequence[str], rows: Iterable[Sequence[str]], data: object) -> None:
        """Add a table."""
        from pillow_rnc.evaluation.markdown_table import table

        self.sections.append(f"## {title}\n\n{table(header, rows)}")
        self.record[key] = data
        (self.folder / "speed.md").write_text(self.text(), encoding="utf-8")
        (self.folder / "speed.json").write_text(json.dumps(self.record, indent=1) + "\n", encoding="utf-8")
        print(f"measured: {title}", file=sys.stderr)

    def text(self) -> str:
        """Return the whole report."""
        return "\n\n".join(["# Speed", *self.sections]) + "\n"


def _measure(options: argparse.Namespace) -> _Report:
    from benchmarks.stopwatch import Stopwatch, machine

    watch = Stopwatch(options.repeat, options.processor_time)
    image, report = _photograph(options.photo), _Report(options.out)
    facts = {**machine(), "clock": "CPU time" if watch.cpu else "wall time"}
    report.add("machine", "Machine", ("what", "value"), facts.items(), facts)
    for name in options.only:
        _SECTIONS[name](report, options, image, watch)
    return report


def _codecs(report: _Report, options: argparse.Namespace, image: Image.Image, watch: Stopwatch) -> None:
    from benchmarks import speed_parts as parts
    from benchmarks.stopwatch import Stopwatch

    own = parts.own_codec(image, options.iterations, "cpu", watch)
    by_torch = parts.own_codec(image, options.iterations, "cpu:0", watch)
    rows = [own, by_torch, *parts.peers(image, own.ms_ssim, watch)]
    paper_iterations = options.paper_iterations or options.iterations
    paper = parts.paper_network(image.size, paper_iterations, Stopwatch(1, watch.cpu))
    _add_codecs(report, options.iterations, rows)
    _add_paper(report, options.iterations, own, paper, paper_iterations)
    _add_arithmetic(report, options.iterations, own, parts.peak_macs(watch))


def _recurrent(report: _Report, options: argparse.Namespace, image: Image.Image, watch: Stopwatch) -> None:
    from benchmarks import speed_parts as parts

    default, *others = (
        parts.own_codec(image, options.iterations, device, watch, model)._replace(name=name)
        for name, model, device in (
            ("default", "auto", "cpu"),
            ("recurrent", "recurrent", "cpu"),
            ("recurrent, torch", "recurrent", "cpu:0"),
        )
    )
    rows = [
        (
            row.name,
            f"{row.encode_s * 1000:.0f}",
            f"{row.decode_s * 1000:.0f}",
            f"{row.encode_s / default.encode_s:.1f}x",
            f"{row.decode_s / default.decode_s:.1f}x",
            str(row.file_bytes),
            f"{row.ms_ssim:.4f}",
        )
        for row in (default, *others)
    ]
    header = ("model", "encode ms", "decode ms", "encode, of the default", "decode, of the default", "bytes", "MS-SSIM")
    title = f"Both released codecs, {options.iterations} iterations each"
    report.add("recurrent", title, header, rows, [row._asdict() for row in (default, *others)])


def _cold_start(report: _Report, options: argparse.Namespace, image: Image.Image, watch: Stopwatch) -> None:  # noqa: ARG001
    from benchmarks import speed_parts as parts

    cold = parts.cold_start(image, watch)
    torch_s = cold["import torch"].seconds
    rows = [(name, f"{s:.2f}", f"{s / torch_s:.2f}", f"{mib:.0f}") for name, (s, mib) in cold.items()]
    report.add("cold_start", "Fresh processes", ("program", "s", "of `import torch`", "MiB"), rows, cold)


def _scale(report: _Report, options: argparse.Namespace, image: Image.Image, watch: Stopwatch) -> None:
    from benchmarks import speed_parts as parts

    iterations = options.scale_iterations or options.iterations
    found = list(parts.scale(image, options.megapixels, iterations, watch))
    header = ("megapixels", "encode s", "decode s", "encode s/MP", "decode s/MP", "MiB to load", "allowed MiB")
    rows = [
        (
            f"{s.megapixels:.2f}",
            f"{s.encode_s:.2f}",
            f"{s.decode_s:.2f}",
            f"{s.encode_s / s.megapixels:.2f}",
            f"{s.decode_s / s.megapixels:.2f}",
            f"{s.peak_mib:.0f}",
            f"{s.allowed_mib:.0f}",
        )
        for s in found
    ]
    title = f"Time and memory against pixels, iterations: {iterations}"
    report.add("scale", title, header, rows, [s._asdict() | {"allowed_mib": s.allowed_mib} for s in found])


def _batches(report: _Report, options: argparse.Namespace, image: Image.Image, watch: Stopwatch) -> None:
    from benchmarks import speed_parts as parts

    count = parts.THUMBNAILS
    pairs = parts.batches(image, options.iterations, watch)
    rows = [(name, f"{e / count * 1000:.1f}", f"{d / count * 1000:.1f}") for name, (e, d) in pairs.items()]
    title = f"{count} thumbnails of {parts.THUMBNAIL_PX} x {parts.THUMBNAIL_PX}"
    report.add("batches", title, ("way", "encode ms each", "decode ms each"), rows, pairs)


_SECTIONS = {
    "codecs": _codecs,
    "recurrent": _recurrent,
    "cold_start": _cold_start,
    "scale": _scale,
    "batches": _batches,
}


def _add_codecs(report: _Report, iterations: int, rows: Sequence[Coded]) -> None:
    own = rows[0]
    cells = [
        (
            row.name,
            f"{row.encode_s * 1000:.0f}",
            f"{row.decode_s * 1000:.0f}",
            str(row.file_bytes),
            f"{row.file_bytes / own.file_bytes:.2f}",
            f"{row.ms_ssim:.4f}",
        )
        for row in rows
    ]
    header = ("codec", "encode ms", "decode ms", "bytes", "of ours", "MS-SSIM")
    title = f"{SIZE_PX[0]} x {SIZE_PX[1]}, {iterations} iterations, and others at equal MS-SSIM"
    report.add("codecs", title, header, cells, [row._asdict() for row in rows])


def _add_paper(report: _Report, iterations: int, own: Coded, paper: Coded, measured: int) -> None:
    """Compare with the network of the paper; fewer iterations of it are extrapolated linearly."""
    encode_s, decode_s = (s * iterations / measured for s in (paper.encode_s, paper.decode_s))
    cells = [
        ("encode", f"{encode_s:.2f}", f"{own.encode_s:.3f}", f"{encode_s / own.encode_s:.0f}x"),
        ("decode", f"{decode_s:.2f}", f"{own.decode_s:.3f}", f"{decode_s / own.decode_s:.0f}x"),
    ]
    title = f"Beside the paper-sized network ({measured} of {iterations} iterations of it measured, no entropy coding)"
    data = {"encode": encode_s / own.encode_s, "decode": decode_s / own.decode_s, "iterations": measured}
    report.add("paper", title, ("", "paper s", "ours s, files and all", "ratio"), cells, data)


def _add_arithmetic(report: _Report, iterations: int, own: Coded, peak: float) -> None:
    from pillow_rnc.models import weights
    from pillow_rnc.models.complexity import macs_per_pixel

    config, pixels = weights.load("auto").config, SIZE_PX[0] * SIZE_PX[1]
    cells, data = [], {"peak": peak}
    for name, seconds, decoding in (("encode", own.encode_s, False), ("decode", own.decode_s, True)):
        with_decoder = decoding or config.encoder_runs_decoder
        macs = macs_per_pixel(config, iterations, encoder=not decoding, decoder=with_decoder) * pixels
        data[name] = macs / seconds
        cells.append((name, f"{macs / _GIGA:.1f}", f"{data[name] / _GIGA:.0f}", f"{data[name] / peak:.0%}"))
    title = f"Arithmetic of the network as stated; a large product reaches {peak / _GIGA:.0f} GMAC/s here"
    report.add("arithmetic", title, ("", "GMAC", "GMAC/s", "of that"), cells, data)


def _photograph(path: Path | None) -> Image.Image:
    """Return an image of 768 x 512 pixels."""
    from PIL import Image, ImageOps

    from pillow_rnc.evaluation.photographs import load_photograph, plain

    if path is None:
        from skimage import data

        image = Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]
    else:
        image = load_photograph(path)
    if image.size != SIZE_PX:
        image = ImageOps.fit(image, SIZE_PX, Image.Resampling.LANCZOS)
    return plain(image)


if __name__ == "__main__":
    sys.exit(main())
