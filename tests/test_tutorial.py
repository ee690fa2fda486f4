"""The blocks of docs/tutorial.md run, in an environment of their own, and print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

import pillow_rnc

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the commands are those of bash")
REPOSITORY = Path(pillow_rnc.__file__).parents[1]
TUTORIAL = REPOSITORY / "docs" / "tutorial.md"
LIBRARIES = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
RNC = '#!/bin/sh\nexec python -m pillow_rnc "$@"\n'
END = "<end of block {}>"


def blocks() -> list[tuple[str, str]]:
    """Return language and content of each block, but for the first, which makes an environment."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TUTORIAL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found[0][0] == ""
    assert {language for language, _ in found[1:]} == {"python", "sh", "text"}
    return found[1:]


def as_program(found: list[tuple[str, str]]) -> tuple[str, list[str]]:
    """Return the session as one program, which says where each block ends, and what each must print."""
    lines = ["import subprocess as _subprocess"]
    expected: list[str] = []
    for language, content in found:
        if language == "text":
            expected[-1] = content
            continue
        expected.append("")
        if language == "python":
            lines.append(content)
        else:
            # The words of `rnc info` are about the weights of the day.
            lines.append(f"_subprocess.run(['bash', '-euc', {content!r}], check=True, stdout=_subprocess.DEVNULL)")
        lines.append(f"print({END.format(len(expected))!r})")
    return "\n".join(lines), expected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the photograph, and an environment in which `python` and `rnc` are ours."""
    venv.create(tmp_path / "venv", with_pip=False)
    scripts = tmp_path / "venv" / "bin"
    purelib = sysconfig.get_path("purelib", "venv", vars={"base": str(tmp_path / "venv")})
    (Path(purelib) / "libraries.pth").write_text("\n".join([*LIBRARIES, str(REPOSITORY)]) + "\n")
    (scripts / "rnc").write_text(RNC)
    (scripts / "rnc").chmod(0o755)
    photo = Image.fromarray(data.astronaut())  # type: ignore[no-untyped-call]  # it has no types
    photo.crop((100, 0, 420, 280)).save(tmp_path / "photo.jpg", quality=95)
    return tmp_path


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PILLOW"))}
    environment["PATH"] = f"{folder / 'venv' / 'bin'}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        ["python", "-"], input=program, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_newcomer_gets_to_the_end(folder: Path) -> None:
    program, expected = as_program(blocks())
    result = run(program, folder)

    assert result.returncode == 0, result.stderr
    marks = "|".join(END.format(number) for number in range(1, len(expected) + 1))
    assert re.split(f"(?:{marks})\n", result.stdout) == [*expected, ""]
    with Image.open(folder / "thumbnail.png") as thumbnail:
        assert thumbnail.size == (128, 112)
    assert len(list(folder.glob("step-*.png"))) == 16
    assert not list((folder / "venv").rglob("site-packages/pillow_rnc_autoload*"))


def test_without_autoload_the_program_of_others_cannot_open_it(folder: Path) -> None:
    (last,) = [content for _, content in blocks() if "thumbnail.py photo" in content]
    without = last.replace("rnc autoload enable", "true")
    python = [block for block in blocks() if block[0] == "python" and "load()" not in block[1]]
    program, _ = as_program([*python, ("sh", without)])
    result = run(program, folder)

    assert without != last
    assert result.returncode == 1
    assert "UnidentifiedImageError" in result.stderr
