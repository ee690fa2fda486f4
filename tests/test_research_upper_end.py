"""The tables of the last iterations, and the drawn images that they are measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image
from tiny_codec import register_tiny_codec
from tiny_training import photograph

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")

from research import synthetic, upper_end

if TYPE_CHECKING:
    from pathlib import Path


def test_drawn_images_are_the_same_again_and_differ(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        synthetic.main([str(tmp_path / folder)])
    contents = [[(tmp_path / folder / f"{name}.png").read_bytes() for name in synthetic.IMAGES] for folder in "ab"]

    assert contents[0] == contents[1]
    assert len(set(contents[0])) == len(synthetic.IMAGES)


def test_jpeg_needs_more_bytes_for_more_decibels_and_none_are_known_beyond_it() -> None:
    low, high, beyond = upper_end.jpeg_bytes_at(Image.fromarray(photograph(1)), (30, 36, 99))

    assert low < high
    assert beyond != beyond  # nan  # noqa: PLR0124


@pytest.mark.parametrize(("more", "rows"), [([], 2), (["--tiny"], len(upper_end.TINY_PX))])
def test_the_command_prints_a_row_for_each_count_or_size(
    more: list[str], rows: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register_tiny_codec(tmp_path)
    Image.fromarray(photograph(2)).save(tmp_path / "photo.png")
    (weights,) = tmp_path.glob("*.safetensors")
    upper_end.main([str(tmp_path / "photo.png"), "--weights", str(weights), "--iterations", "1,4", *more])

    assert len(capsys.readouterr().out.splitlines()) == 2 + rows
