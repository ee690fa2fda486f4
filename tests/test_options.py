"""Options are checked before anything is written, and each error names the option and its range."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from pillow_rnc import RncOptionError
from pillow_rnc.plugin.defaults import DEFAULT_ITERATIONS
from pillow_rnc.plugin.options import SaveOptions, quality_to_iterations
from pillow_rnc.plugin.validation import check_region


def options(**params: object) -> SaveOptions:
    return SaveOptions.from_encoderinfo(params)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("iterations", 0, "from 1 to 32"),
        ("iterations", 33, "from 1 to 32"),
        ("iterations", 2.5, "from 1 to 32"),
        ("iterations", True, "from 1 to 32"),
        ("iterations", "six", "1 to 32 or 'keep'"),
        ("quality", -1, "from 0 to 100"),
        ("quality", 101, "from 0 to 100"),
        ("quality", float("nan"), "from 0 to 100"),
        ("quality", "web_high", "from 0 to 100"),
        ("target_size", 0, "of at least 1"),
        ("target_size", 10.5, "of at least 1"),
        ("target_bpp", -0.5, "of at least 0"),
        ("target_bpp", "1", "of at least 0"),
        ("target_psnr", float("inf"), "of at least 0"),
        ("target_psnr", [30], "of at least 0"),
        ("target_psnr", b"30", "of at least 0"),
        ("target_psnr", 10**400, "of at least 0"),
        ("target_psnr", Decimal("sNaN"), "of at least 0"),
        ("lossless", True, "allowed is False"),
        ("preview", True, "allowed is False"),
        ("preview", 128, "allowed is False"),
        ("alpha_quality", 101, "from 0 to 100"),
        ("alpha_quality", -1, "from 0 to 100"),
        ("alpha_quality", "90", "from 0 to 100"),
        ("max_threads", -1, "of at least 0"),
        ("max_threads", 1.5, "of at least 0"),
        ("max_threads", True, "of at least 0"),
        ("max_memory", 0, f"from 1 to {sys.maxsize}"),
        ("max_memory", 10**30, f"from 1 to {sys.maxsize}"),
        ("verify", 1, "give True or False"),
        ("model", 3, "give a name"),
        ("model", "", "give a name"),
        ("device", 0, "give a name"),
        ("tile_size", 48, "from 64 to 4096"),
        ("tile_size", 100, "multiple of 16"),
        ("overlap", 400, "from 0 to 240"),
        ("overlap", 8, "multiple of 16"),
    ],
)
def test_bad_values_are_named_with_what_is_allowed(name: str, value: object, allowed: str) -> None:
    with pytest.raises(RncOptionError, match=allowed) as caught:
        options(**{name: value})

    assert name in str(caught.value)


def test_two_rates_together_are_refused() -> None:
    with pytest.raises(ValueError, match="iterations and target_bpp"):
        options(iterations=3, target_bpp=1)


def test_quality_gives_way_to_every_other_rate() -> None:
    assert options(quality=100, iterations=3).encoded_iterations(16) == 3
    assert options(quality="keep", target_size=9).size_limit(8, 8) == ("target_size", 9)


def test_what_others_pass_blindly_is_ignored() -> None:
    given = options(optimize=True, progressive=True, subsampling=0, method=6, speed=3, anything=1)

    assert given == options()
    assert options(lossless=False, preview=False) == options()
    assert options(iterations=None, quality=None, model=None) == options()


def test_numbers_of_numpy_are_numbers() -> None:
    assert options(iterations=np.int64(3)).iterations == 3
    assert options(quality=np.float32(50)).quality == 50


def test_quality_is_monotone_and_reaches_both_ends() -> None:
    table = [quality_to_iterations(quality) for quality in range(101)]

    assert table == sorted(table)
    assert [table[quality] for quality in (0, 6, 50, 75, 90, 100)] == [1, 1, 8, 12, 16, 29]


def test_targets_encode_everything_and_the_default_does_not() -> None:
    assert options().encoded_iterations(16) == DEFAULT_ITERATIONS
    assert {options(**{name: 9}).encoded_iterations(16) for name in ("target_size", "target_bpp", "target_psnr")} == {
        16
    }


def test_bits_per_pixel_count_the_whole_file() -> None:
    assert options(target_bpp=0.5).size_limit(100, 10) == ("target_bpp", 62)


@pytest.mark.parametrize(
    ("params", "copied"),
    [
        ({}, 6),
        ({"iterations": "keep"}, 6),
        ({"quality": "keep"}, 6),
        ({"iterations": "keep", "model": "recurrent"}, None),
        ({"iterations": 6}, 6),
        ({"iterations": 2}, 2),
        ({"iterations": 7}, None),
        ({"quality": 10}, 2),
        ({"quality": 95}, 6),
        ({"target_size": 100}, 6),
        ({"target_psnr": 30}, None),
        ({"iterations": 2, "tile_size": 64}, None),
        ({"model": "auto"}, None),
    ],
)
def test_a_stored_stream_is_copied_unless_an_option_forces_encoding(params: dict[str, Any], copied: int | None) -> None:
    assert options(**params).copied_iterations(6) == copied


def test_a_model_of_fewer_iterations_bounds_all_but_the_explicit_count() -> None:
    assert [options(**given).encoded_iterations(4) for given in ({}, {"quality": 90}, {"target_bpp": 1})] == [4, 4, 4]
    assert options(iterations=9).encoded_iterations(4) == 9


@pytest.mark.parametrize("region", [(0, 0, 0, 1), (0, 0, 5, 4), (-1, 0, 2, 2), (1, 2), "abcd", (0, 0, 1.5, 1), 7])
def test_regions_outside_the_image_are_refused(region: object) -> None:
    with pytest.raises(RncOptionError, match="region"):
        check_region(region, (4, 4))


def test_the_side_of_a_region_that_is_at_fault_is_named() -> None:
    with pytest.raises(
        RncOptionError, match=r"^region \(-5, 0, 2, 2\): left -5 is not allowed, give an integer of at "
    ):
        check_region((-5, 0, 2, 2), (4, 4))


def test_regions_inside_the_image_are_taken() -> None:
    assert check_region([0, 1, 4, 4], (4, 4)) == (0, 1, 4, 4)
