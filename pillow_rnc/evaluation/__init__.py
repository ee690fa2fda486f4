"""Measures the codec from outside: images in, files through Pillow, metrics and reports out.

A leaf: nothing imports it, and it knows the codec only through ``Image.save`` and ``Image.open``,
so every byte of a file counts. Start with ``python -m pillow_rnc.evaluation --help``.
"""
