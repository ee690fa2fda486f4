"""Measures of speed: run from a checkout, not part of the package."""
