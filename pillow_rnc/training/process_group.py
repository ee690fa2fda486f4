"""The processes that train together, started by ``torchrun``; a single process is a group of one."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pillow_rnc.training.model import StepInputs, StepLoss, TrainableModel

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """Which process this is, of how many."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> ProcessGroup:
        """Return the group that ``torchrun`` describes in the environment, once all processes have joined it."""
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls()
        # It keeps the group, as a default argument, for ever if `DistributedDataParallel` imports it later.
        import torch._dynamo  # noqa: F401

        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(distributed.get_rank(), distributed.get_world_size())

    def leave(self) -> None:
        """Leave the group, at the end of training, when nothing holds a model of `distributed` any more.

        The threads of the group end with its last holder; one at work while the interpreter ends would abort it.
        """
        if self.size > 1:
            gc.collect()
            distributed.destroy_process_group()

    @property
    def is_main(self) -> bool:
        """Whether this process writes checkpoints and logs."""
        return self.rank == 0

    def shard(self, batch: int) -> slice:
        """Return which of the crops of a step, ``batch`` for each process, are this one's."""
        return slice(self.rank * batch, (self.rank + 1) * batch)

    def distributed(self, model: TrainableModel) -> Callable[[StepInputs], StepLoss]:
        """Return the model wrapped so that its gradients are means over the group."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, broadcast_buffers=False, gradient_as_bucket_view=True)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of the values of all processes; may work in place."""
        if self.size > 1:
            distributed.all_reduce(values)
            values /= self.size
        return values

    def broadcast(self, value: _T) -> _T:
        """Return the value that the main process holds."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box)
        return box[0]


def device_of(name: str) -> torch.device:
    """Return the device of this process; of several on one machine, each takes the GPU of its local rank."""
    device = torch.device(name)
    if device.type != "cuda":
        return device
    if ":" not in name:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    # The entropy network computes integers in float32; TF32 products would round them. The codec runs in bfloat16.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return device
