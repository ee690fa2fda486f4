"""`max_threads` holds while a file is worked on, and afterwards every number is what the program had set."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image
from threadpoolctl import threadpool_info, threadpool_limits
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc.entropy.kernel import library
from pillow_rnc.entropy.tile_coder import TileDecoder, TileEncoder
from pillow_rnc.models import torch_runtime
from pillow_rnc.models import weights as model_weights
from pillow_rnc.models.embedded.numpy_network import NumpyTiles
from pillow_rnc.models.threads import limit_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTS_THREADS = 4
OPTIONS: dict[str, Any] = {"model": "tiny", "iterations": 3, "tile_size": 64, "overlap": 16}


@pytest.fixture(autouse=True, scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return register_tiny_codec(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def _without_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of NumPy are what is counted here."""
    monkeypatch.setenv(library.VARIABLE, "0")


@pytest.fixture(autouse=True)
def _threads_of_the_host() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(HOSTS_THREADS)
    # As an environment variable would: the thread that sets them this way may not live on.
    with ThreadPoolExecutor(1) as pool:
        limits = pool.submit(threadpool_limits, HOSTS_THREADS, user_api="blas").result()
    yield
    assert products() == {HOSTS_THREADS}
    assert torch.get_num_threads() == HOSTS_THREADS
    with ThreadPoolExecutor(1) as pool:
        pool.submit(limits.restore_original_limits).result()
    torch.set_num_threads(before)


def products() -> set[int]:
    """Return how many threads multiply matrices, in each library that does."""
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def saved(**params: object) -> bytes:
    fp = io.BytesIO()
    Image.linear_gradient("L").resize((100, 40)).save(fp, "RNC", **OPTIONS, **params)
    return fp.getvalue()


@pytest.fixture
def at_work(monkeypatch: pytest.MonkeyPatch) -> dict[int, set[int]]:
    """Return the threads in which networks and entropy coding work, each with how many threads products then have."""
    seen: dict[int, set[int]] = {}

    def watch(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def watched(*arguments: object, **keywords: object) -> object:
            seen.setdefault(threading.get_ident(), set()).update(products())
            return original(*arguments, **keywords)

        monkeypatch.setattr(owner, name, watched)

    for owner, names in (
        (NumpyTiles, ("encode", "decode", "pixels")),
        (TileEncoder, ("encode_next",)),
        (TileDecoder, ("decode_next",)),
    ):
        for name in names:
            watch(owner, name)
    return seen


@pytest.mark.parametrize(
    ("limit", "threads", "each"), [(0, 2, 1), (1, 1, 1), (2, 2, 1), (3, 2, 2), (9, 2, HOSTS_THREADS)]
)
def test_no_more_threads_work_than_are_allowed(
    limit: int, threads: int, each: int, at_work: dict[int, set[int]]
) -> None:
    data = saved(max_threads=limit)
    assert len(at_work) == threads
    pillow_rnc.open(io.BytesIO(data), max_threads=limit).load()
    pillow_rnc.decode_batch([io.BytesIO(data)] * 2, max_threads=limit)

    assert set().union(*at_work.values()) == {each}
    if limit == 1:
        assert list(at_work) == [threading.get_ident()]


def test_pictures_are_limited_while_they_are_made_and_not_when_they_are_shown(
    at_work: dict[int, set[int]],
) -> None:
    data = saved()
    at_work.clear()
    for _ in pillow_rnc.progressive(io.BytesIO(data), max_threads=1):
        assert products() == {HOSTS_THREADS}
    shown: list[int] = []
    pillow_rnc.open(io.BytesIO(data), max_threads=1, on_iteration=lambda k, _n, _im: shown.append(k)).load()

    assert shown == [1, 2, 3]
    assert list(at_work.values()) == [{1}]


def test_an_error_gives_the_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model_weights, "weights_for", fail)
    with pytest.raises(KeyboardInterrupt):
        pillow_rnc.open(io.BytesIO(saved()), max_threads=1).load()
    with pytest.raises(KeyboardInterrupt), limit_threads(1):
        raise KeyboardInterrupt


def test_the_lowest_of_several_limits_holds_and_the_last_gives_back() -> None:
    with ThreadPoolExecutor(1) as pool:
        first = limit_threads(3)
        first.__enter__()
        assert products() == {2}
        second = limit_threads(1)
        pool.submit(second.__enter__).result()
        assert products() == {1}
        first.__exit__(None, None, None)
        assert products() == {1}
        with limit_threads(9):
            assert products() == {1}
        pool.submit(second.__exit__, None, None, None).result()


def test_a_host_that_sets_the_number_itself_is_obeyed() -> None:
    with threadpool_limits(3, user_api="blas"):
        with limit_threads(1):
            pass
        assert products() == {3}


def test_torch_is_limited_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    original = torch_runtime.TorchTiles._decode_step

    def watched(self: Any, bits: torch.Tensor) -> None:  # noqa: ANN401 -- of a class of torch
        seen.add(torch.get_num_threads())
        original(self, bits)

    monkeypatch.setattr(torch_runtime.TorchTiles, "_decode_step", watched)
    for limit, expected in ((1, 1), (3, 2), (0, HOSTS_THREADS), (9, HOSTS_THREADS)):
        seen.clear()
        pillow_rnc.open(io.BytesIO(saved(device="cpu:0", max_threads=limit)), device="cpu:0", max_threads=limit).load()
        assert seen == {expected}


def test_threads_that_limit_torch_at_once_give_back_what_was_there() -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = torch_runtime._limited_threads(1), torch_runtime._limited_threads(1)
        pool.submit(first.__enter__).result()
        second.__enter__()
        pool.submit(first.__exit__, None, None, None).result()
        assert torch.get_num_threads() == 1
        second.__exit__(None, None, None)


FORK = """
import os
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits
from pillow_rnc.models.threads import limit_threads
def products():
    return next(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")
from threading import Thread
host = Thread(target=threadpool_limits, args=(3,), kwargs={"user_api": "blas"})
host.start()
host.join()
with limit_threads(1):
    child = os.fork()
    if not child:
        assert products() == 3
        with limit_threads(2):
            assert products() == 1
            np.ones((300, 300)) @ np.ones((300, 300))
        assert products() == 3
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert products() == 1
assert products() == 3
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to test without fork")
def test_a_child_forked_in_the_middle_has_the_threads_of_the_host() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(pillow_rnc.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", FORK], env=environment, check=True, timeout=60)


def test_the_pictures_are_the_same() -> None:
    data = saved()

    assert saved(max_threads=1) == data
    assert pillow_rnc.open(io.BytesIO(data), max_threads=1).tobytes() == pillow_rnc.open(io.BytesIO(data)).tobytes()
