"""Which Pillow the tests run with, where older ones lack something."""

from __future__ import annotations

import PIL

PILLOW = tuple(int(part) for part in PIL.__version__.split(".")[:2])
"""Its version, of which the first two numbers say what it can do."""
