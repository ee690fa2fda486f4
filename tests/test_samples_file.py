"""Decoded samples are read like a file."""

from __future__ import annotations

import os

from pillow_rnc.plugin.samples_file import open_samples


def test_samples_are_read_from_any_position() -> None:
    fp = open_samples(memoryview(b"0123456789"))

    assert (fp.readable(), fp.seekable(), fp.writable()) == (True, True, False)
    assert fp.read(4) + fp.read(99) + fp.read(1) == b"0123456789"
    assert (fp.seek(2), fp.read(1), fp.tell()) == (2, b"2", 3)
    assert (fp.seek(-5, os.SEEK_CUR), fp.seek(-3, os.SEEK_END), fp.read()) == (0, 7, b"789")
