"""The published entropy coder looks at nothing that its decoder would not have, and learns."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tiny_codec import CONFIG, register_random_codec
from tiny_models import likely_codes, noise_codes, pair_model, tiny_model
from tiny_training import photograph, write_photographs

from pillow_rnc.models import weights
from pillow_rnc.training.recurrent.coder_training import CoderTraining, train_coder
from pillow_rnc.training.recurrent.published_coder import PublishedCoder
from research.code_lengths import coded_bits
from research.coder_comparison import CoderComparison, codes_of, compare, main, markdown, own_code_lengths

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

pytestmark = pytest.mark.slow

T, C, H, W = 3, 4, 5, 6
CELLS = [(t, y, x) for t in range(T) for y in range(H) for x in range(W)]


def random_codes(seed: int = 0, pictures: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (T, pictures, C, H, W), generator=generator).float() * 2 - 1


@pytest.fixture
def coder() -> PublishedCoder:
    torch.manual_seed(0)
    return PublishedCoder(T, C)


@torch.no_grad()
def test_no_expectation_changes_with_a_bit_that_comes_later(coder: PublishedCoder) -> None:
    """Later: in a later iteration, or in the same one at the cell itself or after it in raster order."""
    codes = random_codes()
    before = coder.expectations(codes)
    reached = 0
    for position, (t, y, x) in enumerate(CELLS):
        changed = codes.clone()
        changed[t, 0, 1, y, x] *= -1
        moved = (coder.expectations(changed) != before)[:, 0].any(1)  # [T, H, W]
        at = [CELLS.index((int(a), int(b), int(c))) for a, b, c in moved.nonzero()]

        assert all(other > position for other in at), (t, y, x)
        reached += len(at)
    assert reached > 1000, "the context is used"


@torch.no_grad()
def test_a_bit_reaches_what_its_mask_allows(coder: PublishedCoder) -> None:
    codes = random_codes()
    before = coder.expectations(codes)
    codes[0, 0, 2, 2, 2] *= -1
    moved = (coder.expectations(codes) != before)[:, 0].any(1)

    assert moved[0, 2].tolist() == [False, False, False, True, True, True], "to the right in its row"
    assert moved[0, 3].all(), "below: 7x7, and the line LSTM on top"
    assert not moved[0, :2].any()
    assert moved[1:].any((1, 2)).all(), "later iterations"


def test_an_untrained_coder_needs_a_bit_for_a_bit_and_no_bit_costs_more_than_eleven(coder: PublishedCoder) -> None:
    codes = random_codes(1, 8)
    lengths = coder.code_lengths(codes) / (C * H * W)
    with torch.no_grad():
        for layers in coder.output:
            layers[-1].bias.fill_(100.0)  # type: ignore[index]
    worst = coder.code_lengths(-torch.ones(T, 1, C, H, W)) / (C * H * W)

    assert lengths.shape == (T, 8)
    assert lengths.detach().numpy() == pytest.approx(1.0, abs=0.2)
    assert worst.detach().numpy() == pytest.approx(-math.log2(0.0005), rel=1e-4)


def test_it_starts_from_the_frequency_of_each_bit(coder: PublishedCoder) -> None:
    share = torch.tensor([0.02, 0.3, 0.5, 0.98]).repeat(T, 1)
    with torch.no_grad():
        for layers in coder.output:
            layers[-1].weight.zero_()  # type: ignore[index]
    coder.expect(share)
    expected = coder.expectations(random_codes())

    assert ((expected + 1) / 2).mean((1, 3, 4)).detach().numpy() == pytest.approx(share.numpy(), abs=0.002)


def test_bits_that_are_not_told_cost_nothing(coder: PublishedCoder) -> None:
    codes = random_codes(2)
    codes[:, :, 1:, ::2] = 0
    least, most = -math.log2(0.9995), -math.log2(0.0005)
    coded = codes.count_nonzero(dim=(2, 3, 4))

    assert not coder.code_lengths(torch.zeros_like(codes)).any()
    assert (least * coded < coder.code_lengths(codes)).all()
    assert (coder.code_lengths(codes) < most * coded).all()
    report = train_coder(coder, lambda _: codes, 60, clock=iter([0, *[1] * 2, *[70] * 9]).__next__)
    assert report.bits_seen == report.steps * int(coded.sum()) == int(coded.sum())


def test_it_learns_what_can_be_foreseen() -> None:
    """Each iteration repeats the first one; the first one has rows of equal bits: only the left column is news."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)

    def batch(_: int) -> Tensor:
        first = rng.choice([-1.0, 1.0], (4, C, H, 1)).astype(np.float32)
        return torch.from_numpy(np.broadcast_to(first, (T, 4, C, H, W)).copy())

    coder = PublishedCoder(T, C)
    report = train_coder(coder, batch, 60, learning_rate=0.02, clock=iter(np.linspace(0, 65, 2 * 160)).__next__)
    found = coder.code_lengths(batch(0)).detach().sum(1) / (4 * C * H * W)

    assert report.steps > 100
    assert report.bits_seen == report.steps * T * 4 * C * H * W
    assert report.losses[0] == pytest.approx(1.0, abs=0.2)
    assert float(found[0]) < 0.6  # 1/6 is the least
    assert float(found[1:].max()) < 0.5


