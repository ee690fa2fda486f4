from __future__ import annotations

import math

import pytest

pytest.importorskip("bjontegaard", reason="needs the extra [eval]")

from pillow_rnc.evaluation.curves import Point, area_under_curve, bd_rate, mean_curve, ms_ssim_db


def point(bpp: float, value: float, setting: int = 1) -> Point:
    return Point(setting, bpp * 1000, bpp, value, value, value, value)


def test_area_of_a_constant_is_value_times_width() -> None:
    assert area_under_curve([point(0.1, 0.9), point(3, 0.9)], "ms_ssim") == pytest.approx((0.9 * 1.875, 0, 0))


def test_area_of_a_line_that_crosses_both_ends() -> None:
    # value = 10 bpp: the integral of 10 b from 0.125 to 2 is 5 (4 - 0.015625).
    curve = [point(b, 10 * b) for b in (0.0, 0.3, 1.7, 2.5)]

    assert area_under_curve(curve, "psnr").value == pytest.approx(5 * (4 - 0.015625))


def test_area_is_a_trapezoid_between_points() -> None:
    curve = [point(0.125, 0), point(1, 2), point(2, 3)]

    assert area_under_curve(curve, "psnr") == pytest.approx((0.875 * 1 + 1 * 2.5, 0, 0))


def test_area_holds_a_curve_that_ends_early() -> None:
    area = area_under_curve([point(0.1, 30), point(1.5, 30)], "psnr")

    assert area == pytest.approx((30 * 1.875, 0, 0.5))


def test_area_extends_a_curve_that_starts_late_by_its_first_line() -> None:
    curve = [point(0.225, 10), point(0.325, 20), point(2, 20)]
    early = [point(0.125, 0), *curve]

    assert area_under_curve(curve, "psnr").value == pytest.approx(area_under_curve(early, "psnr").value)
    assert area_under_curve(curve, "psnr").extrapolated_bpp == pytest.approx(0.1)


def test_area_never_extends_below_zero() -> None:
    curve = [point(1, 1), point(1.1, 11), point(2, 11)]

    # Down to 0 at the low end: a triangle of 0.875 by 1 by its half.
    assert area_under_curve(curve, "psnr").value == pytest.approx(0.875 / 2 + 0.1 * 6 + 0.9 * 11)


def test_area_of_ssimulacra2_may_extend_below_zero() -> None:
    curve = [point(1, 1), point(1.1, 11), point(2, 11)]

    # From -86.5 at the low end in a line to 1.
    assert area_under_curve(curve, "ssimulacra2").value == pytest.approx(0.875 * (1 - 86.5) / 2 + 0.1 * 6 + 0.9 * 11)


def test_points_without_a_metric_do_not_count() -> None:
    curve = [point(0.125, 1), point(1, 2), point(2, 3)]
    with_unknown = [*curve, Point(9, 500, 0.5, 1.4, 1.4, 1.4)]

    assert area_under_curve(with_unknown, "ssimulacra2") == area_under_curve(curve, "ssimulacra2")
    assert bd_rate(curve, with_unknown, "ssimulacra2") == pytest.approx(0)


def test_area_needs_two_rates() -> None:
    assert math.isnan(area_under_curve([point(1, 1), point(1, 2)], "psnr").value)


def test_area_takes_the_published_curve_of_toderici_2017_as_the_literature_does() -> None:
    values = [0.8191, 0.9037, 0.9375, 0.9538, 0.9636, 0.9715, 0.9758, 0.9796]
    values += [0.9822, 0.9839, 0.9858, 0.9868, 0.9878, 0.9883, 0.9885, 0.9887]
    curve = [point(index / 8, value) for index, value in enumerate(values, 1)]

    assert area_under_curve(curve, "ms_ssim").value == pytest.approx(1.8116, abs=5e-5)


@pytest.mark.parametrize("metric", ["psnr", "psnr_hvs"])
@pytest.mark.parametrize("factor", [0.6, 1.25])
def test_bd_rate_of_a_curve_at_constant_cost(metric: str, factor: float) -> None:
    reference = [point(b, 30 + 5 * math.log2(b)) for b in (0.1, 0.2, 0.5, 1, 2)]
    tested = [point(factor * p.bpp, p.psnr) for p in reference]

    assert bd_rate(reference, tested, metric) == pytest.approx(100 * (factor - 1))  # type: ignore[arg-type]


def test_bd_rate_takes_ms_ssim_in_db() -> None:
    reference = [point(b, 1 - 0.1 / b) for b in (0.2, 0.5, 1, 2)]
    tested = [point(0.5 * p.bpp, p.ms_ssim) for p in reference]

    assert bd_rate(reference, tested, "ms_ssim") == pytest.approx(-50)
    assert ms_ssim_db(0.99) == pytest.approx(20)


def test_bd_rate_leaves_out_points_that_cost_more_for_less() -> None:
    reference = [point(b, 30 + 5 * math.log2(b)) for b in (0.1, 0.2, 0.5, 1, 2)]

    assert bd_rate([*reference, point(0.7, 20)], reference, "psnr") == pytest.approx(0)


def test_bd_rate_without_common_values_is_nan() -> None:
    low, high = [point(0.1, 10), point(0.2, 12)], [point(0.1, 30), point(0.2, 32)]

    assert math.isnan(bd_rate(low, high, "psnr"))


def test_mean_curve_averages_by_setting() -> None:
    first, second = [point(1, 30, 1), point(2, 40, 2)], [point(3, 32, 1), point(6, 44, 2)]

    assert mean_curve([first, second]) == [point(2, 31, 1), point(4, 42, 2)]


def test_mean_curve_refuses_different_settings() -> None:
    with pytest.raises(ValueError, match="different settings"):
        mean_curve([[point(1, 1, 1)], [point(1, 1, 2)]])
