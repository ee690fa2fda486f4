"""Products of torch in full float32, whatever the host program has allowed; all that depends on the version of torch.

Source: torch's notes "CUDA semantics" (TF32) and "MKLDNN backend" (bf16).
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch

from pillow_rnc.models.process_settings import ProcessSetting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    _Setting = ProcessSetting[dict[int, str], None]


class Backend(Protocol):
    """One of the places where a host may allow products of fewer bits."""

    fp32_precision: str


_FULL_PRECISIONS = ("none", "ieee")


class GlobalMatmul:
    """The precision of matrix products on all devices, which torch before 2.9 has in place of one for each backend."""

    @property
    def fp32_precision(self) -> str:
        """The value: "ieee", or "high" or "medium" as in `torch.set_float32_matmul_precision`."""
        found = torch.get_float32_matmul_precision()
        return "ieee" if found == "highest" else found

    @fp32_precision.setter
    def fp32_precision(self, precision: str) -> None:
        torch.set_float32_matmul_precision("highest" if precision in _FULL_PRECISIONS else precision)


class CudnnConvolutions:
    """The precision of cuDNN in torch before 2.9."""

    @property
    def fp32_precision(self) -> str:
        """The value: "ieee" or "tf32"."""
        return "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"

    @fp32_precision.setter
    def fp32_precision(self, precision: str) -> None:
        torch.backends.cudnn.allow_tf32 = precision not in _FULL_PRECISIONS


def precision_of(*backends: Backend) -> _Setting:
    """Return the setting of whether products are in full float32.

    What was found are the precisions to restore, by index. A host that changes one meanwhile is obeyed once the last
    thread has finished.
    """

    def read(found: dict[int, str] | None) -> dict[int, str]:
        lower = {i: one.fp32_precision for i, one in enumerate(backends) if one.fp32_precision not in _FULL_PRECISIONS}
        return {**(found or {}), **lower}

    def apply(found: dict[int, str], requests: Sequence[None]) -> None:
        for index, precision in found.items():
            backend = backends[index]
            if requests:
                backend.fp32_precision = "ieee"
            elif backend.fp32_precision == "ieee":
                # An inherited value reads as the backend's own; only when it does not come back so, it is set.
                backend.fp32_precision = "none"
                if backend.fp32_precision != precision:
                    backend.fp32_precision = precision

    return ProcessSetting(read, apply)


HAS_BACKENDS = hasattr(torch.backends, "fp32_precision")
"""Whether each backend has a precision of its own: from torch 2.9 on."""


def _settings() -> dict[str, tuple[_Setting, ...]]:
    """Return what holds on a device; a setting that devices share stands in it once, so that it is counted once."""
    if not HAS_BACKENDS:
        matmul = precision_of(GlobalMatmul())
        return {"cpu": (matmul,), "cuda": (matmul, precision_of(CudnnConvolutions()))}
    backends: Any = torch.backends  # its precisions are not in the type stubs
    return {
        "cpu": (precision_of(backends.mkldnn.matmul, backends.mkldnn.conv),),
        "cuda": (precision_of(backends.cuda.matmul, backends.cudnn.conv),),
    }


_full_precision = _settings()


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within this block products on a device are in full float32."""
    with ExitStack() as stack:
        for setting in _full_precision.get(device.type, ()):
            stack.enter_context(setting.override(None))
        yield
