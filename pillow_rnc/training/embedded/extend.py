"""``python -m pillow_rnc.training.embedded.extend``: further iterations for a model, its first ones left as they are.

Codes, rates and reconstructions of the iterations that the model has stay the same: the quantizer's schedule goes on
after its last, and only what the entropy network has for each of the new iterations learns. So the new model is as good
as the old one at every rate that the old one reaches.

The new iterations reduce squared error in pixels; see `start.extend_schedule`. Masking still widens the first step of a
coefficient in a textured block, as the format has it, but every interval that is scheduled is halved.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pillow_rnc.models.config import EmbeddedConfig
from pillow_rnc.models.embedded.network import EmbeddedNetwork
from pillow_rnc.plugin.file_io import atomic_write
from pillow_rnc.training.crops import CropSampler
from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.embedded.model import EmbeddedModel
from pillow_rnc.training.embedded.start import extend_schedule
from pillow_rnc.training.embedded.weights_file import entropy_parameters
from pillow_rnc.training.objective import codec_iteration, rate_iteration, values_of
from pillow_rnc.training.recipe import Recipe, recipe_from_mapping

if TYPE_CHECKING:
    from collections.abc import Sequence

_RETIRED_KEYS = ("network", "paper_divisor")  # of the records of recipes before draft 7
_LATEST_SHARE, _RANDOM_SHARE = 0.3, 0.5  # of the last known and of random weights, where new ones start
_SAMPLES, _CROP_PX, _BATCH = 40, 96, 4
_LEARNING_RATE, _WARMUP_STEPS, _CONSTANT_SHARE, _FINAL_SHARE = 3e-3, 50, 0.3, 0.02
_GAIN_RATIO = 3.0  # by which the unit of the accumulators falls over the new iterations


class Learned(NamedTuple):
    """A parameter with a part for each iteration, and how many of these the old model has; they stay as they are."""

    parameter: nn.Parameter
    known: int


def extended(recipe: Recipe, tensors: dict[str, Tensor], iterations: int) -> tuple[EmbeddedModel, list[Learned]]:
    """Return a model with more iterations than that of a weights file, not yet scheduled, and what it has to learn.

    Args:
        recipe: Of the model.
        tensors: Of its weights file.
        iterations: Of the new model.

    Raises:
        ValueError: It would not have more iterations, or the model is of another family.
    """
    before = recipe.model.iterations
    if iterations <= before:
        msg = f"the model has {before} iterations, give more of them than {iterations}"
        raise ValueError(msg)
    if not isinstance(recipe.model, EmbeddedConfig):
        msg = f"models of the {recipe.model.family} family cannot be extended"
        raise ValueError(msg)  # noqa: TRY004 -- the value of a field of the recipe
    config = replace(recipe.model, iterations=iterations)
    model = EmbeddedModel(replace(recipe, model=config), EmbeddedNetwork(config))
    model.requires_grad_(requires_grad=False)
    learned = []
    with torch.no_grad():
        for name, parameter in model.network.named_parameters():
            old = tensors[f"network.{name}"]
            if parameter.shape == old.shape:
                parameter.copy_(old)
                continue
            parameter[:before] = old
            if name.startswith("decoder."):
                parameter[before:] = old[-1]
        new = torch.arange(1, iterations - before + 1) / (iterations - before)
        model.network.log_gain[before:] = model.network.log_gain[before - 1] + math.log(_GAIN_RATIO) * new
        for name, old in entropy_parameters(tensors).items():
            parameter = model.entropy.get_parameter(name)
            parameter[: len(old)] = old
            if parameter.shape != old.shape:
                learned.append(Learned(parameter, len(old)))
                if name.startswith(("state_in", "context")):
                    parameter[len(old) :] *= _RANDOM_SHARE
                    parameter[len(old) :] += _LATEST_SHARE * old[-1]
    for part in learned:
        part.parameter.requires_grad = True
    return model, learned


def schedule(model: EmbeddedModel, pixels: Tensor, known: int, first_step: float, last_step: float) -> None:
    """Set the schedule of the new iterations, and let the entropy network start from how often their bits are one.

    Args:
        model: Changed in place.
        pixels: Training images, float32 [N, 3, H, W] in 0..255, H and W multiples of 16.
        known: Iterations that the old model has.
        first_step: Of the first new iteration, in 8-bit levels.
        last_step: Of the last one.
    """
    ones = extend_schedule(model.network, model.network.transform(pixels), known, first_step, last_step)
    with torch.no_grad():
        model.entropy.output_bias[known:] = torch.logit(ones.clamp(1e-3, 1 - 1e-3))[:, None]


def new_bits(model: EmbeddedModel, pixels: Tensor, known: int) -> Tensor:
    """Return the code length of the new iterations, in bits per pixel."""
    network, entropy = model.network, model.entropy
    target = network.transform(pixels).contiguous(memory_format=torch.channels_last)
    state = network.initial_state(len(target), *target.shape[2:])
    shared, integers = entropy.integers(network)
    previous, bits_per_pixel = None, pixels.new_zeros(())
    for t in range(network.config.iterations):
        with torch.no_grad():
            bits, coded, state, _ = codec_iteration(network, target, network.weights_of(t), state, None)
        with torch.set_grad_enabled(t >= known and torch.is_grad_enabled()):
            hidden, length = rate_iteration(entropy, shared, integers[t], bits, coded, previous)
        if t >= known:
            bits_per_pixel = bits_per_pixel + length.sum() / pixels[:, 0].numel()
        previous = (values_of(bits, coded), hidden)
    return bits_per_pixel


def learn(model: EmbeddedModel, learned: Sequence[Learned], sampler: CropSampler, known: int, seconds: float) -> int:
    """Train the parts of the new iterations for some time; return the number of steps."""
    optimizer = torch.optim.Adam([part.parameter for part in learned], betas=(0.9, 0.98))
    start, step = time.monotonic(), 0
    while (passed := (time.monotonic() - start) / seconds) < 1:
        decay = max(_FINAL_SHARE, 1 - max(0.0, passed - _CONSTANT_SHARE) / (1 - _CONSTANT_SHARE))
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * min(1.0, (step + 1) / _WARMUP_STEPS) * decay
        loss = new_bits(model, sampler.batch(step, _BATCH), known)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for part in learned:
            assert part.parameter.grad is not None
            part.parameter.grad[: part.known] = 0  # Adam then leaves them as they are
        nn.utils.clip_grad_norm_([part.parameter for part in learned], 1.0)
        optimizer.step()
        step += 1
    return step


def weights_file(model: EmbeddedModel, known: int) -> bytes:
    """Return the weights file.

    The decoder sees all new iterations at the gain of the last one that it has learned: with greater gains, which it
    has never seen, it was measured to make pixels worse after the 23rd iteration.
    """
    tensors = model.tensors()
    tensors["network.log_gain"][known:] = tensors["network.log_gain"][known - 1]
    return save(tensors, metadata={"config": model.network.config.to_json()})


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.training.embedded.extend", description=__doc__)
    parser.add_argument("weights", type=Path, help="weights file, with its training record beside it")
    parser.add_argument("--data", type=Path, required=True, help="folder or pack of photographs")
    parser.add_argument("--out", type=Path, required=True, help="weights file to write")
    parser.add_argument("--iterations", type=int, default=28, help="of the new model; default: %(default)s")
    parser.add_argument(
        "--steps", type=float, nargs=2, default=(11.0, 3.6), metavar=("FIRST", "LAST"), help="in levels"
    )
    parser.add_argument("--minutes", type=float, default=14.0, help="of training; default: %(default)s")
    args = parser.parse_args(arguments)
    record = json.loads(args.weights.with_suffix(".json").read_text(encoding="utf-8"))["recipe"]
    recipe = recipe_from_mapping({key: value for key, value in record.items() if key not in _RETIRED_KEYS})
    torch.manual_seed(recipe.seed)
    known = recipe.model.iterations
    model, learned = extended(recipe, load_file(args.weights), args.iterations)
    images = load_photographs(args.data, smallest_px=_CROP_PX).training
    sampler = CropSampler(images, crop_px=_CROP_PX, seed=recipe.seed, downscaled_share=recipe.downscaled_share)
    schedule(model, sampler.batch(0, _SAMPLES), known, *args.steps)
    steps = learn(model, learned, sampler, known, 60 * args.minutes)
    atomic_write(args.out, weights_file(model, known))
    print(f"{args.out}: {args.iterations} iterations, {steps} steps")


if __name__ == "__main__":
    main()
