"""Experiments behind the design: run from a checkout, not part of the package."""
