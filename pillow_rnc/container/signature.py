"""The bytes that every file starts with; the high bit and the line ends reveal damage by text-mode transfers."""

from __future__ import annotations

SIGNATURE = b"\x8aRNC\r\n\x1a\n"
