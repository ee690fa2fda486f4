"""The choices of the ablation that take code: changes to a model, to the functions of a step, and to the optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor, nn

from pillow_rnc.models.recurrent.block_network import BlockNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim import Optimizer

    from pillow_rnc.models.network import CodecNetwork
    from pillow_rnc.training.model import TrainableModel
    from pillow_rnc.training.objective import CodecOutput

    Codec = CodecNetwork[Any, Any, Any]
    CodecIteration = Callable[..., CodecOutput[Any, Any]]
    ErrorFunction = Callable[..., tuple[Tensor, Tensor]]

_T = TypeVar("_T")


def share_heads(model: TrainableModel) -> None:
    """Give all iterations the 1x1 maps of the first; the network must be a `BlockNetwork`."""
    network = model.network
    if not isinstance(network, BlockNetwork):
        raise TypeError(type(network).__name__)
    for part in (network.encoder, network.decoder):
        for name, maps in part.named_children():
            if isinstance(maps, nn.ModuleList):
                setattr(part, name, nn.ModuleList([maps[0]] * len(maps)))


def cut(part: CodecIteration) -> CodecIteration:
    """Pass no gradient from an iteration to the ones before it."""

    def iteration(
        network: Codec, target: Tensor, weights: object, state: object, memory: object, **named: object
    ) -> CodecOutput[Any, Any]:
        return part(network, target, weights, _detached(state), _detached(memory), **named)

    return iteration


def _detached(value: _T) -> _T:
    """Return a tensor, or a tuple of such, without its history."""
    if isinstance(value, Tensor):
        return cast("_T", value.detach())
    if isinstance(value, tuple):
        parts = [_detached(part) for part in value]
        return cast("_T", type(value)(*parts) if hasattr(value, "_fields") else tuple(parts))
    return value


def _of_pixels(measure: Callable[[Tensor], Tensor]) -> Callable[[ErrorFunction], ErrorFunction]:
    """Return a wrapper that measures the error of the pixels, [N, 3, H, W], instead of that of the blocks."""

    def wrapped(part: ErrorFunction) -> ErrorFunction:
        def pixel_error(
            network: Codec, state: object, iteration: Tensor, target: Tensor, **named: object
        ) -> tuple[Tensor, Tensor]:
            built, _ = part(network, state, iteration, target, **named)
            return built, measure(network.transform.inverse(built) - network.transform.inverse(target))

        return pixel_error

    return wrapped


l1 = _of_pixels(lambda error: error.abs().mean((1, 2, 3)))
log_mse = _of_pixels(lambda error: 10 * torch.log10(error.square().mean((1, 2, 3)) + 0.5))


def slow_second_moment(groups: list[dict[str, Any]]) -> Optimizer:
    """Return AdamW as torch has it, with a second moment over 1000 steps."""
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), weight_decay=0.0, fused=True)


def momentum(groups: list[dict[str, Any]]) -> Optimizer:
    """Return gradient descent with momentum."""
    return torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=True)
