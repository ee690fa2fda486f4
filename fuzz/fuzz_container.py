"""Any bytes are parsed or rejected with a documented error; parsing gives the same records however the file is read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from mutator import split

from pillow_rnc.container import reader, writer
from pillow_rnc.container.records import ALPHA_TYPE, HEAD_TYPE, METADATA_TYPES, UNIT_TYPE
from pillow_rnc.errors import RncFileError, TruncatedError

if TYPE_CHECKING:
    from pillow_rnc.container.records import RncFile

KNOWN = {HEAD_TYPE, ALPHA_TYPE, UNIT_TYPE, *METADATA_TYPES.values()}


class _SlowFile(io.BytesIO):
    """Returns fewer bytes than requested."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self.most = most

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(self.most, size or 0))


def test_one_input(data: bytes) -> None:
    """The last byte selects whether truncation is tolerated, what is compared, and with which option."""
    options = data[-1] if data else 0
    data = bytes(data[:-1])
    tolerant = bool(options & 1)
    try:
        file = reader.parse(data, allow_truncated=tolerant)
    except RncFileError as error:
        _check_refusal(data, error, tolerant=tolerant)
        return
    check = CHECKS[(options >> 1) % len(CHECKS)]
    check(data, file, options // (2 * len(CHECKS)), tolerant=tolerant)


def _pieces(data: bytes, file: RncFile, choice: int, *, tolerant: bool) -> None:
    """A file object with short reads gives the same records."""
    fp = _SlowFile(data, 1 + choice + len(data) // 1000)
    head = reader.read_head(fp)
    assert (head.header, head.metadata, head.alpha) == (file.header, file.metadata, file.alpha)
    assert reader.read_units(fp, head, allow_truncated=tolerant) == file.units
    assert len(reader.unit_sizes(fp, head)) >= len(file.units)


def _canonical(data: bytes, file: RncFile, _choice: int, *, tolerant: bool) -> None:
    """Writing the records gives the file, except for unknown chunks."""
    if tolerant:
        return
    assert reader.verify(data).header == file.header
    known = {chunk_type for chunk_type, _ in split(data)[0]} <= KNOWN
    assert not known or writer.build(file) == data


def _cut(data: bytes, file: RncFile, choice: int, *, tolerant: bool) -> None:
    """Reading or keeping some iterations gives the first ones of all."""
    # A strict reader of all iterations would check for trailing bytes.
    most = min(len(file.units), file.header.iterations - tolerant)
    if not most:
        return
    iterations = 1 + choice % most
    assert reader.parse(data, iterations=iterations).units == file.units[:iterations]
    assert reader.parse(writer.truncate(data, iterations)).units == file.units[:iterations]


CHECKS = (_pieces, _canonical, _cut)


def _check_refusal(data: bytes, error: RncFileError, *, tolerant: bool) -> None:
    """A strict reader rejects what a tolerant one rejects; the complete iterations of a truncated file can be read."""
    if tolerant:
        try:
            reader.verify(data)
        except RncFileError:
            return
        raise AssertionError("only a tolerant reader rejects this")
    if isinstance(error, TruncatedError) and error.decodable_iterations:
        file = reader.parse(data, allow_truncated=True)
        assert len(file.units) == error.decodable_iterations


if __name__ == "__main__":
    import engine

    engine.run("fuzz_container")
