"""The peak speed of a device, measured by one large matrix product; speeds in the log are given as shares of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

_SIDE = {"cpu": 1024, "cuda": 8192}
_PRODUCTS = 8


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def peak_macs(
    device: torch.device, dtype: torch.dtype | None = None, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return multiply-accumulates per second of a square matrix product in ``dtype`` (float32 by default)."""
    side = _SIDE.get(device.type, 2048)
    a, b = (torch.randn(side, side, device=device, dtype=dtype or torch.float32) for _ in range(2))
    best = float("inf")
    for _ in range(3):
        _wait_for(device)
        start = clock()
        for _ in range(_PRODUCTS):
            a @ b
        _wait_for(device)
        best = min(best, clock() - start)
    return _PRODUCTS * side**3 / best
