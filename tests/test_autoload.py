"""Plain Pillow programs know the format after `rnc autoload enable`, and nothing else about them changes.

Each test has a virtual environment of its own, without pip, that finds the libraries of this one by their paths.
"""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from small_file import write_small_file

import pillow_rnc
from pillow_rnc.cli import autoload, autoload_hook
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.plugin import format_names

PACKAGE_FOLDER = Path(pillow_rnc.__file__).parents[1]
LIBRARIES = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
FILES = ["pillow_rnc_autoload.py", "pillow_rnc_autoload.pth", "pillow_rnc_autoload.start"]

OPEN = "import sys\nfrom PIL import Image\nwith Image.open(sys.argv[1]) as im: print(im.format, im.size)"
"""A program that never heard of us."""
IN_WORKERS = """
import multiprocessing, sys
from PIL import Image
def size(path):
    return Image.open(path).size
if __name__ == "__main__":
    for method in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, pool.map(size, sys.argv[1:]))
"""
FOUND = "RNC (5, 7)\n"


class Environment:
    """A virtual environment in a folder."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=os.name != "nt")
        self.python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
        paths = {"base": str(folder), "platbase": str(folder)}
        self.packages = Path(sysconfig.get_path("purelib", "venv", vars=paths))
        self.put_on_path(*LIBRARIES, str(PACKAGE_FOLDER))

    def put_on_path(self, *folders: str) -> None:
        (self.packages / "libraries.pth").write_text("\n".join(folders) + "\n")

    def run(self, *arguments: object, **variables: str) -> str:
        """Return what Python prints; anything on standard error is a failure."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PILLOW"))}
        result = subprocess.run(
            [self.python, *map(str, arguments)],
            env=environment | variables,
            cwd=self.packages,  # which Python may put on its path, and which holds none of our sources
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert result.stderr == ""
        return result.stdout

    def autoload(self, action: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.run("-m", "pillow_rnc", "autoload", action, "--json"))
        return said

    def knows_us(self, *options: str, **variables: str) -> bool:
        program = "from PIL import Image; print('RNC' in Image.OPEN)"
        return self.run(*options, "-c", program, **variables) == "True\n"


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


@pytest.fixture
def enabled(environment: Environment) -> Environment:
    said = environment.autoload("enable")
    assert (said["enabled"], said["works"], said["current"], said["files"]) == (True, True, True, FILES)
    return environment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_small_file(tmp_path / "small.rnc")


def test_nothing_happens_unless_it_is_enabled(environment: Environment) -> None:
    said = environment.autoload("status")

    assert (said["enabled"], said["works"], said["files"]) == (False, False, [])
    assert Path(said["folder"]) == environment.packages
    assert not environment.knows_us()


def test_a_program_that_never_heard_of_us_opens_our_files(enabled: Environment, path: Path) -> None:
    for options in ([], ["-I"], ["-E"], ["-s"], ["-O"], ["-W", "error"]):
        assert enabled.run(*options, "-c", OPEN, path) == FOUND
    # Importing us as well is harmless, in either order.
    for first, second in (("pillow_rnc", "PIL.Image"), ("PIL.Image", "pillow_rnc")):
        program = f"import {first}, {second}, PIL.Image; print(PIL.Image.ID.count('RNC'), PIL.Image.__loader__)"
        assert enabled.run("-c", program).startswith("1 <_frozen_importlib_external.SourceFileLoader object")


def test_workers_of_every_kind_open_our_files(enabled: Environment, path: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(IN_WORKERS)
    lines = enabled.run(tmp_path / "program.py", path).splitlines()

    assert lines
    assert all(line.endswith(" [(5, 7)]") for line in lines)


def test_finders_of_others_are_asked_as_before(enabled: Environment) -> None:
    program = (
        "import sys\n"
        "class Finder:\n"
        "    def __init__(self): self.asked = []\n"
        "    def find_spec(self, name, path=None, target=None): self.asked.append(name)\n"
        "before, after = Finder(), Finder()\n"
        "sys.meta_path.insert(0, before)\n"
        "sys.meta_path.insert(2, after)\n"
        "from PIL import Image\n"
        "print('PIL.Image' in before.asked, after.asked.count('PIL.Image'), 'RNC' in Image.OPEN)"
    )

    assert enabled.run("-c", program) == "True 1 True\n"


def test_a_reloaded_pillow_knows_us_again(enabled: Environment) -> None:
    program = "import importlib; from PIL import Image; importlib.reload(Image); print('RNC' in Image.OPEN)"

    assert enabled.run("-c", program) == "True\n"


def test_the_environment_variable_turns_it_off(enabled: Environment) -> None:
    assert not enabled.knows_us(PILLOW_RNC_AUTOLOAD="0")
    assert enabled.knows_us(PILLOW_RNC_AUTOLOAD="1")
    assert json.loads(enabled.run("-m", "pillow_rnc", "autoload", "status", "--json", PILLOW_RNC_AUTOLOAD="0"))["works"]


def test_a_python_that_does_not_end_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 60)

    monkeypatch.setattr(subprocess, "run", run)
    assert not autoload.status()["works"]


def test_disabling_leaves_nothing(enabled: Environment) -> None:
    before = set(enabled.packages.iterdir())
    said = enabled.autoload("disable")

    assert (said["enabled"], said["works"], said["files"]) == (False, False, [])
    assert {entry.name for entry in before - set(enabled.packages.iterdir())} == set(FILES)
    assert not enabled.knows_us()
    assert enabled.autoload("disable") == said


def test_python_starts_with_one_small_module_more(enabled: Environment) -> None:
    program = "import sys; print(*sorted(sys.modules))"
    without, with_hook = (set(enabled.run("-c", program, PILLOW_RNC_AUTOLOAD=value).split()) for value in ("0", "1"))
    (enabled.packages / FILES[1]).unlink()
    bare = set(enabled.run("-c", program).split())

    assert with_hook - bare <= {"pillow_rnc_autoload", "__future__"}
    assert with_hook == without


def test_the_package_is_loaded_when_the_first_file_needs_it(enabled: Environment, path: Path) -> None:
    loaded = "print('pillow_rnc' in sys.modules, Image.OPEN['RNC'][0].__module__)\n"
    program = f"import io, sys\nfrom PIL import Image\nImage.new('L', (1, 1)).save(io.BytesIO(), 'PNG')\n{loaded}"
    assert enabled.run("-c", program, path) == "False pillow_rnc_autoload\n"
    for action in (
        "Image.open(sys.argv[1]).close()",
        "try: Image.new('I', (1, 1)).save(sys.argv[1] + '.rnc')\nexcept OSError as e: assert 'mode I' in str(e)",
        "try: Image.new('I', (1, 1)).save(sys.argv[1] + '.rnc', save_all=True)\nexcept OSError: pass",
    ):
        assert enabled.run("-c", f"{program}{action}\n{loaded}", path).endswith("True pillow_rnc.plugin.handlers\n")
    assert "image/x-rnc" in enabled.run("-c", "from PIL import Image; print(Image.MIME, Image.EXTENSION)")


def test_the_hook_says_the_same_as_the_plugin() -> None:
    names = ("FORMAT", "EXTENSION", "MIME_TYPE")

    assert [getattr(autoload_hook, name) for name in names] == [getattr(format_names, name) for name in names]
    assert SIGNATURE == autoload_hook.SIGNATURE


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("raise ImportError", "ImportError"),
        ("1 / 0", "ZeroDivisionError"),
        ("broken syntax here", "UnidentifiedImageError"),
        ("raise KeyError(3)", "KeyError"),
    ],
)
def test_a_broken_package_does_not_break_pillow(
    fault: str, told: str, enabled: Environment, path: Path, tmp_path: Path
) -> None:
    package = tmp_path / "broken" / "pillow_rnc"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(fault)
    enabled.put_on_path(str(package.parent), *LIBRARIES)
    Image.new("L", (2, 2)).save(tmp_path / "a.png")

    assert enabled.run("-c", OPEN, tmp_path / "a.png") == "PNG (2, 2)\n"
    start = "import sys\nfrom PIL import Image, UnidentifiedImageError\n"
    program = f"{start}try: Image.open(sys.argv[1])\nexcept {told}: print('told')"
    assert enabled.run("-c", program, path) == "told\n"


