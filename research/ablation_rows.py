"""The rows of the ablation: each a choice of the recipe, and what else could have been chosen.

Two recipes are varied. In ``NOISE`` the whole codec learns, from noise, 8 bits for each 8x8 block and iteration; rates
are those bits, as they are, which is how the paper compares networks. In ``START`` it begins as the quantiser that
`training.initialise` finds, and learns for rate and distortion together; rates are those of its entropy network.
The default framework does not learn its codes: most choices can only be compared in those that do.

A choice that lost has no switch in the codec. Where it takes code, that code is here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from pillow_rnc.models.config import ModelConfig
from pillow_rnc.training.recipe import Recipe, in_framework

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer

    from pillow_rnc.models.config import Framework
    from pillow_rnc.training.objective import CodecOutput, TrainedModel

    CodecIteration = Callable[..., CodecOutput]
    Look = Callable[..., tuple[Tensor, Tensor]]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Variant:
    """One choice of a row.

    Attributes:
        name: Of its file; the same variant may stand in several rows.
        recipe: What is trained.
        from_noise: Do not begin as a quantiser.
        before: Recipes that are trained one after another before it, each for an equal share of the time.
        change: Done to a new model of the light network.
        iteration: Done to the function that codes an iteration in training.
        look: Done to the function that judges what is shown.
        optimiser: Makes another optimiser of the parameter groups.
    """

    name: str
    recipe: Recipe
    from_noise: bool = False
    before: tuple[Recipe, ...] = ()
    change: Callable[[TrainedModel], None] = lambda _: None
    iteration: Callable[[CodecIteration], CodecIteration] = lambda part: part
    look: Callable[[Look], Look] = lambda part: part
    optimiser: Callable[[list[dict[str, Any]]], Optimizer] | None = None


class Row(NamedTuple):
    """A comparison.

    Attributes:
        choice: What is chosen.
        variants: What there is to choose from, by what the table calls it; the choice of the base recipe first.
        bpp: The rates that curves are averaged over.
    """

    choice: str
    variants: dict[str, Variant]
    bpp: tuple[float, float]


def light(framework: Framework, channels: int, iterations: int, width: int = 64, **changes: Any) -> ModelConfig:  # noqa: ANN401 -- fields
    """Return a small model of the light network."""
    config = ModelConfig(
        iterations=iterations,
        code_channels=channels,
        encoder_channels=width,
        decoder_channels=width,
        context_channels=width,
        **changes,
    )
    return in_framework(config, framework)


NOISE_BPP = (0.125, 0.5)
START_BPP = (0.125, 1.0)
NOISE = Recipe(
    "noise", block_iterations=1e12, batch=4, crop_px=64, learning_rate=3e-3, warmup_steps=20, average=0.99,
    entropy_only_steps=-1, codec_ramp_steps=0, direct_learning_rate_factor=1.0, train_encoder=True,
    model=light("additive", 8, 4),
)  # fmt: skip
START = Recipe(
    "start", block_iterations=1e12, batch=4, crop_px=64, warmup_steps=20, average=0.99, entropy_only_steps=100,
    codec_ramp_steps=50, first_step=120.0, last_step=12.0, model=light("residual_scaling", 32, 4),
)  # fmt: skip
PAPER = Recipe(
    "paper", block_iterations=1e12, batch=4, crop_px=64, learning_rate=3e-3, warmup_steps=20, average=0.99,
    entropy_only_steps=-1, codec_ramp_steps=0, train_encoder=True, network="paper", paper_divisor=8,
    stochastic_codes=False, model=ModelConfig(framework="additive", iterations=4),
)  # fmt: skip


def _varied(base: Recipe, model: dict[str, Any] | None, recipe: dict[str, Any]) -> Recipe:
    changed = replace(base, **recipe)
    return replace(changed, model=replace(changed.model, **(model or {})))


def _noise(name: str, *, model: dict[str, Any] | None = None, **recipe: Any) -> Variant:  # noqa: ANN401 -- fields
    return Variant(name, _varied(NOISE, model, recipe), from_noise=True)


def _start(name: str, *, model: dict[str, Any] | None = None, **recipe: Any) -> Variant:  # noqa: ANN401 -- fields
    return Variant(name, _varied(START, model, recipe))


# --- what takes code -------------------------------------------------------------------------------------------------


def share_heads(model: TrainedModel) -> None:
    """Give all iterations the 1x1 maps of the first."""
    for part in (model.network.encoder, model.network.decoder):
        for name, maps in part.named_children():
            if isinstance(maps, nn.ModuleList):
                setattr(part, name, nn.ModuleList([maps[0]] * len(maps)))


def cut(part: CodecIteration) -> CodecIteration:
    """Let no gradient pass from an iteration to the ones before it."""

    def iteration(network: Any, target: Tensor, weights: Any, state: Any, memory: Any, **rest: Any) -> CodecOutput:  # noqa: ANN401
        return part(network, target, weights, _detached(state), _detached(memory), **rest)

    return iteration


def _detached(value: _T) -> _T:
    """Return a tensor, or a tuple of such, without its history."""
    if isinstance(value, Tensor):
        return cast("_T", value.detach())
    if isinstance(value, tuple):
        parts = [_detached(part) for part in value]
        return cast("_T", type(value)(*parts) if hasattr(value, "_fields") else tuple(parts))
    return value


def _of_pixels(measure: Callable[[Tensor], Tensor]) -> Callable[[Look], Look]:
    """Return what judges by the error of the pixels, [N, 3, H, W], instead of that of the blocks."""

    def wrapped(part: Look) -> Look:
        def look(network: Any, state: Any, iteration: Tensor, target: Tensor, **named: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
            shown, _ = part(network, state, iteration, target, **named)
            return shown, measure(network.transform.inverse(shown) - network.transform.inverse(target))

        return look

    return wrapped


l1 = _of_pixels(lambda error: error.abs().mean((1, 2, 3)))
log_mse = _of_pixels(lambda error: 10 * torch.log10(error.square().mean((1, 2, 3)) + 0.5))


def slow_second_moment(groups: list[dict[str, Any]]) -> Optimizer:
    """Return AdamW as torch has it, with a second moment over 1000 steps."""
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), weight_decay=0.0, fused=True)


def momentum(groups: list[dict[str, Any]]) -> Optimizer:
    """Return gradient descent with momentum."""
    return torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=True)


# --- the rows --------------------------------------------------------------------------------------------------------

_BASE = _noise("base")
_L1 = replace(_noise("l1", ms_ssim_share=0.0), look=l1)
_PAPER = Variant("paper", PAPER)
_QUANTISER = _start("quantiser")
_LEARNED = _start("learned", train_encoder=True)

ROWS: dict[str, Row] = {
    "seed": Row(
        "Seed: smaller differences than these mean nothing",
        {"0": _BASE, "1": _noise("seed-1", seed=1), "2": _noise("seed-2", seed=2)},
        NOISE_BPP,
    ),
    "heads": Row(
        "Maps between codes and cores",
        {"own for each iteration": _BASE, "shared by all": replace(_noise("shared-heads"), change=share_heads)},
        NOISE_BPP,
    ),
    "binarizer": Row(
        "Binarizer in training",
        {"sign": _PAPER, "drawn at random": Variant("random", replace(PAPER, stochastic_codes=True))},
        NOISE_BPP,
    ),
    "front-end": Row(
        "Front end, both learning by L1",
        {"block transform, light network": _L1, "pixels, paper's network": _PAPER},
        NOISE_BPP,
    ),
    "cell": Row(
        "Recurrent cell",
        {
            "GRU": _BASE,
            "residual GRU": _noise("residual-gru", model={"cell": "residual_gru"}),
            "LSTM": _noise("lstm", model={"cell": "lstm"}),
            "associative LSTM": _noise("associative-lstm", model={"cell": "associative_lstm"}),
        },
        NOISE_BPP,
    ),
    "framework": Row(
        "Framework, from noise",
        {
            "additive": _BASE,
            "one-shot": _noise("one-shot", model={"framework": "one_shot"}),
            "residual scaling": _noise("residual-scaling", model={"framework": "residual_scaling"}),
        },
        NOISE_BPP,
    ),
    "quantiser": Row(
        "Framework, codes as its quantiser has them",
        {
            "embedded": Variant("embedded", replace(START, model=in_framework(START.model, "embedded"))),
            "residual scaling": _QUANTISER,
            "additive": _start("additive", model={"framework": "additive"}),
        },
        START_BPP,
    ),
    "codes": Row(
        "Codes of residual scaling, from its quantiser",
        {"as the quantiser has them": _QUANTISER, "learning": _LEARNED},
        START_BPP,
    ),
    "rate-weight": Row(
        "Weight of the rate, codes learning",
        {"1": _LEARNED}
        | {f"{weight:g}": _start(f"rate-{weight:g}", train_encoder=True, rate_weight=weight) for weight in (0.25, 4.0)},
        START_BPP,
    ),
    "rate-start": Row(
        "Steps by which the entropy network is ahead of codes that learn",
        {str(START.entropy_only_steps): _LEARNED}
        | {str(n): _start(f"ahead-{n}", train_encoder=True, entropy_only_steps=n) for n in (0, 400)},
        START_BPP,
    ),
    "gradient": Row(
        "Gradient through the iterations",
        {"whole": _BASE, "cut between them": replace(_noise("cut"), iteration=cut)},
        NOISE_BPP,
    ),
    "curriculum": Row(
        "Crops and iterations, as many pixels in each step",
        {
            "crops of 64, 4 iterations": _BASE,
            "crops of 32": _noise("crops-32", crop_px=32, batch=16),
            "crops of 128": _noise("crops-128", crop_px=128, batch=1),
            "crops of 32, then 64, then 128": replace(
                _noise("crops-grow", crop_px=128, batch=1), before=(replace(NOISE, crop_px=32, batch=16), NOISE)
            ),
            "1 iteration, then 2, then 4": replace(
                _noise("iterations-grow"),
                before=tuple(replace(NOISE, model=light("additive", 8, iterations)) for iterations in (1, 2)),
            ),
        },
        NOISE_BPP,
    ),
    "loss": Row(
        "Distortion",
        {
            "log PSNR-HVS + 0.5 log MS-SSIM": _BASE,
            "log PSNR-HVS": _noise("hvs", ms_ssim_share=0.0),
            "log MSE of pixels": replace(_noise("mse", ms_ssim_share=0.0), look=log_mse),
            "L1 of pixels": _L1,
        },
        NOISE_BPP,
    ),
    "width": Row(
        "Channels of every layer",
        {"64": _BASE}
        | {
            str(n): Variant(f"width-{n}", replace(NOISE, model=light("additive", 8, 4, n)), from_noise=True)
            for n in (32, 128)
        },
        NOISE_BPP,
    ),
    "convolutions": Row(
        "Convolutions of the cells",
        {"separable": _BASE, "full": _noise("full", model={"separable": False})},
        NOISE_BPP,
    ),
    "optimiser": Row(
        "Optimiser",
        {
            "AdamW, second moment over 20 steps, 3e-3": _BASE,
            "the same, 1e-3": _noise("rate-1e-3", learning_rate=1e-3),
            "the same, 1e-2": _noise("rate-1e-2", learning_rate=1e-2),
            "second moment over 1000 steps, 3e-3": replace(_noise("slow-second-moment"), optimiser=slow_second_moment),
            "Muon for matrices, 1e-2": _noise("muon", matrix_learning_rate=1e-2),
            "gradient descent with momentum, 0.1": replace(_noise("momentum", learning_rate=0.1), optimiser=momentum),
        },
        NOISE_BPP,
    ),
}
"""By the word that chooses them on the command line."""
