"""The tables of the command `bits`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.evaluation.markdown_table import number, table
from research.bit_kinds import BitKind
from research.code_lengths import BIT_LENGTHS, refitted_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from research.bit_counts import Bits

PAPER_BPP = 0.125
"""Code bits of an iteration of the paper's network per pixel, before entropy coding: 32 for each 16x16."""
_RATES_BPP = (0.25, 2.0)
"""Rates at which the paper reports what its entropy coder saves."""


def markdown(bits: Bits, name: str) -> str:
    """Return all tables with explanations."""
    plural = "s" * (bits.pictures != 1)
    parts = [
        f"## Bits of {name}",
        f"{bits.pictures} image{plural}, {bits.pixels} pixels, all together; bpp counts pixels of images.",
        "### What entropy coding saves",
        _savings_table(bits),
        (
            "Sums of all iterations so far.\n"
            "*Nominal*: all code bits; *coded*: those that are not inferred from others.\n"
            "*Ideal*: code length by the entropy network, and a bit for each sign; *file*: whole files. "
            f"The paper's codes have {PAPER_BPP} bpp an iteration.\n"
        )
        + _rates_text(bits),
        "### By pass",
        _pass_table(bits),
        "Ideal bits of each iteration alone, in bpp. Each pass codes the magnitudes of its cells; then come all signs.",
        "### By meaning",
        _task_table(bits),
        (
            "Ideal bits of each iteration alone, in bpp.\n"
            "*Leaves zero*: whether a number whose interval holds zero reaches the first threshold; *larger*: further "
            "thresholds at once; *halves*: in which half of a known interval a number lies."
        ),
    ]
    if len(bits.counts) > 1:
        fitted = {view: refitted_bits(one) for view, one in bits.counts.items()}
        parts += ["### What each input saves", _input_table(bits, fitted), _INPUT_TEXT]
        parts += ["### What each pass gains from those before it", _gain_table(bits, fitted), _GAIN_TEXT]
    return "\n\n".join(parts)


_INPUT_TEXT = (
    "More bits than with all inputs, after so many iterations, when an input is withheld from the trained network. "
    "A network that lacks an input which it was trained with is overconfident; so each channel's log-odds in each pass "
    "and iteration were scaled and shifted to fit the codes again, in every row including the first. "
    "In brackets: without that. Signs are left out: no input predicts them.\n"
    "A network trained without the input would do better: these are upper bounds of its contribution."
)
_GAIN_TEXT = (
    "Fewer bits in each pass when earlier passes of the iteration are known than when they are not, all iterations "
    "together, fitted again as above; the first pass sees none. An upper bound, too."
)


def _savings(bits: Bits) -> list[tuple[float, float, float, float]]:
    """Return nominal, coded, ideal and file, in bpp, after each iteration."""
    magnitudes = next(iter(bits.counts.values())).sum((1, 2, 3, 4))
    columns = (
        bits.channels * bits.cells * np.arange(1, len(magnitudes) + 1),
        np.cumsum(magnitudes + bits.lengths[:, :, BitKind.SIGN].sum((1, 2))),
        np.cumsum(bits.lengths.sum((1, 2, 3))),
        8 * bits.file_bytes,
    )
    return [tuple(row) for row in np.stack(columns, 1) / bits.pixels]


def _savings_table(bits: Bits) -> str:
    rows = [
        [
            str(k),
            *(number(value, 3) for value in row),
            *(_saved(row[3], whole) for whole in (row[0], row[1], PAPER_BPP * k)),
        ]
        for k, row in enumerate(_savings(bits), 1)
    ]
    header = ["Iterations", "Nominal", "Coded", "Ideal", "File", "Saved of nominal", "of coded", "of the paper's"]
    return table(header, rows)


