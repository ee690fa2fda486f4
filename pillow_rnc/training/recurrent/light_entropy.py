"""Trains the entropy network of dense codes on the codes of a recurrent codec, which stays as it is.

The codec is that of a run of the light network or of the paper's.

python -m pillow_rnc.training.recurrent.light_entropy --data PHOTOGRAPHS --codec runs/recurrent --out runs/entropy
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pillow_rnc.models.config import lattice_passes
from pillow_rnc.training.checkpoint import Checkpoint, write_checkpoint
from pillow_rnc.training.crops import VALIDATION_PX, CropSampler, validation_crops
from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.recipe import BLOCK_PX
from pillow_rnc.training.recurrent.codec_run import codes_of, read_codec
from pillow_rnc.training.recurrent.dense_entropy_network import DenseEntropyNetwork
from pillow_rnc.training.recurrent.light_model import BITS_PER_BLOCK, LightModel, area

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from pillow_rnc.models.config import RecurrentConfig
    from pillow_rnc.training.recurrent.codec_run import Codec

    Progress = Callable[[int], float]
    """How far a training is, from 0 to 1, given how much of it is done."""


_log = logging.getLogger(__name__)
_CROP_PX = 256
_POOL_BATCH = 4
_POOL_STEP = 2 * 10**6  # crops that no step of the codec's training draws
_BATCH, _LEARNING_RATE, _WARMUP = 8, 5e-3, 50
_REPORT_STEPS = 50


def code_pool(codec: Codec, sampler: CropSampler, progress: Progress, *, compiled: bool = True) -> Tensor:
    """Return codes to learn from, int8 +-1, [T, crops, C, 16, 16].

    They may differ in a bit here and there from those that a file would hold. Compiling is done before the first
    crops are counted.

    Args:
        codec: The light network computes in bfloat16 from then on, the paper's always in float32.
        sampler: Of the crops, 256x256.
        progress: From the number of crops so far; 1 ends it.
        compiled: Let torch compile the iterations of the light network.
    """
    codec.model.autocast = torch.bfloat16
    if compiled and isinstance(codec.model, LightModel):
        codec.model.compile_parts()
        codes_of(codec.model, sampler.batch(_POOL_STEP, _POOL_BATCH))
    parts: list[Tensor] = []
    while progress(len(parts) * _POOL_BATCH) < 1:
        parts.append(codes_of(codec.model, sampler.batch(_POOL_STEP + len(parts), _POOL_BATCH)))
    return torch.cat(parts, 1)


def pool_sampler(training: list[NDArray[np.uint8]], codec: Codec) -> CropSampler:
    """Return the sampler of the crops whose codes are learned from."""
    return CropSampler(training, crop_px=_CROP_PX, seed=codec.recipe.seed, downscaled_share=0.25)


def network_for(pool: Tensor, config: RecurrentConfig) -> DenseEntropyNetwork:
    """Return a network that expects each bit as often as codes [T, crops, C, h, w] have it."""
    torch.manual_seed(0)
    network = DenseEntropyNetwork(config)
    network.expect((pool > 0).float().mean((1, 3, 4)))
    return network


def train(network: DenseEntropyNetwork, pool: Tensor, held: Tensor, progress: Progress) -> int:
    """Train on a pool of codes, log what they cost on those held out, and return the number of steps.

    Args:
        network: Changed in place.
        pool: Codes [T, crops, C, h, w].
        held: Codes held out, likewise.
        progress: From the number of steps so far; the learning rate falls with it, and 1 ends the training.
    """
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0, fused=True
    )
    generator, began, step = torch.Generator().manual_seed(1), time.monotonic(), 0
    while (done := progress(step)) < 1:
        share = min(1.0, (step + 1) / _WARMUP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * share
        chosen = torch.randint(pool.shape[1], (_BATCH,), generator=generator)
        planes = pool[:, chosen].float()
        optimizer.zero_grad(set_to_none=True)
        loss = network.lengths(planes).sum() / planes.numel()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 0.1)
        optimizer.step()
        step += 1
        if step % _REPORT_STEPS == 0:
            shares = price(network, held)
            text = " ".join(f"{1 - s:.3f}" for s in shares.tolist())
            seconds = time.monotonic() - began
            _log.info("step %d %.0f s, loss %.4f, saved %s, all %.4f", step, seconds, loss, text, 1 - shares.mean())
    return step


def write_entropy(folder: Path, network: DenseEntropyNetwork, codec: Codec, steps: int, **numbers: float) -> None:
    """Write the checkpoint that `light_export` reads; further numbers go into its state."""
    parameters = {name: p.detach() for name, p in network.named_parameters()}
    state = {
        **numbers,
        "step": steps,
        "codec_block_iterations": codec.block_iterations,
        "config": json.loads(network.config.to_json()),
    }
    write_checkpoint(folder, Checkpoint(parameters, parameters, {}, {}, state))


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
    parser.add_argument("--crops", type=int, default=2000, help="number of crops whose codes are trained on")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--groups", type=int, default=2, help="number of groups of channels, coded one after the other")
    parser.add_argument("--state", type=int, default=32, help="channels of the state")
    parser.add_argument("--hidden", type=int, default=48, help="hidden channels")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%m-%d %H:%M:%S")
    torch.set_num_threads(1)
    codec = read_codec(args.codec)
    _log.info("codec after %.2fM block-iterations", codec.block_iterations / 1e6)
    images = load_photographs(args.data, smallest_px=VALIDATION_PX)
    crops = validation_crops(images.held_out)
    points, held = codec.model.curve(crops), codes_of(codec.model, crops)
    pool = code_pool(codec, pool_sampler(images.training, codec), lambda crops: crops / args.crops)
    _log.info("codes of %d crops", pool.shape[1])
    config = replace(
        codec.config,
        passes=lattice_passes(codec.config.code_channels, args.groups),
        entropy_state_channels=args.state,
        entropy_hidden_channels=args.hidden,
    )
    network = network_for(pool, config)
    train(network, pool, held, lambda step: step / args.steps)
    rates = (price(network, held) * BITS_PER_BLOCK / BLOCK_PX**2).cumsum(0).tolist()
    coded = [(rate, hvs, ms_ssim) for rate, (_, hvs, ms_ssim) in zip(rates, points, strict=True)]
    _log.info("area %.4f plain, %.4f coded", area(points), area(coded))
    _log.info("curve %s", " ".join(f"{b:.3f}:{h:.2f}:{m:.4f}" for b, h, m in coded))
    write_entropy(args.out, network, codec, args.steps)


if __name__ == "__main__":
    main()
