"""Command line: ``python -m pillow_rnc.evaluation DIR``, or a command in place of DIR."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pillow_rnc.evaluation.arguments import iteration_counts, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pillow_rnc.evaluation.rate_distortion import MeasurementPlan


class _Command(NamedTuple):
    """A command: the module whose ``main`` takes the other arguments, and the extra that it needs."""

    module: str
    extra: str


_COMMANDS = {
    "demo": _Command("demo", "demo"),
    "prefixes": _Command("prefixes", "demo"),
    "table": _Command("paper_table", "eval"),
    "light-table": _Command("light_table", "eval"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 nothing measured, 2 bad usage."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given and given[0] in _COMMANDS:
            command = importlib.import_module(f"pillow_rnc.evaluation.{_COMMANDS[given[0]].module}")
            status: int = command.main(given[1:])
            return status
        return _evaluate(_parser().parse_args(given))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pillow_rnc"):
            raise
        extra = _COMMANDS[given[0]].extra if given and given[0] in _COMMANDS else "eval"
        print(f"{error.name} is missing: pip install 'pillow-rnc[{extra}]'", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pillow_rnc.evaluation",
        description="Measure the codec on the images of a folder, beside the codecs of Pillow.",
        epilog="In place of DIR: 'demo' makes a table and a contact sheet of one photograph, 'prefixes' a drawing of "
        "what the first bytes of a file show, 'table' trains and measures the paper's comparison, and 'light-table' "
        "that of the network that codes files. "
        "Each has a --help of its own.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of images, or one image")
    parser.add_argument(
        "--iterations",
        type=iteration_counts,
        metavar="1,2,...",
        help="iteration counts to measure (default: all that the model has)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("evaluation"),
        metavar="DIR",
        help="folder of the reports; peers' measurements are cached in its folder peer-cache (default: %(default)s)",
    )
    parser.add_argument(
        "--peers",
        type=_peer_names,
        default="jpeg420,jpeg444,webp,avif,jpeg2000",
        metavar="NAMES",
        help="codecs to draw curves of, or none, or all (default: %(default)s); "
        "jxl, heic and jpegli need the extra `peers`",
    )
    parser.add_argument(
        "--peer-settings",
        type=positive,
        metavar="N",
        help="at most N settings of each peer, spread evenly over its curve (default: all)",
    )
    parser.add_argument(
        "--no-matched",
        action="store_true",
        help="omit the comparison with the best JPEG that is no larger than each file; it takes as long as measuring a "
        "peer",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N images only")
    parser.add_argument(
        "--jobs",
        type=positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes of one thread each (default: %(default)s)",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--model", metavar="NAME", help="model to save with (default: the plugin's)")
    chosen.add_argument("--weights", type=Path, metavar="FILE", help="unreleased weights instead")
    parser.add_argument(
        "--anchors",
        type=Path,
        metavar="FILE",
        help="JSON file of further curves for the plots; one named like a measured peer is left out; "
        "`kodak` for published results on the Kodak images",
    )
    return parser


def _evaluate(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from pillow_rnc import WeightsError
    from pillow_rnc.evaluation import plots, report
    from pillow_rnc.evaluation.photographs import find_photographs
    from pillow_rnc.evaluation.rate_distortion import evaluation_of, measure_all

    try:
        path = plots.KODAK if options.anchors == Path("kodak") else options.anchors
        anchors = plots.read_anchors(path) if path else []
        paths = find_photographs(options.directory)[: options.limit]
        plan = _plan(options)
    except (OSError, ValueError, WeightsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, WeightsError) else 2
    results = measure_all(paths, plan, jobs=min(options.jobs, len(paths)))
    # `disable=None` draws the bar on a terminal only.
    bar = tqdm(results, total=len(paths), unit="image", disable=None)
    try:
        evaluation = evaluation_of(plan.codec.label, list(bar))
    except WeightsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for skipped in evaluation.skipped:
        print(f"skipped: {skipped.name}: {skipped.reason}", file=sys.stderr)
    count = len(evaluation.pictures)
    print(f"{count} measured, {len(evaluation.skipped)} skipped", file=sys.stderr)
    if not count:
        return 1
    written = report.write_reports(evaluation, options.out)
    written += plots.write_plots(
        evaluation.curves(), options.out, [anchor for anchor in anchors if anchor.label not in plan.peers]
    )
    print(report.markdown(evaluation))
    print("written:", *written, sep="\n  ", file=sys.stderr)
    return 0


def _plan(options: argparse.Namespace) -> MeasurementPlan:
    """Return what to measure; peers that this Pillow is built without are named and left out.

    Raises:
        ValueError: There is no such model, or a peer needs a package that is not installed.
        WeightsError: The model cannot be used.
    """
    from pillow_rnc.evaluation.peers import PEERS, is_available
    from pillow_rnc.evaluation.rate_distortion import MeasurementPlan, RncCodec

    codec, peers = RncCodec(options.model, options.weights), []
    for name in options.peers:
        package = PEERS[name].package
        if is_available(PEERS[name]):
            peers.append(name)
        elif package is None:
            print(f"left out: {name}, this Pillow is built without it", file=sys.stderr)
        else:
            raise ValueError(f"--peers {name} needs the package {package.project}: pip install 'pillow-rnc[peers]'")
    return MeasurementPlan(
        codec,
        options.iterations or codec.all_iterations(),
        tuple(peers),
        options.out / "peer-cache",
        options.peer_settings,
        not options.no_matched,
    )


def _peer_names(text: str) -> tuple[str, ...]:
    from pillow_rnc.evaluation.peers import PEERS

    if text in ("", "none"):
        return ()
    if text == "all":
        return tuple(PEERS)
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in PEERS]:
        msg = f"unknown: {', '.join(unknown)}; known: {', '.join(PEERS)}"
        raise argparse.ArgumentTypeError(msg)
    return names


if __name__ == "__main__":
    sys.exit(main())
