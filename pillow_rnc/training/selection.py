"""Which checkpoint of a run to keep for good: the one with the largest areas under both curves of the validation.

Source: Toderici et al. 2017, section 5, which chooses learning rate and checkpoint so.
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


def area_score(points: Sequence[tuple[float, float, float]]) -> float:
    """Return the product of the mean PSNR-HVS and the mean MS-SSIM over 0.125 to 2 bpp.

    The product weighs a per cent of one like a per cent of the other. A curve is held where it does not reach.

    Args:
        points: (bpp, PSNR-HVS in dB, MS-SSIM), by rising bpp.
    """
    rates, *curves = np.array(points).T
    grid = np.linspace(_LOW_BPP, _HIGH_BPP, 256)
    return float(np.prod([np.interp(grid, rates, values).mean() for values in curves]))


def keep_if_best(folder: Path, checkpoint: Checkpoint, points: Sequence[tuple[float, float, float]]) -> bool:
    """Write the checkpoint into ``folder / "best"`` if its score is above that of the one there; return whether.

    Raises:
        OSError: It could not be written; the one there is untouched.
    """
    score, best = area_score(points), read_newest(folder / BEST)
    if best is not None and best.state["area_score"] >= score:
        return False
    write_checkpoint(folder / BEST, replace(checkpoint, state={**checkpoint.state, "area_score": score}))
    return True
