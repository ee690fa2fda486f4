"""The small random models of family `recurrent` of the vectors, as weights files; used by `generate.py` only.

Four combinations of cell and framework: two in the light network of stride 16, one in that of stride 8, and one in the
paper's network at a sixteenth of its width.
"""

from __future__ import annotations

from vectors.make_weights import Config, Tensors, put_entropy

_FLOAT = "F32"
_LIGHT: Config = {
    "code_channels": 12,
    "code_stride": 16,
    "context_channels": 4,
    "decoder_channels": 4,
    "encoder_channels": 4,
    "entropy_hidden_channels": 5,
    "entropy_state_channels": 4,
    "family": "recurrent",
    "iterations": 3,
    "network": "light",
    "paper_divisor": 1,
    "passes": [[2, 0, 6], [3, 0, 6], [1, 0, 6], [0, 6, 12], [1, 6, 12]],
    "separable": True,
}
RECURRENT_CONFIGS: dict[str, Config] = {
    "light-residual-gru": _LIGHT | {"cell": "residual_gru", "framework": "residual_scaling"},
    "light-associative": _LIGHT | {"cell": "associative_lstm", "framework": "one_shot", "separable": False},
    "block-gru": _LIGHT
    | {
        "cell": "gru",
        "code_channels": 8,
        "code_stride": 8,
        "framework": "residual_scaling",
        "passes": [[0, 0, 8], [1, 0, 8]],
    },
    "paper-lstm": _LIGHT
    | {
        "cell": "lstm",
        "code_channels": 32,
        "framework": "residual_scaling",
        "network": "paper",
        "paper_divisor": 16,
        "passes": [[0, 0, 32], [1, 0, 32]],
    },
}
_OUTPUTS = {  # channels of each part, in halves of n
    "gru": {"input": 6, "hidden": 4},
    "residual_gru": {"input": 6, "hidden": 4, "shortcut_hidden": 2, "shortcut_input": 2},
    "lstm": {"input": 8, "hidden": 8},
    "associative_lstm": {"input": 9, "hidden": 9},
}


def _cell(tensors: Tensors, name: str, kind: str, channels: tuple[int, int], *, separable: bool, hidden: int) -> None:
    """Add a cell of some channels of input and state; `hidden` is the size of kernels over the state."""
    inputs, n = channels
    for part, halves in _OUTPUTS[kind].items():
        width, kernel = (inputs, 3) if part.endswith("input") else (n, hidden)
        outputs = halves * n // 2
        if separable:
            tensors.spread(f"{name}.{part}.spatial.weight", _FLOAT, (width, 1, 3, 3), 0.8)
            tensors.spread(f"{name}.{part}.spatial.bias", _FLOAT, (width,), 0.5)
            kernel = 1
        tensors.spread(f"{name}.{part}.mix.weight", _FLOAT, (outputs, width, kernel, kernel), 2 / kernel)
        if part == "input":
            tensors.spread(f"{name}.{part}.mix.bias", _FLOAT, (outputs,), 1)
    if kind.endswith("gru"):
        kernel = 1 if separable else hidden
        tensors.spread(f"{name}.candidate.weight", _FLOAT, (n, n, kernel, kernel), 2 / kernel)


def _linear(tensors: Tensors, name: str, outputs: int, inputs: int, size: float, *, kernel: int = 1) -> None:
    tensors.spread(f"{name}.weight", _FLOAT, (outputs, inputs, kernel, kernel), size)
    tensors.spread(f"{name}.bias", _FLOAT, (outputs,), size)


def _encoder_cell(config: Config) -> str:
    return "lstm" if config["cell"] == "associative_lstm" else str(config["cell"])


def _light(tensors: Tensors, config: Config) -> None:
    t, k, separable = config["iterations"], config["code_channels"], config["separable"]
    e, d, c = (config[f"{part}_channels"] for part in ("encoder", "decoder", "context"))
    tensors.put("network.log_gain", _FLOAT, (t,), [n / 4 for n in range(t)])
    tensors.put("network.transform.deviation", _FLOAT, (192,), [round(2048 / (1 + n % 64)) / 64 for n in range(192)])
    _linear(tensors, "network.encoder.stem", e, 384, 0.3)
    _linear(tensors, "network.encoder.down", c, 4 * e, 0.5)
    tensors.spread("network.encoder.head", _FLOAT, (t, k, c), 0.5)
    tensors.spread("network.encoder.bias", _FLOAT, (t, k), 0.1)
    tensors.spread("network.encoder.direct", _FLOAT, (t, k, 768), 0.1)
    tensors.spread("network.decoder.input", _FLOAT, (t, c, k), 1)
    tensors.spread("network.decoder.bias", _FLOAT, (t, c), 0.3)
    tensors.spread("network.decoder.direct", _FLOAT, (t, 768, k), 0.5)
    _linear(tensors, "network.decoder.up", 4 * d, c, 0.5)
    tensors.spread("network.decoder.stem.weight", _FLOAT, (d, 192, 1, 1), 0.1)
    _linear(tensors, "network.decoder.output", 192, d, 0.5)
    for side, kind, detail in (("encoder", _encoder_cell(config), e), ("decoder", config["cell"], d)):
        _cell(tensors, f"network.{side}.detail", kind, (detail, detail), separable=separable, hidden=3)
        _cell(tensors, f"network.{side}.context", kind, (c, c), separable=separable, hidden=3)
    if config["framework"] == "residual_scaling":
        _linear(tensors, "network.gain", 1, d, 0.5)


