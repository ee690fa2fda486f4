"""Bytes of a file <-> records: layout, checksums and rules. Standard library and construct only."""
