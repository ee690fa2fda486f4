"""The block transform is the DCT of YCbCr with fixed weights, and its inverse undoes it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from pillow_rnc.block_transform import BlockTransform, hvs_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def dct_8x8(block: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the orthonormal DCT-II of a block, summed as its definition says."""
    out = np.zeros((8, 8))
    for v in range(8):
        for u in range(8):
            scale = math.sqrt(1 / 8 if v == 0 else 2 / 8) * math.sqrt(1 / 8 if u == 0 else 2 / 8)
            total = 0.0
            for y in range(8):
                for x in range(8):
                    total += (
                        block[y, x]
                        * math.cos((2 * y + 1) * v * math.pi / 16)
                        * math.cos((2 * x + 1) * u * math.pi / 16)
                    )
            out[v, u] = scale * total
    return out


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(5)) * 255


def test_inverse_undoes_the_transform(pixels: torch.Tensor) -> None:
    transform = BlockTransform()

    torch.testing.assert_close(transform.inverse(transform(pixels)), pixels, atol=2e-3, rtol=0)


def test_coefficients_are_the_dct_of_ycbcr(pixels: torch.Tensor) -> None:
    transform = BlockTransform()
    found = (transform(pixels) / transform.weight.view(1, -1, 1, 1)).numpy()
    planes = np.einsum("ij,jhw->ihw", YCBCR, pixels[1].numpy().astype(np.float64) - 128)

    for plane in range(3):
        expected = dct_8x8(planes[plane, 8:16, 16:24])
        np.testing.assert_allclose(found[1, 64 * plane : 64 * plane + 64, 1, 2].reshape(8, 8), expected, atol=1e-3)


def test_grey_level_128_is_zero() -> None:
    assert BlockTransform()(torch.full((1, 3, 8, 8), 128.0)).abs().max() < 1e-4


def test_weights_lie_between_plain_error_and_visibility() -> None:
    weight = BlockTransform().weight
    visible = hvs_weights()

    np.testing.assert_allclose(weight[:64].numpy(), visible.numpy() ** 0.75, rtol=1e-6)
    assert visible[0] == pytest.approx(25.735 / 16)
    assert visible[1] == pytest.approx(25.735 / 11), "rows are rising vertical frequency"
