"""One training step, on any device, without waiting for the device.

Everything that a step decides (whether it was valid, how far the average moves) is decided on the device, so that the
host can run ahead, and so that on CUDA the whole step is one captured graph. The log reads one small tensor, when it
is written.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pillow_rnc.training.model import StepInputs, StepLoss
from pillow_rnc.training.muon import Muon, is_matrix
from pillow_rnc.training.objective import codec_ramp, supervised_iterations

if TYPE_CHECKING:
    from collections.abc import Callable

    from pillow_rnc.training.checkpoint import Checkpoint
    from pillow_rnc.training.model import TrainableModel
    from pillow_rnc.training.process_group import ProcessGroup
    from pillow_rnc.training.recipe import Recipe

_log = logging.getLogger(__name__)
_LEAP_DB = 40.0  # a loss this far above its running mean is taken for divergence and not learned from
_LEVEL_SHARE = 0.05  # of the newest loss in that mean
_DIRECT_PARAMETERS = ("decoder.direct.", "decoder.refinement.")
_WARM_UP_STEPS = 3  # before a graph is captured: allocations and library handles settle


@dataclass(frozen=True, slots=True)
class Speed:
    """How steps are made fast; none of it changes what is computed beyond rounding.

    Attributes:
        autocast: Precision of convolutions and matrix products of the codec; None for float32.
        compiled: Let torch compile the parts of an iteration.
        graph: Replay the whole step as one CUDA graph.
    """

    autocast: torch.dtype | None = None
    compiled: bool = False
    graph: bool = False

    @classmethod
    def of_device(cls, device: torch.device, *, compiled: bool, graph: bool) -> Speed:
        """Return what suits a device."""
        if device.type != "cuda":
            return cls(compiled=compiled)
        return cls(torch.bfloat16, compiled, graph)


class StepReport(NamedTuple):
    """What the log reports of a step, on the host."""

    loss: float
    norm: float
    bad_in_a_row: int
    bpp: list[float]
    hvs_db: list[float]


class Updates(NamedTuple):
    """How many updates were made; the codec begins later."""

    entropy: int
    codec: int


class Stepper:
    """A model, its moving average and its optimizer, stepping.

    Args:
        model: On the device already.
        recipe: The choices of the run.
        device: Where the model is.
        speed: How to run on it.
        processes: Those that train together.
    """

    def __init__(
        self, model: TrainableModel, recipe: Recipe, device: torch.device, speed: Speed, processes: ProcessGroup
    ) -> None:
        self.model, self.recipe, self.speed = model, recipe, speed
        self._device, self._processes = device, processes
        model.autocast = speed.autocast
        if speed.compiled:
            model.compile_parts(lambda part: torch.compile(part, dynamic=False, fullgraph=True))
        self._forward: Callable[[StepInputs], StepLoss] = processes.distributed(model)
        self.average = {name: p.detach().clone() for name, p in model.named_parameters()}
        matrices = {n: p for n, p in model.network.named_parameters() if p.requires_grad and is_matrix(n, p)}
        self._matrix_rate = self._scalar(0.0)
        self._muon = Muon(
            ((f"network.{n}", p) for n, p in matrices.items() if recipe.matrix_learning_rate), self._matrix_rate
        )
        groups: list[list[torch.nn.Parameter]] = [[], [], list(model.entropy.parameters())]
        for name, parameter in model.network.named_parameters():
            if f"network.{name}" not in self._muon.momentum:
                groups[int(name.startswith(_DIRECT_PARAMETERS))].append(parameter)
        self._codec_rates = [(self._scalar(0.0), 1.0), (self._scalar(0.0), recipe.direct_learning_rate_factor)]
        self._entropy_rate = self._scalar(0.0)
        rates = [rate for rate, _ in self._codec_rates] + [self._entropy_rate]
        parts = [{"params": group, "lr": rate} for group, rate in zip(groups, rates, strict=True)]
        self._invalid = self._scalar(0.0)
        self.set_optimizer(
            torch.optim.AdamW(parts, betas=(0.9, 0.95), weight_decay=0.0, fused=True, capturable=device.type == "cuda")
        )
        self._drift = self._scalar(0.0)
        self._level, self._bad = self._scalar(float("nan")), self._scalar(0.0)
        self._pixels: Tensor | None = None
        self._supervised: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._results = torch.empty(0)
        self._steps_here = 0
        self._codec_waits = False

    def _scalar(self, value: float) -> Tensor:
        return torch.tensor(value, dtype=torch.float32, device=self._device)

    def set_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Use a fused optimizer from the next step on."""
        self.optimizer = optimizer
        # The protocol of gradient scalers: a fused optimizer leaves everything as it was where this is 1.
        optimizer.found_inf = self._invalid  # type: ignore[attr-defined]

    def step(self, pixels: Tensor, step: int, learning_rate: float) -> None:
        """Learn from one batch; ``report`` returns the outcome.

        Args:
            pixels: float32 [N, 3, H, W] in 0..255, on the device.
            step: Which step of the run, from 0; determines what is supervised and how fast the codec learns.
            learning_rate: Of this step.
        """
        ramp = codec_ramp(self.recipe, step)
        for rate, factor in self._codec_rates:
            rate.fill_(learning_rate * factor * ramp)
        self._matrix_rate.fill_(learning_rate / self.recipe.learning_rate * self.recipe.matrix_learning_rate * ramp)
        self._entropy_rate.fill_(learning_rate * self.recipe.entropy_learning_rate_factor)
        if ramp and not codec_ramp(self.recipe, step - 1):  # from here on the loss includes distortion
            self._level.fill_(float("nan"))
        if (ramp == 0) != self._codec_waits:
            self._codec_waits = ramp == 0
            # In a group, all processes must see gradients of all parameters, so there they are dropped afterwards.
            self.model.codec_learns = not self._codec_waits or self._processes.size > 1
            self._reset_graph()
        self._drift.fill_(1 - min(self.recipe.average, (1 + step) / (10 + step)))
        supervised = supervised_iterations(self.recipe, step)
        if not self.speed.graph:
            self._step_with_fallback(StepInputs(pixels, supervised))
        else:
            self._step_as_graph(pixels, torch.tensor(supervised))
        self._steps_here += 1

    def _reset_graph(self) -> None:
        """Discard the graph: it holds moments that were replaced, or lacks some that the next step makes."""
        self._graph = None
        self._steps_here = min(self._steps_here, 1)

    def _step_with_fallback(self, inputs: StepInputs) -> None:
        try:
            self._results = self._compute(inputs)
        except (RuntimeError, OSError) as error:
            if not self.speed.compiled:
                raise
            # Not only in the first step: the reconstruction is compiled when the codec begins to learn.
            _log.warning("compilation failed, continuing without it: %s", error)
            self.speed = replace(self.speed, compiled=False)
            self.model.compile_parts(lambda part: part)
            self._results = self._compute(inputs)

    def _step_as_graph(self, pixels: Tensor, supervised: Tensor) -> None:
        if self._pixels is None or self._supervised is None:
            self._pixels, self._supervised = pixels.clone(), supervised.to(self._device)
        self._pixels.copy_(pixels)
        self._supervised.copy_(supervised.pin_memory(), non_blocking=True)
        inputs = StepInputs(self._pixels, self._supervised)
        if self._graph is None and self._steps_here >= _WARM_UP_STEPS:
            self._capture(inputs)
        if self._graph is not None:
            self._graph.replay()
            return
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._step_with_fallback(inputs)
        torch.cuda.current_stream().wait_stream(side)

    def _capture(self, inputs: StepInputs) -> None:
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._results = self._compute(inputs)
        except RuntimeError as error:
            _log.warning("the step cannot be captured as a graph, going on without: %s", error)
            self.speed = replace(self.speed, graph=False)
            torch.cuda.set_stream(torch.cuda.default_stream())  # a capture that failed leaves its own in place
            self._step_with_fallback(inputs)
            return
        self._graph = graph

    def _compute(self, inputs: StepInputs) -> Tensor:
        """Do a step with device work alone; return float32 [3 + 2 iterations] for the log."""
        self.model.zero_grad(set_to_none=True)
        out = self._forward(inputs)
        out.loss.backward()  # type: ignore[no-untyped-call]
        if self._codec_waits:
            self.model.network.zero_grad(set_to_none=True)
        with torch.no_grad():
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
            loss = self._processes.mean(out.loss.detach())
            limit = torch.nan_to_num(self._level, nan=torch.inf) + _LEAP_DB
            valid = torch.isfinite(norm) & torch.isfinite(loss) & (loss < limit)
            self._invalid.copy_(~valid)
            self._bad.copy_((self._bad + 1) * self._invalid)
            level = torch.where(torch.isnan(self._level), loss, torch.lerp(self._level, loss, _LEVEL_SHARE))
            self._level.copy_(torch.where(valid, level, self._level))
            self.optimizer.step()
            self._muon.step(self._invalid)
            parameters = [p.detach() for p in self.model.parameters()]
            moves = torch._foreach_sub(parameters, list(self.average.values()))  # noqa: SLF001
            torch._foreach_mul_(moves, self._drift)
            torch._foreach_add_(list(self.average.values()), moves)
            return torch.cat([torch.stack([loss, norm, self._bad]), out.bpp, out.hvs_db])

    def report(self) -> StepReport:
        """Return the outcome of the last step; waits for the device."""
        loss, norm, bad, *rest = self._processes.mean(self._results.clone()).tolist()
        return StepReport(loss, norm, round(bad), rest[: len(rest) // 2], rest[len(rest) // 2 :])

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def moments(self) -> tuple[dict[str, Tensor], dict[str, Tensor], Updates]:
        """Return the moments of the optimizers by parameter name, and how many updates were made.

        Matrices that Muon updates have the first moment alone.
        """
        states = {n: self.optimizer.state[p] for n, p in self.model.named_parameters() if p in self.optimizer.state}
        updates = Updates(
            *(
                max((int(s["step"]) for n, s in states.items() if n.startswith(part)), default=0)
                for part in ("entropy.", "network.")
            )
        )
        first, second = ({n: s[key] for n, s in states.items()} for key in ("exp_avg", "exp_avg_sq"))
        return first | self._muon.momentum, second, updates

    @property
    def level(self) -> float | None:
        """The running mean of the loss; None before the first step."""
        level = float(self._level)
        return None if level != level else level  # noqa: PLR0124 -- NaN

    @torch.no_grad()
    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the parameters, their average, the moments and the running mean of a checkpoint.

        Raises:
            ValueError: The checkpoint is of a model of other shapes.
        """
        shapes = {name: tensor.shape for name, tensor in checkpoint.model.items()}
        own = {name: p.shape for name, p in self.model.named_parameters()}
        if shapes != own:
            wrong = sorted(n for n in shapes.keys() | own.keys() if shapes.get(n) != own.get(n))
            msg = f"the checkpoint is of another model: {len(wrong)} parameters differ, such as {wrong[0]}"
            raise ValueError(msg)
        updates = checkpoint.state["updates"]
        codec_updates = checkpoint.state.get(
            "codec_updates", updates
        )  # older checkpoints: the codec learned from the start
        self.optimizer.state.clear()
        for name, parameter in self.model.named_parameters():
            parameter.copy_(checkpoint.model[name])
            self.average[name].copy_(checkpoint.average[name])
            if name in self._muon.momentum:
                self._muon.momentum[name].copy_(checkpoint.moment1[name])
            elif name in checkpoint.moment1:
                self.optimizer.state[parameter] = {
                    "step": self._scalar(float(codec_updates if name.startswith("network.") else updates)),
                    "exp_avg": torch.empty_like(parameter).copy_(checkpoint.moment1[name]),
                    "exp_avg_sq": torch.empty_like(parameter).copy_(checkpoint.moment2[name]),
                }
        level = checkpoint.state.get("level")
        self._level.fill_(float("nan") if level is None else level)
        self._bad.zero_()
        self._reset_graph()
