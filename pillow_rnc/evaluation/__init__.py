"""Measures the codec from outside: images in, files through Pillow, metrics and reports out.

Every byte of a file counts. Of the layers, only `cli` imports this one.
Start with ``python -m pillow_rnc.evaluation --help``.
"""
