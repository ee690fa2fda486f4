"""The command draws both models and says how far their colours are off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from research import first_iterations

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_only_colours_count() -> None:
    grey, brighter, red = (
        Image.new("RGB", (8, 8), colour) for colour in ((99, 99, 99), (140, 140, 140), (140, 79, 79))
    )

    assert first_iterations.colour_error(grey, brighter) == 0
    assert first_iterations.colour_error(grey, red) > 15


def test_the_command_draws_a_row_for_each_model_and_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_iterations, "SHOWN", first_iterations.SHOWN[1:2])
    models = ["embedded-20261123", "embedded-20261130"]

    assert first_iterations.main([*models, "-o", str(tmp_path / "sheet.webp")]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == models
    assert lines[2].split("|")[3:] == lines[3].split("|")[3:]  # both have the same first iterations
    with Image.open(tmp_path / "sheet.webp") as sheet:
        assert sheet.size == (4 * 260 - 4, 2 * (208 + 22))


def test_a_model_that_does_not_exist_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert first_iterations.main(["none", "none", "-o", str(tmp_path / "sheet.webp")]) == 2
    assert "none" in capsys.readouterr().err
