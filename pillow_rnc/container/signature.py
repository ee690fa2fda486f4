"""The bytes that every file starts with."""

from __future__ import annotations

SIGNATURE = b"\x8aRNC\r\n\x1a\n"
