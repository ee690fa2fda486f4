"""Every bit of a file is counted once, and what is withheld from the entropy network is what is said."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from tiny_codec import CONFIG, register_random_codec
from tiny_training import photograph

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")

from pillow_rnc.entropy_reference import Pass
from pillow_rnc.evaluation.__main__ import main
from pillow_rnc.evaluation.bits import VIEWS, measure
from pillow_rnc.evaluation.code_tasks import Task, network_of, pass_of, tasks_of
from pillow_rnc.training.code_lengths import BIT_LENGTHS, ENTRIES, CodePrices, refitted_bits
from pillow_rnc.training.coder_comparison import codes_of, own_code_lengths
from pillow_rnc.weights import Weights, load, register

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pillow_rnc.training.code_lengths import Input

T, P, C = CONFIG.iterations, len(CONFIG.passes), CONFIG.code_channels


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return load(register(register_random_codec(tmp_path)).model_id)  # other tests make other models of its name


def codes_like(weights: Weights) -> NDArray[np.uint8]:
    return codes_of(weights, photograph(0, 64, 48)[None])[:, 0]


def test_prices_are_those_of_the_integer_network(weights: Weights) -> None:
    codes = codes_like(weights)
    lengths = CodePrices(weights).lengths(codes)

    assert lengths.sum((1, 2, 3)) == pytest.approx(own_code_lengths(weights.entropy_model, codes), rel=1e-5)


@pytest.mark.parametrize(
    ("withheld", "tensors"),
    [
        ("passes", ["context.weight"]),
        ("tallies", ["tally_input.weight", "tally_output.weight"]),
        ("earlier iterations", ["feature.weight", "tally_output.weight"]),
    ],
)
def test_to_withhold_an_input_is_to_set_its_weights_to_zero(
    weights: Weights, tmp_path: Path, withheld: Input, tensors: list[str]
) -> None:
    path = tmp_path / "random.safetensors"
    held = load_file(path) | {f"entropy.{name}": 0 * load_file(path)[f"entropy.{name}"] for name in tensors}
    save_file(held, tmp_path / "less.safetensors", metadata={"config": weights.config.to_json()})
    less = load(register(tmp_path / "less.safetensors").model_id)
    codes = codes_like(weights)
    entries = CodePrices(weights).entries(codes, (withheld,))

    assert np.array_equal(entries, CodePrices(less).entries(codes))
    assert not np.array_equal(entries, CodePrices(weights).entries(codes))


def test_without_its_memory_the_network_knows_one_iteration_and_the_tallies(weights: Weights) -> None:
    """The tallies' weights are zero here, so that only the iteration before is left."""
    prices, codes = CodePrices(weights), codes_like(weights)
    other = codes.copy()
    other[0] = 1 - other[0]
    a, b = (prices.entries(one, ("memory", "tallies")) for one in (codes, other))

    assert not np.array_equal(a[1], b[1])
    assert np.array_equal(a[2:], b[2:])
    only: tuple[Input, ...] = ("tallies",)
    a, b = (prices.entries(one, only) for one in (codes, other))
    assert not np.array_equal(a[2], b[2])


def test_every_bit_is_counted_once(weights: Weights) -> None:
    images = [Image.fromarray(photograph(seed, 70, 50)) for seed in (0, 1)]
    bits = measure(images, weights)
    per_iteration = 2 * C * 10 * 8  # 70x50 becomes 80x64: 10 blocks a row, 8 rows

    assert (bits.pictures, bits.pixels, bits.cells) == (2, 2 * 70 * 50, 2 * 80)
    assert list(bits.counts) == list(VIEWS)
    for counts in bits.counts.values():
        assert counts.shape == (T, C, P, 2, ENTRIES)
        assert (counts.sum((1, 2, 3, 4)) == per_iteration).all()
    plain = (bits.counts["all inputs"] * BIT_LENGTHS).sum()
    assert bits.lengths.shape == (T, P, len(Task), 2)
    assert bits.lengths.sum() == pytest.approx(plain)
    ideal = np.cumsum(bits.lengths.sum((1, 2, 3)))
    raw = np.arange(1, T + 1) * per_iteration
    assert (8 * bits.file_bytes > np.minimum(ideal, raw)).all()


