"""Recurrent models code files: every cell and framework, in the light network on 16x16 pixels and in the paper's."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from tiny_codec import recurrent, register_random_codec

import pillow_rnc
from pillow_rnc import RncImageFile, UnsupportedError, WeightsError, WorkLimitError
from pillow_rnc.container import writer
from pillow_rnc.container.records import CODE_STRIDES
from pillow_rnc.models import weights
from pillow_rnc.models.config import CellName, Framework, RecurrentConfig, lattice_passes
from pillow_rnc.models.recurrent.numpy_light import LightTiles, can_run_light
from pillow_rnc.models.runtime import runtime
from pillow_rnc.models.torch_runtime import TorchTiles

if TYPE_CHECKING:
    from pathlib import Path

CELLS, FRAMEWORKS = get_args(CellName), get_args(Framework)
PAIRS = [(cell, framework) for cell in CELLS for framework in FRAMEWORKS]
ITERATIONS = 3
SIZE = (90, 50)
WORK = ITERATIONS * (64 + 48) * 64  # pixels of two tiles, which overlap and are padded, in each iteration


def light(cell: CellName = "gru", framework: Framework = "residual_scaling", **changes: Any) -> RecurrentConfig:  # noqa: ANN401 -- fields of the configuration
    return recurrent(framework, cell=cell, **({"code_stride": 16, "iterations": ITERATIONS} | changes))


def paper(cell: CellName, framework: Framework) -> RecurrentConfig:
    passes = lattice_passes(32, groups=2)
    return light(cell, framework, network="paper", paper_divisor=16, code_channels=32, passes=passes)


MODELS = [
    *(pytest.param(light(*pair), "cpu", id="-".join(pair)) for pair in PAIRS),
    # Where torch runs a model on the device "cpu", the device "cpu:0" is the same.
    *(
        pytest.param(light(*pair), "cpu:0", id="-".join((*pair, "torch")))
        for pair in PAIRS
        if can_run_light(light(*pair))
    ),
    *(pytest.param(paper(*pair), "cpu", id="-".join(("paper", *pair))) for pair in PAIRS),
]
LIGHT = [
    pytest.param(light(*pair, code_stride=stride), id="-".join((*pair, str(stride))))
    for pair in PAIRS
    for stride in CODE_STRIDES
]


def registered(config: RecurrentConfig, folder: Path) -> str:
    """Make a random model known and return its id, which names it beside others."""
    return weights.register(register_random_codec(folder, config)).model_id.hex()


def image(mode: str = "RGB") -> Image.Image:
    random = np.random.default_rng(5).integers(0, 256, (7, 9, 4), np.uint8)
    return Image.fromarray(random, "RGBA").resize(SIZE, Image.Resampling.BICUBIC).convert(mode)


def saved(im: Image.Image, model: str, **params: object) -> bytes:
    fp = io.BytesIO()
    options = {"model": model, "iterations": ITERATIONS, "tile_size": 64, "overlap": 16}
    im.save(fp, "RNC", **{**options, **params})
    return fp.getvalue()


def opened(data: bytes, **options: Any) -> RncImageFile:  # noqa: ANN401 -- options of opening
    return pillow_rnc.open(io.BytesIO(data), **options)


def largest_difference(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max())


@pytest.mark.parametrize(("config", "device"), MODELS)
def test_every_model_codes_files(config: RecurrentConfig, device: str, tmp_path: Path) -> None:
    model, original = registered(config, tmp_path), image()
    data = saved(original, model, device=device)
    decoded = opened(data, device=device)
    decoded.load()
    assert (decoded.mode, decoded.size) == ("RGB", SIZE)
    assert saved(original, model, device=device) == data
    assert opened(data, device=device).tobytes() == decoded.tobytes()
    assert largest_difference(opened(data, device="cpu"), decoded) <= 1
    assert len({opened(data, device=device, iterations=k).tobytes() for k in range(1, ITERATIONS + 1)}) == ITERATIONS
    for k in range(1, ITERATIONS):
        assert writer.truncate(data, k) == saved(original, model, device=device, iterations=k)
    box = (50, 10, 85, 50)
    assert opened(data, device=device, region=box).tobytes() == decoded.crop(box).tobytes()


@pytest.mark.parametrize(
    "config", [*LIGHT, *(pytest.param(paper(*pair), id="-".join(("paper", *pair))) for pair in PAIRS)]
)
def test_what_holds_of_files_holds_of_theirs(config: RecurrentConfig, tmp_path: Path) -> None:
    model, original = registered(config, tmp_path), image("RGBA")
    data = saved(original, model, comment="a tiny model")
    decoded = opened(data)
    assert decoded.getchannel("A").tobytes() == original.getchannel("A").tobytes()
    assert decoded.info["comment"] == b"a tiny model"
    steps = [step.tobytes() for step in pillow_rnc.progressive(io.BytesIO(data))]
    assert steps[-1] == decoded.tobytes()
    smaller = len(writer.truncate(data, 2))
    cut = saved(original, model, comment="a tiny model", iterations=None, target_size=smaller)
    assert cut == writer.truncate(data, 2)
    assert opened(saved(original, model, iterations=None, target_psnr=1)).iterations >= 1
    damaged = bytearray(data)
    damaged[-9] ^= 0x40  # in the last iteration
    with pytest.raises(pillow_rnc.RncFileError):
        opened(bytes(damaged)).load()
    options: dict[str, Any] = {"model": model, "iterations": ITERATIONS, "tile_size": 64, "overlap": 16}
    together = pillow_rnc.encode_batch([image(), image("L")], **options)
    assert together == [saved(image(), model), saved(image("L"), model)]
    images = pillow_rnc.decode_batch([io.BytesIO(one) for one in together])
    assert [one.tobytes() for one in images] == [opened(one).tobytes() for one in together]
    opened(data, max_work=WORK).load()
    with pytest.raises(WorkLimitError):
        opened(data, max_work=WORK - 1).load()
    assert saved(original, model, comment="a tiny model", max_memory=1) == data
    assert opened(data, max_memory=1).tobytes() == decoded.tobytes()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_gru_models_run_without_torch_within_a_level_of_it(framework: Framework, tmp_path: Path) -> None:
    model = registered(light("gru", framework), tmp_path)
    loaded = weights.load(model)
    assert isinstance(runtime(loaded, "cpu")(1, 16, 16), LightTiles)
    assert isinstance(runtime(loaded, "cpu:0")(1, 16, 16), TorchTiles)
    for device in ("cpu", "cpu:0"):
        data = saved(image(), model, device=device)
        assert largest_difference(opened(data, device="cpu"), opened(data, device="cpu:0")) <= 1


def test_torch_is_not_loaded_for_them(tmp_path: Path) -> None:
    path = register_random_codec(tmp_path, light())
    program = (
        "import io, sys; from PIL import Image; import pillow_rnc; from pillow_rnc.models import weights\n"
        f"weights.register({str(path)!r}); fp = io.BytesIO()\n"
        "Image.linear_gradient('L').save(fp, 'RNC', model='random', iterations=2); Image.open(fp).load()\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "config", [light("lstm"), light(separable=False), paper("gru", "additive"), recurrent("additive")]
)
def test_a_model_that_needs_torch_says_so_where_there_is_none(
    config: RecurrentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = registered(config, tmp_path)
    monkeypatch.delitem(sys.modules, "pillow_rnc.models.torch_runtime")
    monkeypatch.setitem(sys.modules, "torch", None)
    full = "" if config.separable else "full "
    kind = f"the {config.network} network, code_stride {config.code_stride}, {full}cell '{config.cell}'"
    with pytest.raises(UnsupportedError, match=rf"{kind} needs torch: pip install pillow-rnc\[torch\]"):
        saved(image(), model)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
@pytest.mark.parametrize("name", ["decoder.up.weight", "transform.deviation", "log_gain", "gain.weight"])
def test_tensors_that_do_not_fit_are_named(name: str, device: str, tmp_path: Path) -> None:
    path = register_random_codec(tmp_path, light())
    tensors = load_file(path)
    tensors[f"network.{name}"] = np.zeros((3, 1), np.float32)
    save_file(tensors, path, metadata={"config": light().to_json()})
    model = weights.register(path).model_id.hex()
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        saved(image(), model, device=device)


@pytest.mark.parametrize(("key", "value"), [("cell", "mamba"), ("framework", "diffusion"), ("network", "wide")])
def test_what_this_version_does_not_know_is_refused_by_name(key: str, value: str, tmp_path: Path) -> None:
    path = register_random_codec(tmp_path, light())
    config = light().to_json().replace(f'"{key}": "{getattr(light(), key)}"', f'"{key}": "{value}"')
    save_file(load_file(path), path, metadata={"config": config})
    with pytest.raises(WeightsError, match=f"{key} is '{value}', allowed are"):
        saved(image(), weights.register(path).model_id.hex())
