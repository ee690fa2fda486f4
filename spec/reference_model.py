"""Whether a weights file is complete: the rules of `reference_weights.py`, and all that its decoder network needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from reference_weights import CHANNELS, ModelError, check_for_codes, check_member, check_tensors, read_description

if TYPE_CHECKING:
    from collections.abc import Sequence

Shapes: TypeAlias = "dict[str, tuple[int, ...]]"  # by the names of tensors

CELLS = ("gru", "residual_gru", "lstm", "associative_lstm")
FRAMEWORKS = ("one_shot", "additive", "residual_scaling")


def check(weights: bytes) -> None:
    """Reject a model that is not complete, or whose configuration or tensors violate a rule.

    Raises:
        ModelError: The message names the member or the tensor.
    """
    description, config, _ = read_description(weights)
    if config.get("family") not in ("embedded", "recurrent"):
        raise ModelError(f"family is {config.get('family')!r}, must be one of ('embedded', 'recurrent')")
    check_for_codes(weights)
    embedded = config["family"] == "embedded"
    check_member(config, "cell", CELLS[:1] if embedded else CELLS)
    check_member(config, "separable", (False, True))
    check_member(config, "decoder_channels", CHANNELS)
    check_member(config, "context_channels", CHANNELS)
    if embedded:
        check_member(config, "code_stride", (8,))
        check_member(config, "decoder_steps", range(1, 17))
        shapes = embedded_shapes(config)
    else:
        check_member(config, "framework", FRAMEWORKS)
        check_member(config, "network", ("light", "paper"))
        check_member(config, "encoder_channels", CHANNELS)
        shapes = recurrent_shapes(config)
    check_tensors(description, {f"network.{name}": ("F32", shape) for name, shape in shapes.items()})


def recurrent_shapes(config: dict[str, Any]) -> Shapes:
    """Return the tensors of a decoder network of family `recurrent`."""
    if config["network"] == "paper":
        check_member(config, "code_stride", (16,))
        check_member(config, "code_channels", (32,))
        check_member(config, "paper_divisor", (1, 2, 4, 8, 16))
        return paper_shapes(config)
    check_member(config, "code_stride", (8, 16))
    check_member(config, "paper_divisor", (1,))
    return light_shapes(config) if config["code_stride"] == 16 else block_shapes(config)


def cell_shapes(
    config: dict[str, Any], name: str, inputs: int, n: int, *, separable: bool | None = None, hidden: int = 3
) -> Shapes:
    """Return the tensors of a cell of n channels; `hidden` is the size of its kernels over the state."""
    separable = config["separable"] if separable is None else separable
    cell, prefix = config["cell"], f"decoder.{name}"
    if cell == "associative_lstm" and n % 2:
        raise ModelError(f"cell is {cell!r}, of {n} channels, must be of an even number")
    outputs = {"input": 3 * n, "hidden": 2 * n}
    if cell == "residual_gru":
        outputs |= {"shortcut_hidden": n, "shortcut_input": n}
    if cell.endswith("lstm"):
        gates = 4 * n if cell == "lstm" else 9 * n // 2
        outputs = {"input": gates, "hidden": gates}
    shapes: Shapes = {f"{prefix}.input.mix.bias": (outputs["input"],)}
    for part, count in outputs.items():
        width, kernel = (inputs, 3) if part.endswith("input") else (n, hidden)
        if separable:
            shapes |= {f"{prefix}.{part}.spatial.weight": (width, 1, 3, 3), f"{prefix}.{part}.spatial.bias": (width,)}
            kernel = 1
        shapes[f"{prefix}.{part}.mix.weight"] = (count, width, kernel, kernel)
    if cell.endswith("gru"):
        kernel = 1 if separable else hidden
        shapes[f"{prefix}.candidate.weight"] = (n, n, kernel, kernel)
    return shapes


def core_shapes(config: dict[str, Any]) -> Shapes:
    """Return the tensors that the networks on blocks have in common."""
    d, e = config["decoder_channels"], config["context_channels"]
    shapes: Shapes = {
        "log_gain": (config["iterations"],),
        "decoder.up.weight": (4 * d, e, 1, 1),
        "decoder.up.bias": (4 * d,),
        "decoder.output.weight": (192, d, 1, 1),
        "decoder.output.bias": (192,),
    }
    return shapes | cell_shapes(config, "context", e, e) | cell_shapes(config, "detail", d, d)


def down_shapes(config: dict[str, Any]) -> Shapes:
    """Return the tensors of the map from blocks to cells of two by two."""
    d, e = config["decoder_channels"], config["context_channels"]
    return {"decoder.down.weight": (e, 4 * d, 1, 1), "decoder.down.bias": (e,)}


MASKING: Shapes = {"masking.exponent": (), "masking.log_floor": ()}


def embedded_shapes(config: dict[str, Any]) -> Shapes:
    """Return the tensors of family `embedded`, without those of its schedule."""
    t, d = config["iterations"], config["decoder_channels"]
    own: Shapes = {
        "decoder.bias": (t, d),
        "decoder.shift": (t, 192),
        "decoder.midpoint_projection.weight": (d, 192, 1, 1),
        "decoder.half_width_projection.weight": (d, 192, 1, 1),
    }
    return own | MASKING | core_shapes(config) | down_shapes(config)


def light_shapes(config: dict[str, Any]) -> Shapes:
    """Return the tensors of the light network of stride 16."""
    names = ("iterations", "code_channels", "decoder_channels", "context_channels")
    t, c, d, e = (config[name] for name in names)
    own: Shapes = {
        "transform.deviation": (192,),
        "decoder.input": (t, e, c),
        "decoder.bias": (t, e),
        "decoder.direct": (t, 768, c),
        "decoder.stem.weight": (d, 192, 1, 1),
    }
    if config["framework"] == "residual_scaling":
        own |= {"gain.weight": (1, d, 1, 1), "gain.bias": (1,)}
    return own | core_shapes(config)


def block_shapes(config: dict[str, Any]) -> Shapes:
    """Return the tensors of the light network of stride 8."""
    c, d = config["code_channels"], config["decoder_channels"]
    own: Shapes = MASKING if config["framework"] == "residual_scaling" else {}
    for t in range(config["iterations"]):
        own = own | {
            f"decoder.inputs.{t}.weight": (d, c, 1, 1),
            f"decoder.inputs.{t}.bias": (d,),
            f"decoder.direct.{t}.weight": (192, c, 1, 1),
            f"decoder.refinement.{t}.weight": (192, c, 1, 1),
        }
    return own | core_shapes(config) | down_shapes(config)


def paper_shapes(config: dict[str, Any]) -> Shapes:
    """Return the tensors of the paper's network."""
    q = config["paper_divisor"]
    shapes: Shapes = {
        "root.weight": (512 // q, 32, 1, 1),
        "root.bias": (512 // q,),
        "output.weight": (3, 32 // q, 1, 1),
        "output.bias": (3,),
    }
    layers: Sequence[tuple[int, int, int]] = ((512, 512, 1), (128, 512, 1), (128, 256, 3), (64, 128, 3))
    for number, (inputs, n, hidden) in enumerate(layers):
        shapes |= cell_shapes(config, str(number), inputs // q, n // q, separable=False, hidden=hidden)
    if config["framework"] == "residual_scaling":
        for number in range(4):
            shapes[f"gain.layers.{number}.weight"] = (32, 32 if number else 3, 3, 3)
            shapes[f"gain.layers.{number}.bias"] = (32,)
        shapes |= {"gain.last.weight": (1, 32, 2, 2), "gain.last.bias": (1,)}
    return shapes
