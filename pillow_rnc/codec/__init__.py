"""Pixels <-> units of an iteration: tiles, batches, blending."""