def _block(tensors: Tensors, config: Config) -> None:
    t, k, separable = config["iterations"], config["code_channels"], config["separable"]
    e, d, c = (config[f"{part}_channels"] for part in ("encoder", "decoder", "context"))
    tensors.put("network.log_gain", _FLOAT, (t,), [(n - 8) / 4 for n in range(t)])
    tensors.put("network.masking.exponent", _FLOAT, (), [0.25])
    tensors.put("network.masking.log_floor", _FLOAT, (), [4])
    _linear(tensors, "network.encoder.stem", e, 384, 0.3)
    _cell(tensors, "network.encoder.core", _encoder_cell(config), (e, e), separable=separable, hidden=3)
    for n in range(t):
        tensors.spread(f"network.encoder.heads.{n}.weight", _FLOAT, (k, e, 1, 1), 0.5)
        _linear(tensors, f"network.encoder.direct.{n}", k, 192, 0.2)
        tensors.spread(f"network.encoder.significance.{n}.weight", _FLOAT, (k, 192, 1, 1), 0.2)
        _linear(tensors, f"network.decoder.inputs.{n}", d, k, 1)
        tensors.spread(f"network.decoder.direct.{n}.weight", _FLOAT, (192, k, 1, 1), 0.5)
        tensors.spread(f"network.decoder.refinement.{n}.weight", _FLOAT, (192, k, 1, 1), 0.5)
    _linear(tensors, "network.decoder.down", c, 4 * d, 0.5)
    _cell(tensors, "network.decoder.context", config["cell"], (c, c), separable=separable, hidden=3)
    _linear(tensors, "network.decoder.up", 4 * d, c, 0.5)
    _cell(tensors, "network.decoder.detail", config["cell"], (d, d), separable=separable, hidden=3)
    _linear(tensors, "network.decoder.output", 192, d, 0.5)


def _paper(tensors: Tensors, config: Config) -> None:
    q = config["paper_divisor"]
    _linear(tensors, "network.stem", 64 // q, 3, 0.5, kernel=3)
    for n, (inputs, outputs) in enumerate(((64, 256), (256, 512), (512, 512))):
        channels = inputs // q, outputs // q
        _cell(tensors, f"network.encoder.{n}", _encoder_cell(config), channels, separable=False, hidden=1)
    _linear(tensors, "network.head", 32, 512 // q, 0.3)
    _linear(tensors, "network.root", 512 // q, 32, 0.3)
    for n, (inputs, outputs, hidden) in enumerate(((512, 512, 1), (128, 512, 1), (128, 256, 3), (64, 128, 3))):
        channels = inputs // q, outputs // q
        _cell(tensors, f"network.decoder.{n}", config["cell"], channels, separable=False, hidden=hidden)
    _linear(tensors, "network.output", 3, 32 // q, 1)
    if config["framework"] == "residual_scaling":
        for n, inputs in enumerate((3, 32, 32, 32)):
            _linear(tensors, f"network.gain.layers.{n}", 32, inputs, 0.15, kernel=3)
        _linear(tensors, "network.gain.last", 1, 32, 0.15, kernel=2)


def recurrent_code_weights(seed: int) -> bytes:
    """Return the file of a model without a decoder network; enough to decode codes."""
    tensors, config = Tensors(seed), RECURRENT_CONFIGS["light-residual-gru"]
    put_entropy(tensors, config, accumulators=3)
    return tensors.bytes(config)


def recurrent_weights(name: str, seed: int = 3) -> bytes:
    """Return the file of one of `RECURRENT_CONFIGS`."""
    tensors, config = Tensors(seed), RECURRENT_CONFIGS[name]
    put_entropy(tensors, config, accumulators=3)
    make = _paper if config["network"] == "paper" else _block if config["code_stride"] == 8 else _light
    make(tensors, config)
    return tensors.bytes(config)