def test_a_removed_package_is_not_registered(enabled: Environment) -> None:
    enabled.put_on_path(*(folder for folder in LIBRARIES if not (Path(folder) / "pillow_rnc").is_dir()))

    assert not enabled.knows_us()


def test_without_pillow_nothing_is_missed(enabled: Environment) -> None:
    enabled.put_on_path()
    program = "import importlib.util, email\nprint(importlib.util.find_spec('PIL'))"

    assert enabled.run("-c", program) == "None\n"


def test_two_hooks_do_not_call_each_other_for_ever(enabled: Environment) -> None:
    program = "import pillow_rnc_autoload as a; a.install(); from PIL import Image; a.install(); print(*Image.OPEN)"

    assert "RNC" in enabled.run("-c", program).split()


def test_threads_that_import_pillow_at_once_all_know_us(enabled: Environment, path: Path) -> None:
    program = (
        "import sys, threading\n"
        "def work():\n"
        "    from PIL import Image\n"
        "    print(Image.open(sys.argv[1]).size)\n"
        "threads = [threading.Thread(target=work) for _ in range(8)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
    )

    assert enabled.run("-c", program, path) == "(5, 7)\n" * 8


def test_an_outdated_hook_is_told_and_replaced(enabled: Environment) -> None:
    (enabled.packages / FILES[0]).write_text("def install(): pass\n")
    said = enabled.autoload("status")

    assert (said["enabled"], said["works"], said["current"]) == (True, False, False)
    assert enabled.autoload("enable")["works"]
