"""Loaded by each worker of a cluster that test_clusters.py starts: after two pictures it waits until a gate is open.

The folder in the environment variable GATE holds the gate, a file `open`, and a file for each worker that waits.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from pillow_rnc.cli import conversion

FREE = 2
PATIENCE_S = 240


def dask_setup(_worker: object) -> None:
    """Put the gate before the work; called once in each worker."""
    gate = Path(os.environ["GATE"])
    encode = conversion.encode
    begun = 0

    def encode_after_the_gate(*arguments: Any) -> Any:  # noqa: ANN401 -- whatever they are
        nonlocal begun
        begun += 1
        if begun > FREE:
            (gate / str(os.getpid())).touch()
            end = time.monotonic() + PATIENCE_S
            while not (gate / "open").exists() and time.monotonic() < end:
                time.sleep(0.05)
        return encode(*arguments)

    conversion.encode = encode_after_the_gate  # type: ignore[assignment]
