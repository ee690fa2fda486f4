"""Which checkpoint of a run to keep: the one with the largest areas under both validation curves.

Source: Toderici et al. 2017, who choose by the areas under both curves. That the product decides is a choice made here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.training.checkpoint import Checkpoint, read_newest, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BEST = "best"
"""Folder, in that of the run, that holds the checkpoint kept."""
_LOW_BPP, _HIGH_BPP = 0.125, 2.0


def mean_heights(
    points: Sequence[tuple[float, float, float]], low_bpp: float = _LOW_BPP, high_bpp: float = _HIGH_BPP
) -> tuple[float, float]:
    """Return the mean PSNR-HVS in dB and the mean MS-SSIM between two rates: areas by their width.

    A curve is extended by its first and last values.

    Args:
        points: (bpp, PSNR-HVS in dB, MS-SSIM), by rising bpp.
        low_bpp: Where the mean begins.
        high_bpp: Where it ends.
    """
    rates, hvs, ms_ssim = np.array(points).T
    grid = np.linspace(low_bpp, high_bpp, 256)
    return float(np.interp(grid, rates, hvs).mean()), float(np.interp(grid, rates, ms_ssim).mean())


def area_score(points: Sequence[tuple[float, float, float]]) -> float:
    """Return the product of the mean PSNR-HVS and the mean MS-SSIM over 0.125 to 2 bpp.

    The product weighs one per cent of either equally.
    """
    hvs, ms_ssim = mean_heights(points)
    return hvs * ms_ssim


def keep_if_best(folder: Path, checkpoint: Checkpoint, points: Sequence[tuple[float, float, float]]) -> bool:
    """Write the checkpoint into ``folder / "best"`` if its score exceeds that of the one there; return whether it did.

    Raises:
        OSError: It could not be written; the one there is untouched.
    """
    score, best = area_score(points), read_newest(folder / BEST)
    if best is not None and best.state["area_score"] >= score:
        return False
    write_checkpoint(folder / BEST, replace(checkpoint, state={**checkpoint.state, "area_score": score}))
    return True
