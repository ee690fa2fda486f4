"""Training resumes exactly, survives NaN, and ends in weights that code pictures."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import re
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
import torch
from tiny_codec import CONFIG, recurrent
from tiny_training import photograph, quicken_starts, tiny_recipe
from torch.utils._python_dispatch import TorchDispatchMode

from pillow_rnc.codec import decoder, encoder
from pillow_rnc.container.records import Header, RncFile
from pillow_rnc.models import weights
from pillow_rnc.models.config import Framework
from pillow_rnc.training import loop, objective
from pillow_rnc.training.checkpoint import read_newest
from pillow_rnc.training.data import Photographs
from pillow_rnc.training.export import export
from pillow_rnc.training.families import make_model
from pillow_rnc.training.loop import DivergedError, Run
from pillow_rnc.training.losses import ms_ssim_db
from pillow_rnc.training.model import StepInputs
from pillow_rnc.training.objective import RateDistortionModel
from pillow_rnc.training.pace import Pace
from pillow_rnc.training.peak import peak_macs
from pillow_rnc.training.recipe import Recipe, as_embedded, as_recurrent
from pillow_rnc.training.step import Speed
from research.resume_test import losses

if TYPE_CHECKING:
    from pathlib import Path

    from pillow_rnc.models.config import ModelConfig

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
MODELS: dict[str, ModelConfig] = {
    "embedded": CONFIG,
    **{framework: recurrent(framework) for framework in get_args(Framework)},
}


@pytest.fixture(autouse=True)
def _small_start(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken_starts(monkeypatch, 24)


def run_in(folder: Path, recipe: Recipe | None = None, *, validated: bool = False, speed: Speed | None = None) -> Run:
    held_out = [photograph(9, 256, 256)] if validated else []
    photographs = Photographs([photograph(i) for i in range(3)], held_out, [])
    return Run(recipe or tiny_recipe(), photographs, folder, CPU, speed=speed)


def rate_distortion_model(recipe: Recipe) -> RateDistortionModel[Any, Any, Any]:
    model = make_model(recipe)
    assert isinstance(model, RateDistortionModel)
    return model


def idle(name: str) -> set[str]:
    """Return the parameters that do not learn."""
    if name == "embedded":  # the schedule is found, not learned
        return {"quantizer.coefficient", "quantizer.level", "quantizer.step"}
    # Before the first iteration no coefficient is significant.
    return {"encoder.significance.0.weight", "decoder.refinement.0.weight"}


@pytest.mark.parametrize("matrix_learning_rate", [0.0, 0.01])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(matrix_learning_rate: float, tmp_path: Path) -> None:
    """The codec begins to learn, and the average moves, across the interruptions."""
    recipe = tiny_recipe(entropy_only_steps=3, matrix_learning_rate=matrix_learning_rate)
    whole = run_in(tmp_path / "whole", recipe)
    expected = losses(whole, 8)
    found: list[float] = []
    for _ in range(4):
        run = run_in(tmp_path / "parts", recipe)
        found += losses(run, 2)
        run.save()

    assert found == expected
    assert run.resumed == 3
    for name, parameter in whole.stepper.model.named_parameters():
        assert torch.equal(parameter, dict(run.stepper.model.named_parameters())[name]), name
        assert torch.equal(whole.stepper.average[name], run.stepper.average[name]), name


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    """On the same crops again and again: the start is good, so that crops differ more than a few steps teach."""
    run = run_in(tmp_path, tiny_recipe(learning_rate=3e-3, ms_ssim_iterations=4))
    whole = run.sampler.batch
    run.sampler.batch = lambda _, size, part=None: whole(0, size, part)  # type: ignore[method-assign, assignment]
    found = losses(run, 27)[3:]  # without those in which the codec waits

    assert np.mean(found[-8:]) < np.mean(found[:8]) - 0.3


def network_parameters(run: Run) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in run.stepper.model.network.named_parameters()}


@pytest.mark.parametrize("name", ["residual_scaling", "embedded"])
def test_the_codec_waits_while_the_entropy_network_learns_alone(name: str, tmp_path: Path) -> None:
    run = run_in(tmp_path, tiny_recipe(model=MODELS[name], entropy_only_steps=3, codec_ramp_steps=2))
    model, before = run.stepper.model, network_parameters(run)
    entropy = {n: p.detach().clone() for n, p in model.entropy.named_parameters()}
    for _ in range(4):  # in the last of them the ramp is still at zero
        run.train_step()
        assert not model.codec_learns
    assert all(torch.equal(p, before[n]) for n, p in network_parameters(run).items())
    assert all(not torch.equal(p, entropy[n]) for n, p in model.entropy.named_parameters())
    for _ in range(3):  # the decoder's last map starts at zero: what lies before it begins one step later
        run.train_step()
        assert model.codec_learns
    moved = {n for n, p in network_parameters(run).items() if not torch.equal(p, before[n])}
    assert before.keys() - moved == idle(name)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("train_encoder", [True, False])
def test_every_parameter_of_the_codec_learns_that_should(train_encoder: bool, name: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"train_encoder": train_encoder, "entropy_only_steps": 0, "codec_ramp_steps": 0}
    run = run_in(tmp_path, tiny_recipe(model=MODELS[name], **changes))
    before = network_parameters(run)
    losses(run, 3)
    still = {n for n, p in network_parameters(run).items() if torch.equal(p, before[n])}
    sends = {n for n in before if n.startswith(("encoder.", "masking.", "log_gain"))}

    assert {"log_gain"} < sends
    assert still == (idle(name) if train_encoder else sends | idle(name))


def test_learning_rate_warms_up_stays_and_falls(tmp_path: Path) -> None:
    run = run_in(tmp_path, tiny_recipe(warmup_steps=10, constant_share=0.5, final_learning_rate=0.1))
    rates = []
    for step, done in ((0, 0.0), (9, 0.1), (9, 0.5), (9, 0.75), (9, 1.0), (9, 2.0)):
        run.step, run.block_iterations = step, done * run.recipe.block_iterations
        rates.append(run.learning_rate() / run.recipe.learning_rate)

    assert rates == pytest.approx([0.1, 1, 1, 0.55, 0.1, 0.1])


def test_an_invalid_step_changes_nothing_but_the_counters(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    losses(run, 3)
    before = {n: p.detach().clone() for n, p in run.stepper.model.named_parameters()}
    moments = [{n: m.clone() for n, m in part.items()} for part in run.stepper.moments()[:2]]
    for pixels in (torch.full((2, 3, 32, 32), torch.nan), torch.full((2, 3, 32, 32), 1e9)):
        run.stepper.step(pixels, 3, 1e-3)

    assert run.stepper.report().bad_in_a_row == 2
    assert all(torch.equal(p, before[n]) for n, p in run.stepper.model.named_parameters())
    for part, kept in zip(run.stepper.moments()[:2], moments, strict=True):
        assert all(torch.equal(part[n], kept[n]) for n in kept)
    losses(run, 1)
    assert run.stepper.report().bad_in_a_row == 0


def poisoned_from(run: Run, step: int, *, until: int) -> None:
    """Let the crops of some steps hold NaN."""
    whole = run.sampler.batch

    def batch(at: int, size: int, part: slice | None = None) -> torch.Tensor:
        crops = whole(at, size, part)
        return crops * torch.nan if step <= at < until else crops

    run.sampler.batch = batch  # type: ignore[method-assign, assignment]


def test_nan_is_rolled_back_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_MAX_BAD_STEPS", 5)
    monkeypatch.setattr("pillow_rnc.training.crops._VALIDATION_CROPS", 1)
    run = run_in(tmp_path, tiny_recipe(block_iterations=16 * 2 * 4 * 4), validated=True)
    losses(run, 5)
    run.save()
    poisoned_from(run, 7, until=13)
    with caplog.at_level(logging.INFO):
        run.run(Pace(minutes=1))

    assert "losses invalid, back to step 5" in caplog.text
    assert "held out" in caplog.text
    checkpoint = read_newest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.state["step"] > 16, "it went on, with other crops"
    assert all(bool(t.isfinite().all()) for t in checkpoint.model.values())


def test_endless_nan_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_MAX_BAD_STEPS", 3)
    run = run_in(tmp_path)
    poisoned_from(run, 2, until=10**9)

    with pytest.raises(DivergedError, match="4 returns"):
        run.run(Pace(minutes=1))
    assert read_newest(tmp_path) is not None


def test_a_full_disk_is_reported_and_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    run = run_in(tmp_path, tiny_recipe(block_iterations=4 * 2 * 4 * 4))
    monkeypatch.setattr(loop, "write_checkpoint", full)
    with pytest.raises(OSError, match="No space left on device"):  # of the last one: all would be lost
        run.run(Pace(minutes=1, save_seconds=0))

    assert run.step == 4
    assert "checkpoint of step 3 not written: [Errno 28] No space left on device" in caplog.text


def test_time_is_kept(tmp_path: Path) -> None:
    run = run_in(tmp_path, dataclasses.replace(tiny_recipe(), block_iterations=1e12))
    looks = itertools.count(0.0)  # a clock that is a second further at each look: a step has two
    run.run(Pace(minutes=1, start=0.0, report_seconds=math.inf, clock=lambda: next(looks)))
    newest = read_newest(tmp_path)

    assert run.step == 30
    assert newest is not None
    assert newest.state["step"] == 30


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    run_in(tmp_path).save()
    wider = tiny_recipe()
    wider = dataclasses.replace(wider, model=dataclasses.replace(wider.model, decoder_channels=16))

    with pytest.raises(ValueError, match="the checkpoint is of another model"):
        run_in(tmp_path, wider)


def test_checkpoint_files_stay_below_16_mib() -> None:
    parameters = sum(p.numel() for p in make_model(Recipe("default")).parameters())

    assert 4 * parameters < 16 * 2**20 - 2**17, "the names of the tensors need some room too"


def test_exported_weights_code_pictures_like_the_trained_network(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", tiny_recipe(average=0.0))
    losses(run, 6)
    run.save()
    path = export(tmp_path / "run", tmp_path / "weights", "mine")
    loaded = weights.load(path.stem)
    pixels = photograph(5, 64, 48)
    encoded = encoder.encode(pixels, loaded, iterations=4, tile_size=64, overlap=16)
    header, units = encoded
    shown = decoder.decode(RncFile(header, {}, None, tuple(units)), loaded)
    model = rate_distortion_model(run.recipe)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(run.stepper.average[name])
        picture = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        state, memory = model.network.initial_state(1, 6, 8), None
        target = model.network.transform(picture)
        for t in range(4):
            own = model.network.weights_of(t)
            a, memory = model.network.encode_step(target, own, state, memory)
            state = model.network.decode_step(model.network.binarizer(a), own, state)
        coefficients = model.network.reconstruct(state, torch.tensor([3]))
        expected = model.network.transform.inverse(coefficients)[0].permute(1, 2, 0).clamp(0, 255).round()
    coded_bpp = 8 * sum(len(segment.payload) for unit in units for segment in unit) / (64 * 48)
    ideal_bpp = model.curve(picture)[-1][0]

    assert loaded.config == run.recipe.model
    assert path.stem.startswith("mine-")
    assert isinstance(header, Header)
    assert np.abs(shown.astype(int) - expected.numpy().astype(int)).max() <= 1
    assert ideal_bpp - 0.01 < coded_bpp < ideal_bpp + 4 * 8 * 8 / (64 * 48)


def test_the_path_of_a_gpu_is_rehearsed_here(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """bfloat16 products, crops cut from the pack, looks every few steps: the loss stays that of float32."""
    plain, fast = run_in(tmp_path / "a"), run_in(tmp_path / "b", speed=Speed(torch.bfloat16))
    expected, found = losses(plain, 3), losses(fast, 3)

    assert found == pytest.approx(expected, rel=0.02)
    with caplog.at_level(logging.INFO):
        fast.run(Pace(minutes=0.1 / 60, sync_steps=3, report_seconds=0, peak_macs=peak_macs(CPU, torch.bfloat16)))
    assert fast.step > 3
    assert fast.step % 3 == 0
    assert re.search(r"block-iterations  \d+/s = \d+\.\d% of peak", caplog.text)


def test_images_are_compared_in_float32_under_autocast() -> None:
    """In bfloat16 the variances of MS-SSIM cancel, and its logarithm is no number."""
    torch.manual_seed(0)
    recipe = tiny_recipe(crop_px=96, ms_ssim_iterations=4)
    model = rate_distortion_model(dataclasses.replace(recipe, train_encoder=False))
    model.codec_learns = True
    pixels = torch.stack([torch.from_numpy(photograph(i, 96, 96)).permute(2, 0, 1).float() for i in range(2)])
    expected = model(StepInputs(pixels, [0, 1, 2, 3])).loss
    model.autocast = torch.bfloat16
    judged: list[torch.dtype] = []

    def noted(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        judged.extend([found.dtype, ms_ssim_db(found, wanted).dtype])
        return ms_ssim_db(found, wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objective, "ms_ssim_db", noted)
        found = model(StepInputs(pixels, [0, 1, 2, 3])).loss

    assert set(judged) == {torch.float32}
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=0.05)


class HostCopies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes what moves numbers between host and device, which a CUDA graph may not hold."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        if func.overloadpacket in (torch.ops.aten.lift_fresh, torch.ops.aten._local_scalar_dense):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("model", [as_embedded(CONFIG), as_recurrent(CONFIG, "additive")], ids=["embedded", "additive"])
def test_a_step_copies_nothing_from_the_host(model: ModelConfig) -> None:
    torch.manual_seed(0)
    trained = rate_distortion_model(tiny_recipe(model=model, train_encoder=model.learns_codes))
    trained.codec_learns = True
    inputs = StepInputs(torch.from_numpy(photograph(1, 64, 64)).permute(2, 0, 1)[None].float(), torch.tensor([1, 2]))
    trained(inputs)  # what is made once is there now
    with HostCopies() as copies:
        trained(inputs).loss.backward()

    assert copies.seen == []


def test_entropy_arithmetic_stays_exact_under_autocast() -> None:
    torch.manual_seed(0)
    model = rate_distortion_model(tiny_recipe())
    pixels = torch.from_numpy(photograph(1, 64, 64)).permute(2, 0, 1)[None].float()
    seen: list[torch.Tensor] = []
    model.entropy.register_forward_hook(lambda *call: seen.append(call[2]))
    inner = model.entropy.logits

    def checked(*args: Any) -> torch.Tensor:  # noqa: ANN401
        logits = inner(*args)
        assert logits.dtype == torch.float32
        assert torch.equal(logits * 16, (logits * 16).round())
        return logits

    model.entropy.logits = checked  # type: ignore[method-assign, assignment]
    model.autocast = torch.bfloat16
    out = model(StepInputs(pixels, [0, 3]))

    assert len(seen) == 4
    assert all(length.dtype == torch.float32 for length in seen)
    assert out.loss.dtype == torch.float32


def test_iterations_chosen_on_the_device_are_those_chosen_on_the_host() -> None:
    torch.manual_seed(0)
    model = rate_distortion_model(tiny_recipe())
    pixels = torch.from_numpy(photograph(1, 64, 64)).permute(2, 0, 1)[None].float()
    on_host = model(StepInputs(pixels, [1, 2]))
    on_device = model(StepInputs(pixels, torch.tensor([1, 2])))

    assert torch.equal(on_host.loss, on_device.loss)


def test_steps_go_on_when_compiling_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Any:  # noqa: ANN401
        def part(*_: object, **__: object) -> None:
            msg = "no compiler"
            raise RuntimeError(msg)

        return part

    expected = losses(run_in(tmp_path / "a"), 2)
    monkeypatch.setattr(torch, "compile", broken)

    assert losses(run_in(tmp_path / "b", speed=Speed(compiled=True)), 2) == expected


def test_steps_go_on_when_compiling_fails_once_the_codec_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reconstruction is needed, and so compiled, only then."""
    recipe = tiny_recipe(entropy_only_steps=3)

    def broken(part: Any, **__: object) -> Any:  # noqa: ANN401
        def fails(*_: object, **__: object) -> None:
            msg = "no compiler"
            raise RuntimeError(msg)

        return fails if part is objective.reconstruction_error else part

    expected = losses(run_in(tmp_path / "a", recipe), 5)
    monkeypatch.setattr(torch, "compile", broken)
    run = run_in(tmp_path / "b", recipe, speed=Speed(compiled=True))

    assert losses(run, 5) == expected
    assert not run.stepper.speed.compiled


