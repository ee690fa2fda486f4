"""Code bits <-> payloads, in exact integers."""
