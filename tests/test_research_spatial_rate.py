"""The oracle that stops regions gains where there is something to gain, and both commands say what they measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tiny_codec import register_random_codec
from tiny_training import photograph

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")

from pillow_rnc.evaluation.curves import bd_rate
from pillow_rnc.evaluation.metrics import psnr_hvs
from pillow_rnc.models.weights import Weights, load, register
from research import decoder_steps, spatial_rate
from research.spatial_rate import Progression, hvs_errors, oracle, progression, savings, ssim_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = 6


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return load(register(register_random_codec(tmp_path)).model_id)  # other tests make other models of its name


def half_flat() -> Progression:
    """Return an image with noise that fades, whose left half is as good at once but costs bits in every iteration."""
    original = photograph(2, 192, 192)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, original.shape)
    shown = []
    for t in range(T):
        amount = np.full(original.shape, 30 * 0.6**t)
        amount[:, :96] = 3
        shown.append((original + amount * noise).clip(0, 255).astype(np.uint8))
    bits = 10.0 * np.arange(1, T + 1)[:, None, None] * np.ones((24, 24))
    return Progression(original, np.stack(shown), bits)


def test_the_error_of_blocks_adds_up_to_the_metric(weights: Weights) -> None:
    one = half_flat()
    errors = hvs_errors(one, weights).sum((1, 2)) / one.original[..., 0].size

    assert 10 * np.log10(255**2 / errors) == pytest.approx(
        [psnr_hvs(one.original, s) for s in one.reconstructions], abs=0.01
    )


def test_the_local_error_of_similarity_is_where_the_picture_is_worse() -> None:
    errors = ssim_errors(half_flat())

    assert errors.shape == (T, 24, 24)
    assert (errors[0, :, 14:].mean() > 5 * errors[0, :, :10].mean()).all()
    assert (np.diff(errors[:, :, 14:].mean((1, 2))) < 0).all()


def test_each_region_stops_where_bits_are_no_longer_worth_it() -> None:
    errors = np.array([[8.0, 8.0], [4.0, 7.0], [3.0, 6.9]])
    bits = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])

    assert oracle(errors, bits, 0.5).tolist() == [2, 1]
    assert oracle(errors, bits, 2.0).tolist() == [1, 0]
    assert oracle(errors, bits, 9.0).tolist() == [0, 0]


def test_regions_that_need_no_more_iterations_save_their_bits(weights: Weights) -> None:
    found = savings(half_flat(), weights, (96,))

    assert [one.error for one in found] == ["psnr_hvs", "ms_ssim", "both"]
    assert all(bd_rate(one.uniform, one.chosen, "psnr_hvs") < -30 for one in found)


def test_nothing_is_saved_by_one_region(weights: Weights) -> None:
    for one in savings(half_flat(), weights, (192,)):
        assert {point[2:] for point in one.chosen} <= {point[2:] for point in one.uniform}


def test_a_picture_is_followed_through_its_iterations(weights: Weights) -> None:
    one = progression(photograph(1, 64, 48), weights)

    assert one.reconstructions.shape == (4, 48, 64, 3)
    assert one.bits.shape == (4, 6, 8)
    assert (np.diff(one.bits, axis=0) > 0).all()


def test_steps_other_than_those_of_the_model_show_something_else(weights: Weights) -> None:
    image = Image.fromarray(photograph(3, 192, 176))
    found = decoder_steps.measure([image], weights, (1, 4))
    steps = decoder_steps.config_of(weights).decoder_steps

    assert found.shape == (1, len(decoder_steps.STEPS), 2, 3)
    assert len({round(float(value), 9) for value in found[0, :, 1, 1]}) == len(decoder_steps.STEPS)
    last = progression(np.asarray(image), weights).reconstructions[-1]
    assert found[0, steps - 1, 1, 1] == pytest.approx(psnr_hvs(np.asarray(image), last))
    assert ", as trained" in decoder_steps.markdown(found, (1, 4), steps).splitlines()[1 + steps]


@pytest.mark.parametrize(
    ("main", "more", "lines"), [(spatial_rate.main, [], 12), (decoder_steps.main, ["--iterations", "1,4"], 4)]
)
def test_the_commands_print_a_table(
    main: Callable[[list[str]], int], more: list[str], lines: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = register_random_codec(tmp_path)
    Image.fromarray(photograph(0, 192, 176)).save(tmp_path / "a.png")

    assert main([str(tmp_path), "--weights", str(path), *more]) == 0
    out = capsys.readouterr().out
    assert "1 image" in out
    assert out.count("\n| ") == lines + 2
    assert main([str(tmp_path / "absent"), "--weights", str(path)]) == 2
    assert "absent" in capsys.readouterr().err


def test_a_picture_too_small_for_the_metric_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = register_random_codec(tmp_path)
    Image.fromarray(photograph(0, 64, 48)).save(tmp_path / "a.png")

    assert spatial_rate.main([str(tmp_path), "--weights", str(path)]) == 2
    assert "64x48 is too small" in capsys.readouterr().err
