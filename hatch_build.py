"""Build the native kernel into a wheel, if that is possible: a hook of hatchling.

Without CMake or a C compiler, or with `PILLOW_RNC_BUILD_KERNEL=0` in the environment, the wheel is made without it, and
NumPy does its work: `rnc doctor` says so. With `PILLOW_RNC_BUILD_KERNEL=1` a kernel that cannot be built is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "PILLOW_RNC_BUILD_KERNEL"
_FOLDER = Path("pillow_rnc", "entropy", "kernel")


class KernelBuildHook(BuildHookInterface[Any]):
    """Runs CMake, and adds the extension to the wheel; to the checkout, if the install is an editable one."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the extension before files are collected."""
        wanted = os.environ.get(VARIABLE, "")
        if self.target_name != "wheel" or wanted == "0":
            return
        build = Path(self.directory).resolve() / "kernel"
        try:
            extension = self._build(build, Path(self.root) if version == "editable" else build / "installed")
        except (OSError, subprocess.CalledProcessError) as error:
            if wanted == "1":
                raise
            self.app.display_warning(f"the native kernel is left out, as it cannot be built: {error}")
            return
        if version != "editable":
            build_data["force_include"][str(extension)] = (_FOLDER / extension.name).as_posix()
        build_data["pure_python"] = False
        build_data["tag"] = _tag()

    def dependencies(self) -> list[str]:
        """Return what is needed beside hatchling: CMake, unless the system has it."""
        try:  # that of another environment may be found and not run
            subprocess.run(["cmake", "--version"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return ["cffi>=1.17", "cmake>=3.18"]
        return ["cffi>=1.17"]

    def _build(self, build: Path, prefix: Path) -> Path:
        """Return the path of the extension, installed below a prefix."""
        shutil.rmtree(build, ignore_errors=True)  # CMake trusts what is there
        source = Path(self.root, "kernel")
        for command in (
            ["cmake", "-S", str(source), "-B", str(build), f"-DPython_EXECUTABLE={sys.executable}"],
            ["cmake", "--build", str(build), "--config", "Release", "--parallel"],
            ["cmake", "--install", str(build), "--config", "Release", "--prefix", str(prefix)],
        ):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return next((prefix / _FOLDER).glob("_kernel.*"))


def _tag() -> str:
    """Return the tag of the wheel: one for all versions of CPython, but one for each if it is free-threaded."""
    from packaging.tags import sys_tags

    platform = next(sys_tags()).platform
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return f"cp310-abi3-{platform}"
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{version}-{version}t-{platform}"
