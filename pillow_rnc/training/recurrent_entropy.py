"""The entropy network of dense codes, trained on the codes of a recurrent codec that is left as it is.

    python -m pillow_rnc.training.recurrent_entropy --data PHOTOGRAPHS --codec runs/recurrent --out runs/entropy

Dense codes are signs that the codec itself has made as even as it could, so what is left to predict is what their
neighbours and the iterations before say. The arithmetic is that of the project's entropy network, without its tallies,
which count magnitudes: the sign of a sum says nothing of the next sign.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pillow_rnc.models.recurrent.pointwise import pointwise
from pillow_rnc.training.checkpoint import Checkpoint, read_newest, write_checkpoint
from pillow_rnc.training.crops import CropSampler
from pillow_rnc.training.entropy_network import (
    EntropyNetwork,
    Hidden,
    IterationIntegers,
    SharedIntegers,
    _floor,
    _integer_bias,
    _integer_weight,
    _round,
    _with_value,
)
from pillow_rnc.training.recurrent_model import BITS_PER_BLOCK, RecurrentModel, area, curve
from pillow_rnc.training.recurrent_recipe import BLOCK_PX, Choices, load, validation_crops

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pillow_rnc.models.config import ModelConfig, Passes

_log = logging.getLogger(__name__)
_OUTPUT_BIAS = 127.0 * 32.0 / 2  # integer bias of the output per unit of the parameter
_CROP_PX = 256
_POOL_BATCH = 4
_POOL_STEP = 2 * 10**6  # crops that no step of the codec's training draws
_LEARNING_RATE, _WARMUP = 5e-3, 50


def dense_passes(channels: int, groups: int) -> Passes:
    """Return the passes of an iteration: groups of channels one after the other, each over three lattices."""
    size = channels // groups
    return tuple((lattice, g * size, (g + 1) * size) for g in range(groups) for lattice in (2, 3, 1))


class DenseEntropyNetwork(EntropyNetwork):
    """The entropy network without tallies."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        del self.tally_input, self.tally_output

    def dense_integers(self) -> tuple[SharedIntegers, list[IterationIntegers]]:
        """Return all parameters rounded to the integers of the format, split by iteration."""
        nothing: tuple[None, ...] = (None,) * self.config.iterations
        own = (
            (None, *_integer_weight(self.state_in_weight).unbind()),
            (None, *_integer_bias(self.state_in_bias).unbind()),
            _integer_bias(self.feature_bias).unbind(),
            _integer_weight(self.context_weight).unbind(),
            _integer_weight(self.output_weight).unbind(),
            _round(self.output_bias * _OUTPUT_BIAS).unbind(),
            nothing,
            nothing,
        )
        empty = torch.zeros(0)
        shared = SharedIntegers(_integer_weight(self.state_weight), _integer_weight(self.feature_weight), empty)
        return shared, [IterationIntegers(*values) for values in zip(*own, strict=True)]

    def advance(self, shared: SharedIntegers, values: IterationIntegers, x: Tensor, before: Hidden | None) -> Hidden:
        """Return the state before an iteration (not the first) from the values +-1 of the one before."""
        assert values.state_in_weight is not None
        z = functional.conv2d(x * 127.0, values.state_in_weight, values.state_in_bias, padding=1)
        if before is not None:
            z = z + pointwise(before.state, shared.state_weight)
        z_u, z_n = z.chunk(2, 1)
        hard_u = torch.round(255 * torch.sigmoid(torch.floor(z_u.detach() / 256).clamp(-128, 127) / 16))
        u = _with_value(255 * torch.sigmoid(z_u / 4096), hard_u)
        hard_n = torch.round(127 * torch.tanh(torch.floor(z_n.detach() / 128).clamp(-128, 127) / 32))
        n = _with_value(127 * torch.tanh(z_n / 4096), hard_n)
        if before is None:
            state = _floor((u * n + 128) / 256)
        else:
            state = before.state + _floor((u * (n - before.state) + 128) / 256)
        return Hidden(state, x, x)  # nothing is counted

    def odds(self, planes: Tensor) -> list[Tensor]:
        """Return the log-odds of bit 1 for every bit, T of [N, C, h, w], of bits +-1 [T, N, C, h, w]."""
        shared, integers = self.dense_integers()
        hidden, out = None, []
        for t, bits in enumerate(planes):
            if t:
                hidden = self.advance(shared, integers[t], planes[t - 1], hidden)
            out.append(self.logits(shared, integers[t], bits, hidden))
        return out

    def lengths(self, planes: Tensor) -> Tensor:
        """Return the ideal code length in bits of each iteration and picture, [T, N], of bits +-1 [T, N, C, h, w]."""
        pairs = zip(planes, self.odds(planes), strict=True)
        return torch.stack([functional.softplus(-bits * odds).sum((1, 2, 3)) / math.log(2) for bits, odds in pairs])

    @torch.no_grad()
    def dense_tensors(self) -> dict[str, Tensor]:
        """Return the tensors of the weights file; the format wants a tally, so there is one that counts nothing."""
        c = self.config
        t, p, m = c.iterations, len(c.passes), c.modelled_channels
        g, k = c.passes[0][2] - c.passes[0][1], c.entropy_state_channels
        weights = {
            "state_in.weight": self.state_in_weight,
            "state.weight": self.state_weight,
            "feature.weight": self.feature_weight,
            "context.weight": self.context_weight,
            "output.weight": self.output_weight,
        }
        out = {n: _integer_weight(p).to(torch.int8) for n, p in weights.items()}
        out["state_in.bias"] = _integer_bias(self.state_in_bias).to(torch.int32)
        out["feature.bias"] = _integer_bias(self.feature_bias).to(torch.int32)
        out["output.bias"] = _round(self.output_bias * _OUTPUT_BIAS).to(torch.int32)
        out["tally.weight"] = torch.zeros(t - 1, 2, 1, m, dtype=torch.int16)
        out["tally.scale"] = torch.ones(t - 1, dtype=torch.int32)
        out["tally_input.weight"] = torch.zeros(2 * k, 1, dtype=torch.int8)
        out["tally_output.weight"] = torch.zeros(t - 1, p, g, 2, dtype=torch.int8)
        return {f"entropy.{name}": value.cpu().contiguous() for name, value in out.items()}


