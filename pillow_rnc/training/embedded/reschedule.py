"""``python -m pillow_rnc.training.embedded.reschedule``: another schedule for a model, to be trained on from there.

The schedule is that of `graphics_schedule`. The parameters of each pair of codes begin from those of the old pair that
is most like it. The result is a checkpoint, which ``python -m pillow_rnc.training`` goes on from.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file

from pillow_rnc.entropy.schedule import NO_LEVEL
from pillow_rnc.models.config import EmbeddedConfig, config_from_mapping
from pillow_rnc.models.embedded.network import EmbeddedNetwork
from pillow_rnc.training.checkpoint import Checkpoint, write_checkpoint
from pillow_rnc.training.crops import CropSampler
from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.embedded.graphics_schedule import Images, set_schedule
from pillow_rnc.training.embedded.model import EmbeddedModel
from pillow_rnc.training.embedded.weights_file import entropy_parameters
from pillow_rnc.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pillow_rnc.models.embedded.torch_quantizer import EmbeddedQuantizer

_PHOTOGRAPHS, _GRAPHICS, _CROP_PX = 32, 20, 96


def likest(old: EmbeddedQuantizer, new: EmbeddedQuantizer, continued: Sequence[int]) -> Tensor:
    """Return for each pair of the new schedule, int64 [T, G], the flat index of the old pair most like it, or -1.

    It is of the same coefficient, of a step and level that are close, and of an iteration that is not far.
    """
    distance = torch.full((new.step.numel(), old.step.numel()), torch.inf)
    at = {
        name: (getattr(new, name).flatten()[:, None], getattr(old, name).flatten())
        for name in ("coefficient", "level", "step")
    }
    same = (at["coefficient"][0] == at["coefficient"][1]) & (at["level"][0] < NO_LEVEL) & (at["level"][1] < NO_LEVEL)
    base = torch.tensor(continued).repeat_interleave(new.pairs)[:, None]
    iteration = torch.arange(len(old.step)).repeat_interleave(old.pairs)
    ratio = torch.log(at["step"][0].clamp(min=1e-6) / at["step"][1].clamp(min=1e-6)).abs()
    far = ratio + 0.2 * (at["level"][0] - at["level"][1]).abs() + 0.02 * (base - iteration).abs()
    distance[same] = far[same]
    found = distance.argmin(1)
    found[torch.isinf(distance.amin(1))] = -1
    return found.view(new.step.shape)


@torch.no_grad()
def inherit(model: EmbeddedModel, old: EmbeddedModel, continued: Sequence[int], ones: Tensor) -> None:
    """Let every parameter of a model with another schedule begin from the old model.

    Args:
        model: Changed in place; it has its schedule.
        old: The old model.
        continued: See `graphics_schedule.set_schedule`.
        ones: How often each bit is one where it is coded, [T, M]: for pairs that the old model has nothing like.
    """
    new_network, old_network = model.network, old.network
    base = torch.tensor(continued)
    for name, parameter in new_network.named_parameters():
        if name.startswith(("quantizer.", "log_gain")):
            continue
        before = old_network.get_parameter(name)
        parameter.copy_(before if before.shape == parameter.shape else before[base])
    sources = likest(old_network.quantizer, new_network.quantizer, continued)
    new, was = model.entropy, old.entropy
    for name, parameter in new.named_parameters():
        before = was.get_parameter(name)
        if parameter.shape == before.shape:
            parameter.copy_(before)
    new.feature_bias.copy_(was.feature_bias[base])
    new.state_in_bias.copy_(was.state_in_bias[base[:-1].clamp(max=len(was.state_in_bias) - 1)])
    new.expect(ones)
    pairs = new_network.quantizer.pairs
    for t, row in enumerate(sources.tolist()):
        for pair, source in enumerate(row):
            if source < 0:
                continue
            s, at = divmod(source, pairs)
            new.output_weight[t, :, pair] = was.output_weight[s, :, at]
            new.output_bias[t, :, pair] = was.output_bias[s, :, at]
            new.context_weight[t, :, :, pair] = was.context_weight[s, :, :, at]
            if t and s:
                new.accumulator_output[t - 1, :, pair] = was.accumulator_output[s - 1, :, at]
            if t < len(new.state_in_weight) and s < len(was.state_in_weight):
                new.state_in_weight[t, :, pair] = was.state_in_weight[s, :, at]


@torch.no_grad()
def _ones(network: EmbeddedNetwork, coefficients: Tensor) -> Tensor:
    """Return how often each context-coded bit is one where it is coded, float32 [T, M]."""
    state = network.initial_state(len(coefficients), *coefficients.shape[2:])
    rows = []
    for t in range(network.config.iterations):
        schedule = network.weights_of(t)
        bits = network.binarizer(network.encode_step(coefficients, schedule, state, None)[0])
        coded = network.coded_values(bits, schedule, state)
        rows.append((coded.values > 0).sum((0, 2, 3)) / coded.magnitudes.sum((0, 2, 3)).clamp(min=1))
        state = network.decode_step(bits, schedule, state)
    return torch.stack(rows)


def rescheduled(
    tensors: dict[str, Tensor],
    config: EmbeddedConfig,
    recipe: Recipe,
    crops: Images,
    *,
    known: int,
    steps: tuple[float, float],
) -> EmbeddedModel:
    """Return the model that training goes on from.

    Args:
        tensors: Of the old weights file.
        config: Of the old model.
        recipe: Of the new training.
        crops: Pixels, float32 [N, 3, H, W] in 0..255 each, H and W multiples of 16.
        known: How many iterations of the old model are for photographs.
        steps: Of the first and the last iteration that is found anew, in 8-bit levels.

    Raises:
        ValueError: The recipe has another number of iterations than the old model and one more.
    """
    wanted = replace(config, iterations=config.iterations + 1)
    if recipe.model != wanted:
        msg = f"the model of the recipe is {recipe.model}, must be {wanted}"
        raise ValueError(msg)
    old = EmbeddedModel(replace(recipe, model=config), EmbeddedNetwork(config))
    with torch.no_grad():
        for name, parameter in old.network.named_parameters():
            parameter.copy_(tensors[f"network.{name}"])
        for name, value in entropy_parameters(tensors).items():
            old.entropy.get_parameter(name).copy_(value)
    model = EmbeddedModel(recipe, EmbeddedNetwork(wanted))
    transform = model.network.transform
    images = Images(transform(crops.photographs), transform(crops.graphics))
    continued = set_schedule(model.network, old.network, images, known=known, steps=steps)
    inherit(model, old, continued, _ones(model.network, torch.cat(images)))
    return model


def first_checkpoint(model: EmbeddedModel, recipe: Recipe) -> Checkpoint:
    """Return a checkpoint of a model that has not taken a step."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    state = {
        "step": 0,
        "updates": 0,
        "codec_updates": 0,
        "block_iterations": 0.0,
        "seconds": 0.0,
        "resumed": 0,
        "level": None,
        "recipe": recipe.as_dict(),
    }
    return Checkpoint(parameters, parameters, {}, {}, state)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.training.embedded.reschedule", description=__doc__)
    parser.add_argument("weights", type=Path, help="weights file, with its training record beside it")
    parser.add_argument("recipe", type=Path, help="TOML file of the training that follows")
    parser.add_argument("--data", type=Path, required=True, help="folder or pack of photographs")
    parser.add_argument("--graphics", type=Path, required=True, help="folder or pack of graphics")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; it must not have begun")
    parser.add_argument("--known", type=int, default=16, help="iterations for photographs; default: %(default)s")
    parser.add_argument(
        "--steps", type=float, nargs=2, default=(11.0, 3.6), metavar=("FIRST", "LAST"), help="in levels"
    )
    args = parser.parse_args(arguments)
    recipe = Recipe.from_toml(args.recipe)
    torch.manual_seed(recipe.seed)
    record = json.loads(args.weights.with_suffix(".json").read_text(encoding="utf-8"))["recipe"]
    config = config_from_mapping(record["model"])
    if not isinstance(config, EmbeddedConfig):
        parser.error(f"{args.weights}: models of the {config.family} family have no schedule")
    crops = []
    for source, count in ((args.data, _PHOTOGRAPHS), (args.graphics, _GRAPHICS)):
        images = load_photographs(source, smallest_px=_CROP_PX).training
        share = recipe.downscaled_share if source == args.data else 0.0
        crops.append(CropSampler(images, crop_px=_CROP_PX, seed=recipe.seed, downscaled_share=share).batch(0, count))
    model = rescheduled(
        load_file(args.weights), config, recipe, Images(*crops), known=args.known, steps=tuple(args.steps)
    )
    print(write_checkpoint(args.out, first_checkpoint(model, recipe)))


if __name__ == "__main__":
    main()