def test_the_entropy_network_stays_where_only_the_decoder_is_to_learn(tmp_path: Path) -> None:
    run = run_in(tmp_path, tiny_recipe(train_entropy=False, train_encoder=False))
    before = {name: p.detach().clone() for name, p in run.stepper.model.named_parameters()}
    for _ in range(3):
        run.train_step()
    moved = {name for name, p in run.stepper.model.named_parameters() if not torch.equal(p, before[name])}

    assert moved
    assert all(name.startswith("network.decoder.") for name in moved)
    assert all(map(math.isnan, run.stepper.report().bpp))


def test_a_new_run_begins_with_the_average_of_another(tmp_path: Path) -> None:
    first = run_in(tmp_path / "first")
    for _ in range(3):
        first.train_step()
    first.save()
    photographs = Photographs([photograph(0)], [], [])
    second = Run(tiny_recipe(), photographs, tmp_path / "second", CPU, begin_from=tmp_path / "first")

    assert second.step == 0
    for name, parameter in second.stepper.model.named_parameters():
        assert torch.equal(parameter, first.stepper.average[name]), name
    other = tiny_recipe(model=dataclasses.replace(CONFIG, iterations=3))
    with pytest.raises(ValueError, match="other shapes"):
        Run(other, photographs, tmp_path / "third", CPU, begin_from=tmp_path / "first")
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        Run(tiny_recipe(), photographs, tmp_path / "third", CPU, begin_from=tmp_path / "nowhere")
