"""``python -m research.evaluation_page --kodak DIR --data DIR --out DIR``: all tables of docs/evaluation.md.

Measures the codec and the peers on three sets of images: Kodak; the photographs that training holds out; and text, a
scan, line art and a screen (`research.synthetic`). Reports of each set are written to a folder of their own, and the
tables take the place of those on the page. Peers' measurements are cached image by image, so an interrupted run goes
on where it was, and a run with another model measures that model alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

import pillow_rnc
from pillow_rnc.evaluation import plots, report
from pillow_rnc.evaluation.arguments import iteration_counts, positive
from pillow_rnc.evaluation.codecs_used import codec_table
from pillow_rnc.evaluation.peers import PEERS
from pillow_rnc.evaluation.photographs import find_photographs
from pillow_rnc.evaluation.rate_distortion import MeasurementPlan, RncCodec, evaluation_of, measure_all
from pillow_rnc.models.weights import DEFAULT, find
from pillow_rnc.training.data import is_held_out
from research import synthetic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pillow_rnc.evaluation.curves import Metric
    from pillow_rnc.evaluation.rate_distortion import Evaluation

PAGE = Path(__file__).parents[1] / "docs" / "evaluation.md"
BEGIN, END = "<!-- tables of research.evaluation_page -->\n", "<!-- end of the tables -->\n"
_PEERS = ("jpeg420", "jpegli", "webp", "heic", "avif", "jxl")
_MAX_HELD_OUT_PX = 1_000_000  # larger ones would take most of the time
_DISAGREEMENT_PERCENT = 5.0
_FEW_IMAGES = 10


def held_out(folder: Path, record: Mapping[str, Any]) -> list[Path]:
    """Return the photographs of a folder that the training of a model held out, those of at most a megapixel.

    Args:
        folder: The training data.
        record: The training record. Models of before the present rule have a list of names there, `held_out`.
    """
    names = record.get("held_out")
    found = [
        path for path in find_photographs(folder) if (is_held_out(path.name) if names is None else path.name in names)
    ]
    return [path for path in found if _pixels(path) <= _MAX_HELD_OUT_PX]


def section(title: str, evaluation: Evaluation, seconds: float) -> str:
    """Return the tables of a set of images as a section of the page."""
    count = len(evaluation.pictures)
    pixels = sum(picture.width * picture.height for picture in evaluation.pictures)
    about = f"{count} image{'s' * (count != 1)}, {pixels / 1e6:.1f} megapixels, measured in {seconds / 60:.0f} minutes."
    if count < _FEW_IMAGES:
        about += "\nOn so few images, differences of a few percent mean little."
    parts = [
        f"## {title}",
        about,
        report.mean_table(evaluation.curves()[evaluation.label]),
        *report.comparison(evaluation),
        disagreements(report.summaries(evaluation)),
    ]
    return "\n\n".join(parts) + "\n"


def disagreements(entries: Sequence[report.Summary]) -> str:
    """Return in words where SSIMULACRA2 differs from MS-SSIM and PSNR-HVS: order by area, and rates.

    Args:
        entries: Summaries of ours and the peers.
    """
    lines = []
    for metric in ("ms_ssim", "psnr_hvs", "ssimulacra2"):
        order = sorted(entries, key=lambda entry: -entry.areas[metric].value)
        lines.append(f"- Order by {report.METRIC_LABELS[metric]} area: {', '.join(entry.label for entry in order)}.")
    for entry in entries[1:]:
        others: tuple[Metric, ...] = ("ms_ssim", "psnr_hvs")
        low, high = (choose(entry.bd_rates[metric] for metric in others) for choose in (min, max))
        judged = entry.bd_rates["ssimulacra2"]
        if low - judged > _DISAGREEMENT_PERCENT or judged - high > _DISAGREEMENT_PERCENT:
            verdict = "better" if judged < low else "worse"
            lines.append(
                f"- Against {entry.label}, SSIMULACRA2 finds our files {verdict} than MS-SSIM and PSNR-HVS do: "
                f"{judged:+.1f} % of the bits, where they say {low:+.1f} to {high:+.1f} %."
            )
    return "\n".join(lines)


def put_into_page(page: Path, tables: str) -> None:
    """Replace what stands between the two marks of the page.

    Raises:
        OSError: The page cannot be read or written.
        ValueError: It lacks a mark.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        msg = f"{page}: the marks of the tables are missing"
        raise ValueError(msg)
    page.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    args = _parser().parse_args(arguments)
    synthetic.main([str(args.out / "synthetic-images")])
    sets: dict[str, list[Path]] = {}
    if args.kodak:
        sets["Kodak"] = find_photographs(args.kodak)
    if args.data:
        sets["Held-out photographs"] = held_out(args.data, _training_record(args.model))
    sets["Text, scan, line art and screen"] = find_photographs(args.out / "synthetic-images")
    codec = RncCodec(args.model or next(model.name for model in pillow_rnc.models() if model.is_default))
    plan = MeasurementPlan(
        codec, args.iterations, _PEERS, args.out / "peer-cache", peer_settings=args.peer_settings, matched=False
    )
    sections = []
    for title, paths in sets.items():
        start = time.monotonic()
        evaluation = evaluation_of(codec.label, list(measure_all(paths[: args.limit], plan, jobs=args.jobs)))
        folder = args.out / title.partition(",")[0].lower().replace(" ", "-")
        report.write_reports(evaluation, folder)
        plots.write_plots(evaluation.curves(), folder)
        sections.append(section(title, evaluation, time.monotonic() - start))
        print(sections[-1], flush=True)
    sections.append(f"## Versions and settings\n\n{codec_table(evaluation)}\n")
    put_into_page(args.page, "\n".join(sections))
    print(f"written: {args.page}", file=sys.stderr)
    return 0


def _training_record(model: str | None) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(find(model or DEFAULT).path.with_suffix(".json").read_text(encoding="utf-8"))
    return record


def _pixels(path: Path) -> int:
    with Image.open(path) as opened:
        return opened.width * opened.height


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m research.evaluation_page", description=__doc__)
    parser.add_argument("--kodak", type=Path, metavar="DIR", help="the Kodak images (default: that set is left out)")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the training data, of which the held-out part is taken"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the reports and the cache")
    parser.add_argument("--page", type=Path, default=PAGE, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--model", metavar="NAME", help="model to save with (default: the plugin's)")
    parser.add_argument(
        "--iterations", type=iteration_counts, default=iteration_counts("1-17,20,23,26,29"), metavar="1,2,..."
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N images of each set only")
    parser.add_argument("--jobs", type=positive, default=1, metavar="N", help="processes (default: %(default)s)")
    parser.add_argument("--peer-settings", type=positive, metavar="N", help="most settings of each of "
                        f"{', '.join(PEERS[name].label for name in _PEERS)} (default: all)")  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
