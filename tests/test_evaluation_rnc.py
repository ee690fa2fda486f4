"""Our files as the evaluation makes them, with a codec that needs no weights."""

from __future__ import annotations

import io

import numpy as np
import pytest
from fake_codec import FakeCodec
from PIL import Image
from tiny_codec import register_random_codec

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")

from typing import TYPE_CHECKING

from pillow_rnc.evaluation import __main__
from pillow_rnc.evaluation.rate_distortion import MeasurementPlan, RncCodec, measure_image
from pillow_rnc.models.weights import releases

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch) -> FakeCodec:
    fake = FakeCodec()
    fake.install(monkeypatch)
    return fake


@pytest.fixture
def image() -> Image.Image:
    plane = np.random.default_rng(1).normal(128, 20, (165, 170, 3))
    return Image.fromarray(plane.clip(0, 255).astype(np.uint8))


def test_each_file_is_the_one_saved_at_its_iterations_but_encoded_once(codec: FakeCodec, image: Image.Image) -> None:
    files = RncCodec().encode(image, (1, 3, 8))

    assert codec.encoded == 1
    for iterations, file in files.items():
        direct = io.BytesIO()
        image.save(direct, "RNC", iterations=iterations)
        assert file == direct.getvalue()


def test_measurements_go_through_files(codec: FakeCodec, image: Image.Image) -> None:
    result = measure_image("noise", image, MeasurementPlan(RncCodec(), (1, 7, 8), (), None))
    first, close, exact = result.ours

    assert codec.decoded_iterations == [1, 7, 8]
    assert first.bpp < close.bpp < exact.bpp
    assert exact.file_bytes > 165 * 170 * 3
    assert close.psnr == pytest.approx(10 * np.log10(255**2 / 0.5), abs=0.1)  # half of the last bits are lost
    assert exact.psnr == 100
    assert result.matched[-1].jpeg is not None
    assert result.matched[-1].jpeg.setting == 100


def test_weights_that_are_not_released_can_be_measured(image: Image.Image, tmp_path: Path) -> None:
    files = RncCodec(weights=register_random_codec(tmp_path, seed=77)).encode(image, (1, 4))

    with Image.open(io.BytesIO(files[4])) as opened:
        assert opened.info["rnc"]["model"] in {release.model_id.hex() for release in releases()}
        assert opened.convert("RGB").size == image.size


def test_missing_weights_are_reported_not_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (170, 170)).save(tmp_path / "a.png")
    options = ["--weights", str(tmp_path / "absent.safetensors"), "--jobs", "1", "--peers", "none"]

    assert __main__.main([str(tmp_path), *options]) == 1
    assert "absent.safetensors" in capsys.readouterr().err


def test_all_iterations_are_those_of_the_model(tmp_path: Path) -> None:
    path = register_random_codec(tmp_path)

    assert RncCodec().all_iterations() == tuple(range(1, 30))
    assert RncCodec("recurrent-20261130").all_iterations() == tuple(range(1, 17))
    assert RncCodec(path.stem).all_iterations() == RncCodec(weights=path).all_iterations()


def test_the_command_names_a_model_that_is_unknown(
    image: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image.save(tmp_path / "image.png")

    assert __main__.main([str(tmp_path), "--model", "none", "--peers", "none", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: model 'none' is unknown")
