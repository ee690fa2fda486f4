"""The reference decoders name what is wrong with a model, whatever of it is."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import reference_decoder
import reference_model
import reference_network
from changed_models import VECTORS, changed
from reference_weights import ModelError
from safetensors.numpy import save
from tiny_codec import recurrent

from pillow_rnc.models.config import CellName, Framework, lattice_passes
from pillow_rnc.models.families import make_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.models.config import RecurrentConfig

    Tensors = dict[str, NDArray[Any]]

NAMES = ["complete", "light-associative", "light-residual-gru", "block-gru", "paper-lstm"]


@pytest.mark.parametrize("name", NAMES)
def test_the_models_of_the_vectors_are_accepted(name: str) -> None:
    reference_model.check((VECTORS / f"{name}.safetensors").read_bytes())


@pytest.mark.parametrize("framework", ["one_shot", "additive", "residual_scaling"])
@pytest.mark.parametrize("cell", reference_model.CELLS)
@pytest.mark.parametrize("kind", ["stride 16", "stride 8", "paper"])
def test_the_tables_are_those_of_the_package(kind: str, cell: CellName, framework: Framework) -> None:
    import torch

    changes: dict[str, Any] = {"code_stride": 8 if kind == "stride 8" else 16}
    if kind == "paper":
        changes |= {"network": "paper", "paper_divisor": 16, "code_channels": 32, "passes": lattice_passes(32)}
    config: RecurrentConfig = recurrent(framework, cell=cell, iterations=2, **changes)
    with torch.device("meta"):
        found = {name: tuple(tensor.shape) for name, tensor in make_network(config).state_dict().items()}
    encoder = ("encoder.", "stem.", "head.") if kind == "paper" else ("encoder.",)
    assert reference_model.recurrent_shapes(config.as_dict()) == {
        name: shape for name, shape in found.items() if not name.startswith(encoder)
    }


@pytest.mark.parametrize(
    ("name", "member", "value", "allowed"),
    [
        ("light-associative", "cell", "mamba", "must be one of"),
        ("complete", "cell", "lstm", "must be one of"),
        ("light-associative", "framework", "diffusion", "must be one of"),
        ("light-associative", "family", "quantized", "must be one of"),
        ("block-gru", "code_channels", 256, "must be 1 to 255"),
        ("paper-lstm", "network", "wide", "must be one of"),
        ("paper-lstm", "paper_divisor", 3, "must be one of"),
        ("paper-lstm", "code_stride", 8, "must be one of"),
        ("block-gru", "paper_divisor", 2, "must be one of"),
        ("complete", "code_stride", 16, "must be one of"),
        ("complete", "decoder_steps", 17, "must be 1 to 16"),
        ("complete", "separable", 1, "must be one of"),
        ("light-residual-gru", "decoder_channels", 0, "must be 1 to 4096"),
        ("light-residual-gru", "encoder_channels", 4097, "must be 1 to 4096"),
        ("light-residual-gru", "iterations", 33, "must be 1 to 32"),
        ("light-residual-gru", "iterations", 2.0, "must be 1 to 32"),
        ("light-residual-gru", "iterations", True, "must be 1 to 32"),
    ],
)
def test_a_member_that_is_unknown_or_out_of_range_is_named(name: str, member: str, value: object, allowed: str) -> None:
    with pytest.raises(ModelError, match=f"^{member} is {value!r}, {allowed}"):
        reference_model.check(changed(name, {member: value}))


def test_an_associative_memory_needs_an_even_number_of_channels() -> None:
    with pytest.raises(ModelError, match="cell is 'associative_lstm', of 5 channels, must be of an even number"):
        reference_model.check(changed("light-associative", {"context_channels": 5}))


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("complete", "decoder.midpoint_projection.weight"),
        ("complete", "masking.exponent"),
        ("light-associative", "decoder.context.hidden.mix.weight"),
        ("light-residual-gru", "gain.weight"),
        ("light-residual-gru", "decoder.detail.shortcut_input.spatial.bias"),
        ("block-gru", "decoder.refinement.2.weight"),
        ("block-gru", "masking.log_floor"),
        ("paper-lstm", "decoder.3.input.mix.weight"),
        ("paper-lstm", "gain.layers.0.weight"),
    ],
)
def test_a_tensor_of_the_decoder_that_is_missing_or_of_another_shape_or_type_is_named(name: str, tensor: str) -> None:
    tensor = f"network.{tensor}"
    with pytest.raises(ModelError, match=f"^tensor {tensor} is missing"):
        reference_model.check(changed(name, change=lambda tensors: tensors.pop(tensor)))
    other = {tensor: np.zeros((3, 1), np.float32)}
    with pytest.raises(ModelError, match=rf"^tensor {tensor} is F32 of shape \[3, 1\], must be F32 of "):
        reference_model.check(changed(name, change=lambda tensors: tensors.update(other)))
    with pytest.raises(ModelError, match=f"^tensor {tensor} is I32 of shape "):
        reference_model.check(
            changed(name, change=lambda tensors: tensors.update({tensor: tensors[tensor].astype(np.int32)}))
        )


@pytest.mark.parametrize("name", ["complete", "light-associative"])
@pytest.mark.parametrize("tensor", ["state.weight", "context.weight", "accumulator.weight", "output.bias"])
def test_a_tensor_of_the_entropy_network_that_does_not_fit_is_named(name: str, tensor: str) -> None:
    tensor = f"entropy.{tensor}"
    with pytest.raises(ModelError, match=f"^tensor {tensor} is missing"):
        reference_decoder.read_weights(changed(name, change=lambda tensors: tensors.pop(tensor)))
    with pytest.raises(ModelError, match=rf"^tensor {tensor} is I\d+ of shape \[2\], must be I\d+ of "):
        reference_decoder.read_weights(
            changed(name, change=lambda tensors: tensors.update({tensor: tensors[tensor].ravel()[:2].copy()}))
        )


@pytest.mark.parametrize(
    "passes", ["none", [], 3, {"a": 1}, [[0, 0]], [[0, 0, 6], [1, 0, 5]], [[4, 0, 6]], [[0, 20, 26]]]
)
def test_passes_that_do_not_fit_are_named(passes: object) -> None:
    with pytest.raises(ModelError, match=r"^passes is "):
        reference_decoder.read_weights(changed("light-associative", {"passes": passes}))


@pytest.mark.parametrize("name", ["complete", "light-associative"])
def test_pairs_belong_to_one_family(name: str) -> None:
    data = changed(name, change=lambda tensors: tensors.pop("network.quantizer.level", None))
    if name == "complete":
        with pytest.raises(ModelError, match=r"^tensor network\.quantizer\.level is missing"):
            reference_decoder.read_weights(data)
    else:
        assert reference_decoder.read_weights(data)[1]["family"] == "recurrent"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{}",
        changed("complete")[:-1],
        changed("complete").replace(b'"I16"', b'"I17"'),
        changed("complete").replace(b'"I16"', b'"I8" '),
    ],
    ids=["empty", "short", "list", "no metadata", "cut", "unknown type", "too many bytes"],
)
def test_a_description_that_is_none_is_named(data: bytes) -> None:
    with pytest.raises(ModelError, match=r"^description of the tensors: "):
        reference_decoder.read_weights(data)


def test_a_configuration_that_is_no_object_is_named() -> None:
    data = save({"x": np.zeros(1, np.float32)}, metadata={"config": "[]"})
    with pytest.raises(ModelError, match="the configuration is no object"):
        reference_decoder.read_weights(data)


def test_decoding_says_so_too() -> None:
    weights = changed("light-associative", {"cell": "mamba"})
    file = (VECTORS / "valid" / "light-associative-one.rnc").read_bytes()
    with pytest.raises(ModelError, match="cell is 'mamba'"):
        reference_network.samples(weights, file)
    assert hashlib.sha256(weights).digest()[:8] not in file
