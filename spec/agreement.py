"""Compares the codes of package and reference decoder over many random files and models.

    cd spec; PYTHONPATH=.. python agreement.py [--bits 10000000] [--seed 0]

A release needs 10^7 entropy-coded bits without a difference, which takes about ten minutes; the tests run a small part.
Models are drawn anew every few rounds; each round draws picture size, tiles and codes. The package codes them, and both
decode. Then one bit is changed, and both have to give the same fault.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from random import Random

import numpy as np
import reference_decoder
from vectors.assemble import Draft, Model, Plan, code_units, read_model
from vectors.make_weights import odd_weights, whole_weights

from pillow_rnc import container
from pillow_rnc.codestream import decode_tile
from pillow_rnc.errors import RncFileError
from pillow_rnc.records import Coding, Header

_ROUNDS_PER_MODEL = 12


class Disagreement(Exception):  # noqa: N818
    """The decoders differ; the message tells the round."""


def compare(bits: int, seed: int) -> int:
    """Compare at least so many entropy-coded bits, and return how many they were.

    Raises:
        Disagreement: Codes or faults differ.
    """
    random = Random(seed)  # noqa: S311 -- to be repeated, not to be secret
    compared = number = 0
    while compared < bits:
        if number % _ROUNDS_PER_MODEL == 0:
            make = odd_weights if number // _ROUNDS_PER_MODEL % 2 else whole_weights
            weights = make(int(random.random() * 2**32))
            model = read_model(weights)
        number += 1
        draft = _draw(random, model)
        data = draft.bytes()
        compared += _same_codes(data, weights, model, f"seed {seed}, round {number}")
        position = int(random.random() * len(data))
        damaged = data[:position] + bytes([data[position] ^ 1 << int(random.random() * 8)]) + data[position + 1 :]
        if _package_fault(damaged, model) != _reference_fault(damaged, weights):
            raise Disagreement(f"seed {seed}, round {number}: faults after a change of byte {position}")
    return compared


def _draw(random: Random, model: Model) -> Draft:
    stride = model.code_stride
    header = Header(
        1 + int(random.random() * 32 * stride),
        1 + int(random.random() * 32 * stride),
        "RGB",
        1 + int(random.random() * model.entropy_model.iterations),
        model.code_channels,
        stride,
        64 + 16 * int(random.random() * 9),
        16 * int(random.random() * 3),
        model.model_id,
    )
    rule = ("likely", "surest", "likely", "alternating", "likely")[int(random.random() * 5)]
    return Draft(header, (), code_units(header, model.entropy_model, random, Plan(rule)))


def _same_codes(data: bytes, weights: bytes, model: Model, place: str) -> int:
    file = container.parse(data)
    _, codes = reference_decoder.decode(data, weights)
    coded = 0
    for index, tile in enumerate(file.header.grid):
        shape, segments = file.header.code_shape(tile), [unit[index] for unit in file.units]
        planes = decode_tile(segments, model.entropy_model, shape[1:], tile=index)
        if not np.array_equal(np.reshape(codes[index], planes.shape), planes):
            raise Disagreement(f"{place}, tile {index}: codes")
        coded += shape.bits * sum(segment.coding is Coding.ENTROPY for segment in segments)
    return coded


def _package_fault(data: bytes, model: Model) -> str | None:
    try:
        file = container.parse(data)
        known = replace(file.header, model_id=model.model_id) == file.header
        fits = (file.header.code_channels, file.header.code_stride) == (model.code_channels, model.code_stride)
        if not known or not fits or file.header.iterations > model.entropy_model.iterations:
            return "UnsupportedError"
        for index, tile in enumerate(file.header.grid):
            segments = [unit[index] for unit in file.units]
            decode_tile(segments, model.entropy_model, file.header.code_shape(tile)[1:], tile=index)
    except RncFileError as error:
        return type(error).__name__
    return None


def _reference_fault(data: bytes, weights: bytes) -> str | None:
    try:
        reference_decoder.decode(data, weights)
    except reference_decoder.Rejected as error:
        return type(error).__name__
    return None


def main() -> None:
    """Compare, and say how much."""
    parser = argparse.ArgumentParser(description="Compare the codes of package and reference decoder.")
    parser.add_argument("--bits", type=int, default=10_000_000, help="entropy-coded bits to compare at least")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.monotonic()
    bits = compare(arguments.bits, arguments.seed)
    print(f"{bits} coded bits agree, seed {arguments.seed}, {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
