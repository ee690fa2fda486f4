"""The man page is that of the parser, and shells can complete its options."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import shtab

import pillow_rnc
from pillow_rnc.cli.main import main
from pillow_rnc.cli.parser import argument_parser

DOCS = Path(pillow_rnc.__file__).parents[1] / "docs"


def made_page() -> str:
    spec = importlib.util.spec_from_file_location("man_page", DOCS / "_man_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page: str = module.page()
    return page


def test_the_man_page_is_current() -> None:
    assert (DOCS / "rnc.1").read_text(encoding="utf-8") == made_page()


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completions_are_made_from_the_parser(shell: str) -> None:
    text = shtab.complete(argument_parser(), shell)
    assert "target" in text
    assert "truncate" in text


def test_lossless_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["encode", "--lossless", "a.png"])

    assert ended.value.code == 2
    assert "--lossless: the format is lossy; use --quality 100" in capsys.readouterr().err