def test_tiles_are_counted_as_they_overlap(weights: Weights) -> None:
    bits = measure([Image.fromarray(photograph(0, 800, 48))], weights, ablate=False)

    assert bits.pixels == 800 * 48
    assert bits.cells == (768 + 64) // 8 * 6  # the second tile begins 32 pixels before the first one ends


def test_tasks_are_those_of_the_quantiser(weights: Weights) -> None:
    codes = codes_like(weights)
    network = network_of(weights)
    tasks = tasks_of(network, codes)

    # In the first iteration all intervals hold zero; both pairs of the tiny model tell of the mean of luma.
    assert set(np.unique(tasks[0, [0, 2]])) == {Task.LEAVES_ZERO}
    assert set(np.unique(tasks[0, [1, 3]])) == {Task.LARGER}
    assert {Task.LEAVES_ZERO, Task.HALF} <= set(np.unique(tasks[1:]))
    assert (codes[tasks == Task.NOTHING] == 0).all()


def test_a_pair_without_a_task_says_nothing(tmp_path: Path) -> None:
    path = register_random_codec(tmp_path)
    tensors = load_file(path)
    tensors["network.quantiser.level"][2] = 1e6
    save_file(tensors, tmp_path / "idle.safetensors", metadata={"config": CONFIG.to_json()})
    weights = load(register(tmp_path / "idle.safetensors").model_id)
    bits = measure([Image.fromarray(photograph(3, 64, 48))], weights, ablate=False)

    assert bits.busy.tolist() == [C, C, 0, C]
    assert bits.lengths[2, :, Task.NOTHING].sum() == bits.lengths[2].sum()
    assert list(bits.counts) == ["all inputs"]


def test_each_pass_has_its_bits() -> None:
    passes = pass_of(tuple(Pass(*one) for one in CONFIG.passes), 4, 6)

    assert np.bincount(passes.ravel()).tolist() == [2 * 6, 2 * 6, 2 * 12, 2 * 12, 2 * 12]


def test_a_network_that_is_too_sure_is_fitted_again() -> None:
    """Bits are drawn at half and a third of the log-odds that the network gives; the best price is their entropy."""
    rng = np.random.default_rng(0)
    counts = np.zeros((2, 2, ENTRIES), np.int64)
    logits = np.linspace(-8, 8 - 1 / 16, ENTRIES)
    least = []
    for group, stretch in enumerate((0.5, 1 / 3)):
        p = 1 / (1 + np.exp(-stretch * logits - 0.2))
        ones = rng.binomial(1000, p)
        counts[group] = np.stack([1000 - ones, ones])
        least.append(float(-1000 * (p * np.log2(p) + (1 - p) * np.log2(1 - p)).sum()))
    before = (counts * BIT_LENGTHS).sum((-1, -2))
    after = refitted_bits(counts)

    assert after == pytest.approx(least, rel=0.01)
    assert (after < 0.9 * before).all()
    assert refitted_bits(np.zeros((3, 2, ENTRIES), np.int64)).tolist() == [0, 0, 0]


def test_the_command_prints_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = register_random_codec(tmp_path)
    Image.fromarray(photograph(0, 64, 48)).save(tmp_path / "a.png")

    assert main(["bits", str(tmp_path), "--weights", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.count("\n### ") == 5
    assert "| no tallies" in out
    assert main(["bits", str(tmp_path), "--weights", str(path), "--plain"]) == 0
    assert "no tallies" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["bits", str(tmp_path), "--limit", "0"])
    assert "at least 1" in capsys.readouterr().err
    assert main(["bits", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err


def test_a_model_that_learns_its_codes_is_refused(weights: Weights) -> None:
    additive = dataclasses.replace(weights, config=dataclasses.replace(CONFIG, framework="additive"))

    with pytest.raises(ValueError, match="'additive', not 'embedded'"):
        measure([], additive)
