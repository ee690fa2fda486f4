"""The compiled extension: whether it is there, whether it is wanted, and its errors as exceptions.

The environment variable `PILLOW_RNC_KERNEL` decides: 0 never uses the kernel, 1 insists on it, and the name of an
instruction set ("plain", "avx2", "avxvnni", "avx512") insists on that one. Unset, the kernel is used if it is there.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from pillow_rnc.errors import CorruptError, RncError, RncOptionError, UnsupportedError, WeightsError
from pillow_rnc.fork_safety import importing

VARIABLE = "PILLOW_RNC_KERNEL"

INSTRUCTION_SETS = ("plain", "avx2", "avxvnni", "avx512")
"""Names of the instruction sets, in the order of `enum rnc_isa`; the last that the machine has is the default."""

_OFF, _ON = "0", "1"
_MODULE = "pillow_rnc.entropy.kernel._kernel"


@cache
def _extension() -> Any:  # noqa: ANN401
    """Return the extension module, or the `ImportError` if it was not built or cannot be loaded."""
    try:
        with importing:
            import pillow_rnc.entropy.kernel._kernel as extension  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        return error.with_traceback(None)
    return extension


def supported() -> tuple[str, ...]:
    """Return the instruction sets that the kernel can use on this machine; none if there is no kernel."""
    extension = _extension()
    return () if isinstance(extension, ImportError) else _sets(extension)


@cache  # virtual machines take their time to answer
def _sets(extension: Any) -> tuple[str, ...]:  # noqa: ANN401
    found = extension.lib.rnc_isa_supported()
    return tuple(name for index, name in enumerate(INSTRUCTION_SETS) if found >> index & 1)


def chosen() -> str | None:
    """Return the instruction set to use, None for NumPy.

    Raises:
        RncOptionError: `PILLOW_RNC_KERNEL` asks for what is not there.
    """
    wanted, there = os.environ.get(VARIABLE, ""), supported()
    if wanted == _OFF or (not wanted and not there):
        return None
    if wanted in ("", _ON) and there:
        return there[-1]
    if wanted in there:
        return wanted
    if not there:
        msg = f"{VARIABLE} is {wanted!r}, but the kernel is not available: {_absence()}; 0 or no value uses NumPy"
        raise RncOptionError(msg)
    sets = ", ".join(there)
    raise RncOptionError(f"{VARIABLE} is {wanted!r}, must be 0, 1 or an available instruction set: {sets}")


def describe() -> str:
    """Return one line for reports: the instruction set in use, or why there is none."""
    if isinstance(_extension(), ImportError):
        return f"{_absence()}, NumPy is used"
    try:
        return chosen() or f"switched off by {VARIABLE}"
    except RncOptionError as error:
        return str(error)


def interface() -> tuple[Any, Any]:
    """Return `ffi` and `lib` of the extension.

    Raises:
        RncOptionError: There is none.
    """
    extension = _extension()
    if isinstance(extension, ImportError):
        raise RncOptionError(f"the kernel is not available: {_absence()}")
    return extension.ffi, extension.lib


def _absence() -> str:
    """Return why there is no kernel, for messages."""
    error = _extension()
    if isinstance(error, ModuleNotFoundError) and error.name == _MODULE:
        return "not built"
    return f"cannot be loaded ({error})"


def check(status: int) -> None:
    """Raise the exception that a status stands for.

    Raises:
        MemoryError: Less memory was given than was asked for.
        ValueError: An argument does not fit.
        WeightsError: The tensors are not those of a legal model.
        CorruptError: A payload is not the one of its bits, or an inferred bit is set.
        UnsupportedError: The model codes no further iteration.
        RncError: What was just encoded does not decode to the same bits.
    """
    _, lib = interface()
    if status == lib.RNC_OK:
        return
    errors: dict[int, Exception] = {
        lib.RNC_ERROR_ARGUMENT: ValueError("arguments do not fit the kernel's object"),
        lib.RNC_ERROR_MODEL: WeightsError("the tensors are not those of a legal model"),
        lib.RNC_ERROR_MEMORY: MemoryError(),
        lib.RNC_ERROR_PAYLOAD: CorruptError("payload differs from the one that encodes its bits"),
        lib.RNC_ERROR_INFERRED: CorruptError("inferred bits are set, must be 0"),
        lib.RNC_ERROR_ITERATION: UnsupportedError("the model codes no further iteration"),
        lib.RNC_ERROR_SELF_CHECK: RncError("the payload just written cannot be read, nothing is saved"),
    }
    raise errors.get(status, RncError(f"kernel: unknown status {status}"))
