"""Any bytes are parsed or refused by our own error; what is parsed means the same however it is read."""

from __future__ import annotations

import io

from mutator import split

from pillow_rnc import container
from pillow_rnc.errors import RncFileError, TruncatedError
from pillow_rnc.records import ALPHA_TYPE, HEAD_TYPE, METADATA_TYPES, UNIT_TYPE

KNOWN = {HEAD_TYPE, ALPHA_TYPE, UNIT_TYPE, *METADATA_TYPES.values()}


class _SlowFile(io.BytesIO):
    """Gives less than it is asked for."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self.most = most

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(self.most, size or 0))


def test_one_input(data: bytes) -> None:
    """The last byte says how many bytes a read gives, and whether a cut file is tolerated."""
    options = data[-1] if data else 0
    data = bytes(data[:-1])
    tolerant = bool(options & 1)
    try:
        file = container.parse(data, allow_truncated=tolerant)
    except RncFileError as error:
        _check_refusal(data, error, tolerant=tolerant)
        return
    fp = _SlowFile(data, 1 + (options >> 1) + len(data) // 1000)
    head = container.read_head(fp)
    assert (head.header, head.metadata, head.alpha) == (file.header, file.metadata, file.alpha)
    assert container.read_units(fp, head, allow_truncated=tolerant) == file.units
    assert len(container.unit_sizes(fp, head)) >= len(file.units)
    canonical = {chunk_type for chunk_type, _ in split(data)[0]} <= KNOWN
    if not tolerant:
        assert container.verify(data) == file.header
        assert not canonical or container.build(file) == data
    # A strict reader of all iterations would look for what follows them.
    for iterations in range(1, min(len(file.units), file.header.iterations - tolerant) + 1):
        assert container.parse(data, iterations=iterations).units == file.units[:iterations]
        assert container.parse(container.truncate(data, iterations)).units == file.units[:iterations]


def _check_refusal(data: bytes, error: RncFileError, *, tolerant: bool) -> None:
    """A strict reader refuses what a tolerant one does; what is whole of a cut file can be read."""
    if tolerant:
        try:
            container.verify(data)
        except RncFileError:
            return
        raise AssertionError("only a tolerant reader refuses this")
    if isinstance(error, TruncatedError) and error.decodable_iterations:
        file = container.parse(data, allow_truncated=True)
        assert len(file.units) == error.decodable_iterations


if __name__ == "__main__":
    import engine

    engine.run("fuzz_container")
