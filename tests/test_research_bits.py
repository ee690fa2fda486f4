"""Every bit of a file is counted once, and what is withheld from the entropy network is what is said."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from tiny_codec import CONFIG, recurrent, register_random_codec
from tiny_models import IDLE, PAIRS, noise_codes
from tiny_training import photograph

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")

from pillow_rnc.entropy.tensors import Pass
from pillow_rnc.models.weights import Weights, load, register
from research.bit_counts import VIEWS, codes_in, measure
from research.bit_kinds import BitKind, chroma_of, kinds_of, network_of, pass_of
from research.bits import main
from research.code_lengths import BIT_LENGTHS, ENTRIES, CodeLengths, coded_bits, refitted_bits
from research.coder_comparison import own_code_lengths

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from research.code_lengths import Input

T, P, C = CONFIG.iterations, len(CONFIG.passes), CONFIG.code_channels
M = C // 2


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return load(register(register_random_codec(tmp_path)).model_id)  # other tests make other models of its name


def codes_like(weights: Weights) -> NDArray[np.uint8]:
    return noise_codes(weights.entropy_model, 0, T, 6, 8)


def test_code_lengths_are_those_of_the_integer_network(weights: Weights) -> None:
    codes = codes_like(weights)
    lengths = CodeLengths(weights).lengths(codes)
    coded = coded_bits(weights.entropy_model, codes)

    assert np.array_equal(lengths > 0, coded)
    assert np.array_equal(lengths[:, M:], coded[:, M:])
    assert lengths.sum((1, 2, 3)) == pytest.approx(own_code_lengths(weights.entropy_model, codes), rel=1e-5)


@pytest.mark.parametrize(
    ("withheld", "tensors"),
    [
        ("passes", ["context.weight"]),
        ("accumulators", ["accumulator_input.weight", "accumulator_output.weight"]),
        ("earlier iterations", ["feature.weight", "accumulator_output.weight"]),
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
    entries = CodeLengths(weights).entries(codes, (withheld,))

    assert np.array_equal(entries, CodeLengths(less).entries(codes))
    assert not np.array_equal(entries, CodeLengths(weights).entries(codes))


def test_without_its_memory_the_network_knows_one_iteration_and_the_accumulators(weights: Weights) -> None:
    """The accumulators' weights are zero here, so that only the iteration before is left."""
    lengths, codes = CodeLengths(weights), codes_like(weights)
    other = codes.copy()
    other[0, 1] = other[0, 0]  # larger numbers, which leave zero where they did
    a, b = (lengths.entries(one, ("memory", "accumulators")) for one in (codes, other))

    assert not np.array_equal(a[1], b[1])
    assert np.array_equal(a[2:], b[2:])
    only: tuple[Input, ...] = ("accumulators",)
    a, b = (lengths.entries(one, only) for one in (codes, other))
    assert not np.array_equal(a[2], b[2])


def test_every_bit_that_is_told_is_counted_once(weights: Weights) -> None:
    images = [Image.fromarray(photograph(seed, 70, 50)) for seed in (0, 1)]
    bits = measure(images, weights)
    coded = np.zeros((T, C), np.int64)
    for image in images:
        file = io.BytesIO()
        image.save(file, "RNC", model=weights.model_id.hex(), iterations=T)
        for codes in codes_in(file.getvalue(), weights):
            coded += coded_bits(weights.entropy_model, codes).sum((2, 3))

    assert (bits.pictures, bits.pixels, bits.channels) == (2, 2 * 70 * 50, C)
    assert bits.cells == 2 * 10 * 8  # 70x50 becomes 80x64: 10 blocks a row, 8 rows
    assert list(bits.counts) == list(VIEWS)
    for counts in bits.counts.values():
        assert counts.shape == (T, M, P, 2, ENTRIES)
        assert np.array_equal(counts.sum((2, 3, 4)), coded[:, :M])
    plain = (bits.counts["all inputs"] * BIT_LENGTHS).sum((1, 3, 4))
    assert bits.lengths.shape == (T, P + 1, len(BitKind), 2)
    assert bits.lengths[:, :P].sum((2, 3)) == pytest.approx(plain)
    assert np.array_equal(bits.lengths[:, P, BitKind.SIGN].sum(1), coded[:, M:].sum(1))
    assert bits.lengths.sum() == pytest.approx(plain.sum() + coded[:, M:].sum())
    ideal = np.cumsum(bits.lengths.sum((1, 2, 3)))
    raw = np.arange(1, T + 1) * C * bits.cells
    assert (8 * bits.file_bytes > np.minimum(ideal, raw)).all()