def test_our_code_length_is_that_of_the_integer_network() -> None:
    """Of codes that it expects it is about their entropy, of flipped ones more."""
    model = tiny_model()
    codes = likely_codes(model, 0, 4, 6, 6)
    likely, unlikely = own_code_lengths(model, codes), own_code_lengths(model, 1 - codes)

    assert likely.shape == (4,)
    assert (likely > 0).all()
    assert likely.sum() < 0.8 * codes.size < unlikely.sum()


def test_a_sign_takes_a_bit_and_what_is_not_told_nothing() -> None:
    model = pair_model()
    codes = noise_codes(model, 3, 4, 6, 6)
    coded = coded_bits(model, codes)
    lengths = own_code_lengths(model, codes)
    modelled = codes.shape[1] // 2
    fewer = codes.copy()
    fewer[:, modelled:] = 0  # all signs are plus, and follow from nothing that is known before

    assert (codes[~coded] == 0).all()
    assert (lengths > coded[:, modelled:].sum((1, 2, 3))).all()
    assert own_code_lengths(model, fewer) == pytest.approx(lengths)
    assert coded_bits(tiny_model(), likely_codes(tiny_model(), 0, 4, 5, 3)).all()


def test_both_coders_are_measured_on_pictures_held_out(tmp_path: Path) -> None:
    model = weights.load(register_random_codec(tmp_path).stem)
    comparison = compare(model, [photograph(i, 160, 128) for i in range(2)], [photograph(9, 70, 50)], 1 / 60)
    codes = codes_of(model, photograph(9, 70, 50)[None, :48, :64])

    assert comparison.pictures == 1
    assert comparison.training.steps > 0
    assert comparison.ours * 48 * 64 == pytest.approx(own_code_lengths(model.entropy_model, codes[:, 0]))
    assert comparison.published.shape == (CONFIG.iterations,)
    assert (comparison.published > 0).all()


def test_the_command_prints_every_iteration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    register_random_codec(tmp_path)
    folder = tmp_path / "in"
    write_photographs(folder, 1)
    for index in range(60):  # about one file in twenty is held out
        (folder / f"more-{index}.png").write_bytes((folder / "sample-0.png").read_bytes())
    with pytest.raises(FileNotFoundError, match="128"):
        main(["--data", str(folder), "--minutes", "0.01", "--model", "random"])
    from PIL import Image

    for path in folder.iterdir():
        Image.fromarray(photograph(3, 128, 128)).save(path)
    main(["--data", str(folder), "--minutes", "0.01", "--model", "random", "--limit", "1"])
    out = capsys.readouterr().out

    assert [line.split("|")[1].strip() for line in out.splitlines()[2:7]] == ["1", "2", "3", "4", "all"]
    assert "means over 1 held-out image" in out


def test_the_price_is_told_in_per_cent() -> None:
    comparison = CoderComparison(np.array([0.1, 0.3]), np.array([0.09, 0.33]), 5, CoderTraining(7, 2_000_000, [1.0]))
    text = markdown(comparison, 1.5)

    assert "| 1 | 0.1000 | 0.0900 | -10.0 % |" in text
    assert "| all | 0.4000 | 0.4200 | +5.0 % |" in text
    assert "1.5 minutes of CPU time: 7 steps, 2 million code bits" in text