class Codec(NamedTuple):
    """A codec of a run, with its averaged parameters, the choices of the run, and how far it has come."""

    model: RecurrentModel
    choices: Choices
    block_iterations: float


def read_codec(folder: Path) -> Codec:
    """Return the codec of the newest checkpoint of a run.

    Raises:
        FileNotFoundError: There is none.
    """
    checkpoint = read_newest(folder)
    if checkpoint is None:
        raise FileNotFoundError(f"{folder}: no checkpoint")
    choices = Choices(**checkpoint.state["choices"])
    model = RecurrentModel(choices.config, lapped=choices.lapped)
    model.network.load_state_dict(checkpoint.average)
    model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Codec(model.eval(), choices, checkpoint.state["block_iterations"])


@torch.no_grad()
def codes_of(model: RecurrentModel, pixels: Tensor) -> Tensor:
    """Return the codes of pictures [N, 3, H, W] in 0..255: int8 +-1, [T, N, C, H / 16, W / 16]."""
    return torch.stack([one.bits for one in model.coded(pixels)]).to(torch.int8)


def train(network: DenseEntropyNetwork, pool: Tensor, held: Tensor, steps: int, batch: int = 8) -> None:
    """Train on a pool of codes [T, crops, C, h, w]; log what they cost on those held back."""
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0, fused=True
    )
    generator, began = torch.Generator().manual_seed(1), time.monotonic()
    for step in range(steps):
        share = min(1.0, (step + 1) / _WARMUP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * share
        chosen = torch.randint(pool.shape[1], (batch,), generator=generator)
        planes = pool[:, chosen].float()
        optimizer.zero_grad(set_to_none=True)
        loss = network.lengths(planes).sum() / planes.numel()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()
        if step % 50 == 49 or step == steps - 1:
            shares = price(network, held)
            text = " ".join(f"{1 - s:.3f}" for s in shares.tolist())
            seconds = time.monotonic() - began
            _log.info("step %d %.0f s, loss %.4f, saved %s, all %.4f", step + 1, seconds, loss, text, 1 - shares.mean())


@torch.no_grad()
def price(network: DenseEntropyNetwork, planes: Tensor) -> Tensor:
    """Return the ideal code length of each iteration as a share of its bits, [T], of codes [T, N, C, h, w]."""
    return network.lengths(planes.float()).mean(1) / planes[0, 0].numel()


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="photographs, a folder or a pack")
    parser.add_argument("--codec", type=Path, required=True, help="folder of the codec's run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--crops", type=int, default=2000, help="whose codes are trained on")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--groups", type=int, default=2, help="of channels, coded one after the other")
    parser.add_argument("--state", type=int, default=32, help="channels of the state")
    parser.add_argument("--hidden", type=int, default=48, help="hidden channels")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%m-%d %H:%M:%S")
    torch.set_num_threads(1)
    codec = read_codec(args.codec)
    _log.info("codec after %.2fM block-iterations", codec.block_iterations / 1e6)
    training, held_back = load(args.data)
    crops = validation_crops(held_back)
    points, held = curve(codec.model, crops), codes_of(codec.model, crops)
    # The many codes to learn from may differ in a bit here and there from those that a file would hold.
    codec.model.autocast = torch.bfloat16
    codec.model.compile_parts()
    sampler = CropSampler(training, crop_px=_CROP_PX, seed=codec.choices.seed, downscaled_share=0.25)
    parts = [
        codes_of(codec.model, sampler.batch(_POOL_STEP + i, _POOL_BATCH)) for i in range(args.crops // _POOL_BATCH)
    ]
    pool = torch.cat(parts, 1)
    _log.info("codes of %d crops", pool.shape[1])
    config = replace(
        codec.choices.config,
        passes=dense_passes(codec.choices.config.code_channels, args.groups),
        entropy_state_channels=args.state,
        entropy_hidden_channels=args.hidden,
    )
    torch.manual_seed(0)
    network = DenseEntropyNetwork(config)
    network.expect((pool > 0).float().mean((1, 3, 4)))
    train(network, pool, held, args.steps)
    rates = (price(network, held) * BITS_PER_BLOCK / BLOCK_PX**2).cumsum(0).tolist()
    coded = [(rate, hvs, ms_ssim) for rate, (_, hvs, ms_ssim) in zip(rates, points, strict=True)]
    _log.info("area %.4f plain, %.4f coded", area(points), area(coded))
    _log.info("curve %s", " ".join(f"{b:.3f}:{h:.2f}:{m:.4f}" for b, h, m in coded))
    parameters = {name: p.detach() for name, p in network.named_parameters()}
    state = {
        "step": args.steps,
        "codec_block_iterations": codec.block_iterations,
        "config": json.loads(config.to_json()),
    }
    write_checkpoint(args.out, Checkpoint(parameters, parameters, {}, {}, state))


if __name__ == "__main__":
    main()
