"""Limits of what the networks see of a coefficient; both runtimes take them from here.

All are in units of the quantizer's step unless stated otherwise. This module imports nothing.
"""

from __future__ import annotations

SOFTSIGN_LIMIT = 4.0
"""Where the inputs of the networks saturate, see `layers.activations.softsign`."""
MAX_HALF_WIDTH = 4.0
"""Wider intervals are seen as having this half width; so are those of coefficients that were never coded."""
