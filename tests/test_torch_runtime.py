"""What the host set in torch stays, whoever computes when; and nobody waits for anybody."""

from __future__ import annotations

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc.errors import DeviceMemoryError
from pillow_rnc.models import torch_precision
from pillow_rnc.models.torch_precision import HAS_BACKENDS, CudnnConvolutions, GlobalMatmul
from pillow_rnc.models.torch_runtime import inference_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CPU = torch.device("cpu")
BACKENDS: Any = torch.backends
# Old versions of torch, with which these tests can be run as well, have one place for all backends.
LEAVES = (BACKENDS.mkldnn.matmul, BACKENDS.mkldnn.conv) if HAS_BACKENDS else (GlobalMatmul(),)
LOWER = "bf16" if HAS_BACKENDS else "medium"


@pytest.fixture(autouse=True)
def _usual_settings() -> Iterator[None]:
    """Give torch its usual precision before and after."""
    _unset()
    yield
    _unset()


def _unset() -> None:
    if HAS_BACKENDS:
        BACKENDS.fp32_precision = "none"
    for leaf in LEAVES:
        leaf.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")


def _precisions() -> list[str]:
    return [leaf.fp32_precision for leaf in LEAVES]


def _legacy() -> None:
    torch.set_float32_matmul_precision("medium")


def _one_backend() -> None:
    LEAVES[0].fp32_precision = LOWER


def _all_backends() -> None:
    BACKENDS.mkldnn.matmul.fp32_precision = "none"
    BACKENDS.fp32_precision = "bf16"


@pytest.mark.parametrize("host", [_legacy, _one_backend, *[_all_backends] * HAS_BACKENDS])
def test_products_are_in_float32_however_the_host_asked_for_less(host: Callable[[], None]) -> None:
    host()
    before = _precisions()
    assert LOWER in before
    with inference_context(CPU):
        assert set(_precisions()) <= {"none", "ieee"}
        assert torch.is_inference_mode_enabled()
        assert torch.ones(1, 1).mm(torch.ones(1, 1)).dtype is torch.float32  # no autocast

    assert _precisions() == before
    assert not torch.is_inference_mode_enabled()


@pytest.mark.skipif(not HAS_BACKENDS, reason="nothing is inherited before torch 2.9")
def test_what_was_inherited_is_inherited_again() -> None:
    _all_backends()
    with inference_context(CPU):
        pass
    BACKENDS.fp32_precision = "ieee"

    assert BACKENDS.mkldnn.conv.fp32_precision == "ieee"


def test_an_error_inside_gives_the_settings_back() -> None:
    _one_backend()
    with pytest.raises(KeyboardInterrupt), inference_context(CPU):
        raise KeyboardInterrupt

    assert _precisions()[0] == LOWER


def test_threads_compute_at_the_same_time_and_the_last_one_gives_back() -> None:
    _one_backend()
    inside, seen = threading.Barrier(3), threading.Barrier(3)
    first_left = threading.Event()

    def compute(index: int) -> str:
        with inference_context(CPU):
            inside.wait(10)
            seen.wait(10)
            if index:
                first_left.wait(10)
            return _precisions()[0]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(compute, 0), pool.submit(compute, 1)
        inside.wait(10)
        assert _precisions()[0] == "ieee"
        seen.wait(10)
        first.result()
        assert _precisions()[0] == "ieee"
        first_left.set()
        assert second.result() == "ieee"

    assert _precisions()[0] == LOWER


def test_a_device_without_memory_is_named() -> None:
    with pytest.raises(DeviceMemoryError, match="device cpu has not enough memory"), inference_context(CPU):
        torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(DeviceMemoryError, match="not enough memory"), inference_context(CPU):
        raise torch.cuda.OutOfMemoryError
    with pytest.raises(RuntimeError, match="shape"), inference_context(CPU):
        torch.zeros(2) @ torch.zeros(3, 3)


def test_a_host_that_changes_its_mind_meanwhile_is_obeyed() -> None:
    with inference_context(CPU):
        _one_backend()
        with inference_context(CPU):
            assert _precisions()[0] == "ieee"
    assert _precisions()[0] == LOWER

    other = "tf32" if HAS_BACKENDS else "high"
    with inference_context(CPU):
        LEAVES[0].fp32_precision = other
    assert _precisions()[0] == other


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to test without fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_in_the_middle_finds_the_settings_of_the_host() -> None:
    _one_backend()
    before = _precisions()
    with inference_context(CPU):
        child = os.fork()
        if not child:
            with inference_context(CPU):
                pass
            os._exit(_precisions() != before)
        _, status = os.waitpid(child, 0)

    assert status == 0


def test_devices_that_share_a_setting_of_an_old_torch_give_it_back_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_precision, "HAS_BACKENDS", False)
    monkeypatch.setattr(torch_precision, "_full_precision", torch_precision._settings())
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    _legacy()
    processor = torch_precision.full_precision(CPU)
    with torch_precision.full_precision(torch.device("cuda")):
        with processor:
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"

    assert torch.get_float32_matmul_precision() == "medium"
    assert (GlobalMatmul().fp32_precision, CudnnConvolutions().fp32_precision) == ("medium", "tf32")


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_what_the_host_set_in_torch_stays_and_does_not_matter(device: str, tmp_path: Path) -> None:
    register_tiny_codec(tmp_path)
    original = Image.linear_gradient("L").resize((40, 40)).convert("RGB")

    def saved() -> bytes:
        fp = io.BytesIO()
        original.save(fp, "RNC", model="tiny", iterations=4, device=device)
        return fp.getvalue()

    def opened(data: bytes) -> bytes:
        return pillow_rnc.open(io.BytesIO(data), device=device).tobytes()

    data = saved()
    pixels = opened(data)
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    state = torch.random.get_rng_state()
    try:
        with torch.autocast("cpu"), torch.device("meta"):
            assert saved() == data
            assert opened(data) == pixels
        assert torch.get_default_dtype() is torch.float64
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.equal(torch.random.get_rng_state(), state)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
