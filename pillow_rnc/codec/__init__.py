"""Pixels <-> units of codes: tiles, batches, network and entropy coding, blending."""
