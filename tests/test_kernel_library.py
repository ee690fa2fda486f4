"""Which kernel is used, and what is said of it."""

from __future__ import annotations

import os
import re
import sys

import pytest

from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import CorruptError, RncError, RncOptionError, UnsupportedError, WeightsError

built = pytest.mark.skipif(not library.supported(), reason="the kernel was not built")


@built
def test_the_best_instruction_set_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(library.VARIABLE, raising=False)
    assert library.chosen() == library.supported()[-1] == library.describe()


@built
@pytest.mark.parametrize("name", library.supported())
def test_the_environment_chooses_an_instruction_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, name)
    assert library.chosen() == name


def test_the_environment_switches_the_kernel_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, "0")
    assert library.chosen() is None


@pytest.mark.parametrize("value", ["2", "neon9", "yes"])
def test_a_value_that_asks_for_what_is_not_there_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, value)
    with pytest.raises(RncOptionError, match=value):
        library.chosen()


@built
def test_reports_name_a_value_that_asks_for_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, "neon9")
    assert "'neon9'" in library.describe()


def test_an_extension_that_was_not_built_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("pillow_rnc.entropy.kernel._kernel", raising=False)
    monkeypatch.setitem(sys.modules, library._MODULE, None)
    error = library._extension.__wrapped__()
    assert isinstance(error, ModuleNotFoundError)
    assert error.name == library._MODULE


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModuleNotFoundError(name=library._MODULE), "not built"),
        (ModuleNotFoundError("No module named '_cffi_backend'", name="_cffi_backend"),
         "cannot be loaded (No module named '_cffi_backend')"),
        (ImportError("wrong ELF class"), "cannot be loaded (wrong ELF class)"),
    ],
)  # fmt: skip
def test_without_the_extension_numpy_runs(error: ImportError, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_extension", lambda: error)
    monkeypatch.delenv(library.VARIABLE, raising=False)
    assert library.supported() == ()
    assert library.chosen() is None
    assert library.describe() == f"{reason}, NumPy is used"
    monkeypatch.setenv(library.VARIABLE, "1")
    msg = re.escape(f"is '1', but the kernel is not available: {reason}; 0 or no value uses NumPy")
    with pytest.raises(RncOptionError, match=msg):
        library.chosen()
    with pytest.raises(RncOptionError, match=re.escape(reason)):
        library.interface()


@built
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (-1, ValueError),
        (-2, WeightsError),
        (-3, MemoryError),
        (-4, CorruptError),
        (-5, CorruptError),
        (-6, UnsupportedError),
        (-7, RncError),
        (-99, RncError),
    ],
)
def test_every_status_has_its_exception(status: int, error: type[Exception]) -> None:
    library.check(0)
    with pytest.raises(error):
        library.check(status)


@pytest.mark.skipif("CI" not in os.environ or sys.platform != "linux", reason="the kernel may be left out")
def test_the_kernel_is_tested_in_continuous_integration() -> None:
    assert library.supported()
