"""The paper's network as it learns: L1 over all iterations, codes drawn at random.

It has nothing in common with the light networks: it starts from noise, sees pixels, and has no direct paths. Its
entropy network is trained afterwards, on the codes of larger images, by `light_entropy`, and the published entropy
coder by `coder_training`.

Source: Toderici et al. 2017, sections 3 and 5; the binarizer: Toderici et al. 2016, section 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from pillow_rnc.models.basis import BLOCK
from pillow_rnc.models.config import RecurrentConfig
from pillow_rnc.models.recurrent.paper_network import CODE_CHANNELS, CODE_STRIDE, PaperNetwork
from pillow_rnc.models.torch_transform import BlockTransform
from pillow_rnc.training.losses import PEAK_DB, hvs_db, ms_ssim, visible_weights
from pillow_rnc.training.model import CurvePoint, StepInputs, StepLoss, TrainableModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pillow_rnc.models.recurrent.paper_network import Memories
    from pillow_rnc.training.checkpoint import Checkpoint
    from pillow_rnc.training.recipe import Recipe

PATCH_PX = 32
"""Both sides of an image must be multiples of this."""


class PaperCoded(NamedTuple):
    """One iteration: bits +-1 [N, 32, H / 16, W / 16] and the reconstruction [N, 3, H, W], in -0.5..0.5."""

    bits: Tensor
    reconstruction: Tensor


class StochasticBinarizer(nn.Module):
    """z in -1..1 to bits +-1: in training +1 with probability (1 + z) / 2, else the sign, sign(0) = +1.

    The expected bit is z, so the gradient passes unchanged.
    """

    def forward(self, z: Tensor) -> Tensor:
        threshold = 2 * torch.rand_like(z) - 1 if self.training else torch.zeros_like(z)
        bits = torch.where(z >= threshold, 1.0, -1.0).to(z.dtype)
        return z + (bits - z).detach()


@torch.no_grad()
def _initialise(network: nn.Module) -> None:
    """Draw weights as the authors' published code does: they keep the size of what passes, smaller ones lose it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=module.weight[0].numel() ** -0.5)


class PaperModel(TrainableModel):
    """The paper's network; calling it gives the loss of a batch."""

    network: PaperNetwork
    visible: Tensor
    draws_codes = True

    def __init__(self, recipe: Recipe, network: PaperNetwork) -> None:
        super().__init__(recipe, network)
        if recipe.stochastic_codes:
            self.network.binarizer = StochasticBinarizer()
        _initialise(self.network)
        self.entropy = nn.Identity()  # nothing here to train
        self.transform = BlockTransform()  # for the validation alone
        self.register_buffer("visible", visible_weights(), persistent=False)

    def coded(self, pixels: Tensor) -> Iterator[PaperCoded]:
        """Yield the iterations of images [N, 3, H, W] in 0..255; both sides are multiples of 32."""
        target = self.network.transform(pixels)
        n, _, height, width = pixels.shape
        state = self.network.initial_state(n, height // BLOCK, width // BLOCK)
        memory: Memories | None = None
        for _ in range(self.network.config.iterations):
            a, memory = self.network.encode_step(target, None, state, memory)
            bits: Tensor = self.network.binarizer(a)
            state = self.network.decode_step(bits, None, state)
            yield PaperCoded(bits, state.reconstruction)

    def forward(self, inputs: StepInputs) -> StepLoss:
        pixels, target = inputs.pixels, self.network.transform(inputs.pixels)
        loss, errors = torch.zeros((), device=pixels.device), []
        with torch.autocast(
            pixels.device.type, dtype=self.autocast or torch.bfloat16, enabled=self.autocast is not None
        ):
            for one in self.coded(pixels):
                residual = (target - one.reconstruction).float()
                loss = loss + residual.abs().mean()
                errors.append(10 * torch.log10((255 * residual.detach()).square().mean() + 1e-3))
        bpp = nominal_bpp(1) * torch.arange(1.0, len(errors) + 1, device=pixels.device)
        return StepLoss(loss / len(errors), bpp, torch.stack(errors))

    @torch.no_grad()
    def curve(self, pixels: Tensor) -> list[CurvePoint]:
        """Return the curve over images of one size.

        bpp counts the bits before entropy coding, as the paper does where it chooses among checkpoints.

        Args:
            pixels: float32 [N, 3, H, W] in 0..255, H and W multiples of 32.
        """
        self.eval()
        target, points = self.transform(pixels), []
        for t, one in enumerate(self.coded(pixels)):
            image = self.network.transform.inverse(one.reconstruction).clamp(0, 255).round()
            error = hvs_db(self.transform.blocks(self.transform(image) - target), self.visible)
            psnr_hvs = PEAK_DB - float(error.mean())
            points.append((nominal_bpp(t + 1), psnr_hvs, float(ms_ssim(image, pixels).mean())))
        return points

    def tensors(self) -> NoReturn:
        """Refuse: entropy network and weights file are made by other commands.

        Raises:
            ValueError: Always.
        """
        msg = (
            "the paper's network has no entropy network in this run: train one by "
            "python -m pillow_rnc.training.recurrent.light_entropy, and write both by light_export"
        )
        raise ValueError(msg)


def nominal_bpp(iterations: int) -> float:
    """Return the bits per pixel of a number of iterations before entropy coding: 1/8 each."""
    return iterations * CODE_CHANNELS / CODE_STRIDE**2


def paper_config(recipe: Recipe) -> RecurrentConfig:
    """Return the configuration of a recipe for the paper's network.

    Raises:
        ValueError: The recipe is for another network.
    """
    match recipe.model:
        case RecurrentConfig(network="paper") as config:
            return config
    msg = f"recipe {recipe.name!r}: the network is not the paper's"
    raise ValueError(msg)


def trained_model(recipe: Recipe, checkpoint: Checkpoint) -> PaperModel:
    """Return the averaged network of a checkpoint, ready to code images."""
    model = PaperModel(recipe, PaperNetwork(paper_config(recipe)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(checkpoint.average[name])
    return model.eval()