def _rates_text(bits: Bits) -> str:
    """Return the savings at the two rates of the paper, in file bpp."""
    rows = _savings(bits)
    file = [row[3] for row in rows]
    shares = [
        [100 * (1 - row[3] / whole) for row, whole in zip(rows, wholes, strict=True)]
        for wholes in ([row[1] for row in rows], [PAPER_BPP * k for k in range(1, len(rows) + 1)])
    ]
    said = []
    for rate in _RATES_BPP:
        at = min(rate, file[-1])
        coded, paper = (np.interp(at, file, share) for share in shares)
        said.append(f"at {at:.2f} bpp of file {coded:.1f} % of the coded bits and {paper:.1f} % of the paper's")
    return f"Saved, between iterations: {'; '.join(said)}."


def _pass_table(bits: Bits) -> str:
    by_pass = bits.lengths.sum((2, 3)) / bits.pixels
    count = by_pass.shape[1]
    rows = [[str(t), *(number(value, 4) for value in row), number(row.sum(), 4)] for t, row in enumerate(by_pass, 1)]
    total = by_pass.sum(0)
    rows.append(["all", *(number(value, 4) for value in total), number(total.sum(), 4)])
    rows.append(["share", *(_percent(value / total.sum()) for value in total), ""])
    return table(["Iteration", *(f"Pass {p}" for p in range(1, count)), "Signs", "All"], rows)


def _task_table(bits: Bits) -> str:
    by_task = bits.lengths.sum((1, 3)) / bits.pixels
    chroma = bits.lengths[..., 1].sum((1, 2)) / bits.pixels
    shown = [BitKind.LEAVES_ZERO, BitKind.SIGN, BitKind.LARGER, BitKind.HALF]
    columns = np.column_stack([by_task[:, shown], by_task.sum(1) - chroma, chroma])
    rows = [[str(t), *(number(value, 4) for value in row)] for t, row in enumerate(columns, 1)]
    total = columns.sum(0)
    rows.append(["all", *(number(value, 4) for value in total)])
    rows.append(["share", *(_percent(value / by_task.sum()) for value in total)])
    return table(["Iteration", "Leaves zero", "Sign", "Larger", "Halves", "Luma", "Chroma"], rows)


def _input_table(bits: Bits, fitted: dict[str, NDArray[np.float64]]) -> str:
    count = len(bits.file_bytes)
    shown = sorted({max(1, round(count * part / 4)) for part in (1, 2, 3, 4)})
    raw = {view: _so_far(_plain_bits(one)) for view, one in bits.counts.items()}
    again = {view: _so_far(one) for view, one in fitted.items()}
    first, *others = fitted
    whole = ((again[first][k - 1] / bits.pixels, raw[first][k - 1] / bits.pixels) for k in shown)
    rows = [[first, *(f"{a:.3f} ({b:.3f}) bpp" for a, b in whole)]]
    for view in others:
        more = ([_more(one[view][k - 1], one[first][k - 1]) for one in (again, raw)] for k in shown)
        rows.append([view, *(f"{a} ({b})" for a, b in more)])
    return table(["", *(f"{k} iteration{'s' * (k != 1)}" for k in shown)], rows)


def _gain_table(bits: Bits, fitted: dict[str, NDArray[np.float64]]) -> str:
    whole, alone = (one.sum((0, 1)) for one in list(fitted.values())[:2])
    count = len(whole)
    rows = [
        ["without, bpp", *(number(value / bits.pixels, 4) for value in (*alone, alone.sum()))],
        ["with, bpp", *(number(value / bits.pixels, 4) for value in (*whole, whole.sum()))],
        ["saved", *(_saved(a, b) for a, b in zip((*whole, whole.sum()), (*alone, alone.sum()), strict=True))],
    ]
    return table(["", *(f"Pass {p}" for p in range(1, count + 1)), "All"], rows)


def _so_far(by_group: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums over all iterations up to each, [T], of [T, M, P]."""
    return np.cumsum(by_group.sum((1, 2)))


def _plain_bits(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return code lengths in bits by the network as it is, [T, M, P]."""
    bits: NDArray[np.float64] = (counts * BIT_LENGTHS).sum((-1, -2))
    return bits


def _saved(part: float, whole: float) -> str:
    return f"{100 * (1 - part / whole):.1f} %" if whole else "-"


def _more(part: float, whole: float) -> str:
    return f"{100 * (part / whole - 1):+.1f} %" if whole else "-"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