def test_tiles_are_counted_as_they_overlap(weights: Weights) -> None:
    bits = measure([Image.fromarray(photograph(0, 800, 48))], weights, ablate=False)

    assert bits.pixels == 800 * 48
    assert bits.cells == (768 + 64) // 8 * 6  # the second tile begins 32 pixels before the first one ends


def test_kinds_are_those_of_the_quantizer(weights: Weights) -> None:
    codes = codes_like(weights)
    network = network_of(weights)
    kinds = kinds_of(network, codes)

    assert np.array_equal(kinds != BitKind.NOTHING, coded_bits(weights.entropy_model, codes))
    # In the first iteration all intervals hold zero; three pairs of the tiny model tell of the mean of luma.
    assert set(np.unique(kinds[0, [0, 3]])) == {BitKind.LEAVES_ZERO}
    assert set(np.unique(kinds[0, [1, 2]])) == {BitKind.LARGER, BitKind.NOTHING}
    assert np.array_equal(
        kinds[0, M:] == BitKind.SIGN, np.isin(kinds[0, :M], BitKind.LEAVES_ZERO) & (codes[0, :M] == 1)
    )
    assert set(np.unique(kinds[1:, :M])) == set(BitKind) - {BitKind.SIGN}
    assert set(np.unique(kinds[1:, M:])) == {BitKind.SIGN, BitKind.NOTHING}
    assert np.array_equal(chroma_of(network), np.tile([[pair[0] >= 64 for pair in row] for row in PAIRS], 2))


def test_what_a_pair_without_a_task_says_is_not_counted(weights: Weights) -> None:
    bits = measure([Image.fromarray(photograph(3, 64, 48))], weights, ablate=False)
    idle = np.array([[pair[1] == IDLE for pair in row] for row in PAIRS])

    assert list(bits.counts) == ["all inputs"]
    assert idle.any()
    assert not bits.counts["all inputs"][idle].any()
    assert not bits.lengths[:, :, BitKind.NOTHING].any()


def test_each_pass_has_its_bits() -> None:
    passes = pass_of(tuple(Pass(*one) for one in CONFIG.passes), C, 4, 6)

    assert np.bincount(passes.ravel()).tolist() == [M * 6, M * 6, M * 12, M * 24]
    assert (passes[M:] == P).all()


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

    assert main([str(tmp_path), "--weights", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.count("\n### ") == 5
    assert "| no accumulators" in out
    assert [cell.strip() for cell in out.split("### By pass\n\n")[1].split("|")[1:7]] == [
        "Iteration", "Pass 1", "Pass 2", "Pass 3", "Signs", "All",
    ]  # fmt: skip
    assert main([str(tmp_path), "--weights", str(path), "--plain"]) == 0
    assert "no accumulators" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--limit", "0"])
    assert "at least 1" in capsys.readouterr().err
    assert main([str(tmp_path / "absent"), "--weights", str(path)]) == 2
    assert "absent" in capsys.readouterr().err


def test_a_model_that_learns_its_codes_is_refused(weights: Weights) -> None:
    additive = dataclasses.replace(weights, config=recurrent("additive"))

    with pytest.raises(ValueError, match="'recurrent', not 'embedded'"):
        measure([], additive)
