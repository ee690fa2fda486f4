"""Bytes of a file <-> records: layout, checksums and rules. Uses construct and the standard library only."""
