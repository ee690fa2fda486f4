"""The rows of the ablation: each a choice of the recipe, and what else could have been chosen.

Two recipes are varied. In ``NOISE`` the whole codec learns from noise, with 8 bits for each 8x8 block and iteration;
rates are those plain bits, which is how the paper compares networks. In ``START`` it begins as the quantizer that
`training.recurrent.start` finds, and learns for rate and distortion together; rates are those of its entropy network.
The embedded family does not learn its codes: most choices can only be compared in the recurrent one.

A rejected choice has no switch in the codec. Where it takes code, that code is in `ablation_changes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pillow_rnc.models.config import RecurrentConfig, lattice_passes
from pillow_rnc.training.recipe import Recipe, as_embedded
from research.ablation_changes import cut, l1, log_mse, momentum, share_heads, slow_second_moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer

    from pillow_rnc.models.config import Framework
    from pillow_rnc.training.model import TrainableModel
    from research.ablation_changes import CodecIteration, ErrorFunction


@dataclass(frozen=True, slots=True)
class Variant:
    """One choice of a row.

    Attributes:
        name: Of its file; the same variant may be in several rows.
        recipe: What is trained.
        from_noise: Start from random parameters.
        before: Recipes that are trained before it, each for an equal share of the time.
        change: Modifies a new model.
        iteration: Wraps the function that codes an iteration in training.
        error: Wraps the function that measures the error of reconstructions.
        optimizer: Makes another optimizer of the parameter groups.
    """

    name: str
    recipe: Recipe
    from_noise: bool = False
    before: tuple[Recipe, ...] = ()
    change: Callable[[TrainableModel], None] = lambda _: None
    iteration: Callable[[CodecIteration], CodecIteration] = lambda part: part
    error: Callable[[ErrorFunction], ErrorFunction] = lambda part: part
    optimizer: Callable[[list[dict[str, Any]]], Optimizer] | None = None


class Row(NamedTuple):
    """A comparison.

    Attributes:
        choice: What is chosen.
        variants: What there is to choose from, by its name in the table; that of the base recipe first.
        bpp: The rates that curves are averaged over.
    """

    choice: str
    variants: dict[str, Variant]
    bpp: tuple[float, float]


def light(framework: Framework, channels: int, iterations: int, width: int = 64) -> RecurrentConfig:
    """Return a small model of the light network on 8x8 blocks."""
    return RecurrentConfig(
        framework=framework,
        iterations=iterations,
        code_channels=channels,
        code_stride=8,
        encoder_channels=width,
        decoder_channels=width,
        context_channels=width,
        passes=lattice_passes(channels, groups=2),
    )


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
    entropy_only_steps=-1, codec_ramp_steps=0, train_encoder=True, stochastic_codes=False,
    model=RecurrentConfig(framework="additive", iterations=4, network="paper", paper_divisor=8),
)  # fmt: skip


def _varied(base: Recipe, model: dict[str, Any] | None, recipe: dict[str, Any]) -> Recipe:
    changed = replace(base, **recipe)
    return replace(changed, model=replace(changed.model, **(model or {})))


def _noise(name: str, *, model: dict[str, Any] | None = None, **recipe: Any) -> Variant:  # noqa: ANN401 -- fields
    return Variant(name, _varied(NOISE, model, recipe), from_noise=True)


def _start(name: str, *, model: dict[str, Any] | None = None, **recipe: Any) -> Variant:  # noqa: ANN401 -- fields
    return Variant(name, _varied(START, model, recipe))


# --- the rows --------------------------------------------------------------------------------------------------------

_BASE = _noise("base")
_L1 = replace(_noise("l1", ms_ssim_share=0.0), error=l1)
_PAPER = Variant("paper", PAPER)
_QUANTIZER = _start("quantizer")
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
    "quantizer": Row(
        "Codec, codes as its quantizer has them",
        {
            "embedded": Variant("embedded", replace(START, model=as_embedded(START.model))),
            "residual scaling": _QUANTIZER,
            "additive": _start("additive", model={"framework": "additive"}),
        },
        START_BPP,
    ),
    "codes": Row(
        "Codes of residual scaling, from its quantizer",
        {"as the quantizer has them": _QUANTIZER, "learning": _LEARNED},
        START_BPP,
    ),
    "rate-weight": Row(
        "Weight of the rate, codes learning",
        {"1": _LEARNED}
        | {f"{weight:g}": _start(f"rate-{weight:g}", train_encoder=True, rate_weight=weight) for weight in (0.25, 4.0)},
        START_BPP,
    ),
    "rate-start": Row(
        "Steps of the entropy network before the codes learn",
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
            "log MSE of pixels": replace(_noise("mse", ms_ssim_share=0.0), error=log_mse),
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
    "optimizer": Row(
        "Optimizer",
        {
            "AdamW, second moment over 20 steps, 3e-3": _BASE,
            "the same, 1e-3": _noise("rate-1e-3", learning_rate=1e-3),
            "the same, 1e-2": _noise("rate-1e-2", learning_rate=1e-2),
            "second moment over 1000 steps, 3e-3": replace(_noise("slow-second-moment"), optimizer=slow_second_moment),
            "Muon for matrices, 1e-2": _noise("muon", matrix_learning_rate=1e-2),
            "gradient descent with momentum, 0.1": replace(_noise("momentum", learning_rate=0.1), optimizer=momentum),
        },
        NOISE_BPP,
    ),
}
"""By their name on the command line."""
