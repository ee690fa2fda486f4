"""The block transform is a lapped DCT of YCbCr with fixed weights, and its inverse undoes it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from pillow_rnc.models.basis import overlap_filter
from pillow_rnc.models.torch_transform import BlockTransform, hvs_weights

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


def overlapped(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a plane with the filter around each border of blocks, first along rows, then along columns."""
    out = plane.copy()
    for border in range(8, out.shape[1], 8):
        out[:, border - 4 : border + 4] = out[:, border - 4 : border + 4] @ overlap_filter().T
    for border in range(8, out.shape[0], 8):
        out[border - 4 : border + 4] = overlap_filter() @ out[border - 4 : border + 4]
    return out


def test_the_overlap_filter_leaves_ramps_behind() -> None:
    """A step between two blocks that its inverse makes is spread over four samples on either side."""
    matrix = overlap_filter()
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(matrix, np.flip(matrix), atol=1e-12, err_msg="left and right are alike")
    half = np.flip(matrix)[:4, :4] - matrix[:4, 4:][:, ::-1]
    np.testing.assert_allclose(np.linalg.det(half), 1.3, rtol=1e-9, err_msg="the one scale of its differences")
    step = np.linalg.inv(matrix) @ np.repeat([0.0, 1.0], 4)

    assert np.all(np.diff(step) > 0)
    assert np.diff(step).max() < 0.4


def test_without_the_overlap_coefficients_are_the_dct_of_each_block(pixels: torch.Tensor) -> None:
    transform = BlockTransform()
    found = transform.blocks(transform(pixels)).numpy()
    planes = np.einsum("ij,jhw->ihw", YCBCR, pixels[1].numpy().astype(np.float64) - 128)

    for plane in range(3):
        expected = dct_8x8(planes[plane, 8:16, 16:24])
        np.testing.assert_allclose(found[1, 64 * plane : 64 * plane + 64, 1, 2].reshape(8, 8), expected, atol=1e-3)


def test_coefficients_are_the_lapped_dct_of_ycbcr(pixels: torch.Tensor) -> None:
    """All but the means, which are told below."""
    transform = BlockTransform()
    found = (transform(pixels) / transform.weight.view(1, -1, 1, 1)).numpy()
    planes = np.einsum("ij,jhw->ihw", YCBCR, pixels[1].numpy().astype(np.float64) - 128)

    for plane in range(3):
        expected = dct_8x8(overlapped(planes[plane])[8:16, 16:24]).reshape(-1)
        np.testing.assert_allclose(found[1, 64 * plane + 1 : 64 * plane + 64, 1, 2], expected[1:], atol=1e-3)


# The CDF 9/7 analysis filters, whose sums are 1 and, with alternating signs, 2: middle and one side.
LOW = (0.602949018236, 0.266864118443, -0.078223266529, -0.016864118443, 0.026748757411)
HIGH = (1.115087052457, -0.591271763114, -0.057543526229, 0.091271763114)


def filtered(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the wavelet transform of a line by convolution, in place, scaled to be nearly orthonormal."""
    if len(line) == 1:
        return line
    padded, out = np.pad(line, 4, mode="reflect"), np.empty_like(line)
    for place in range(len(line)):
        taps = np.sqrt(0.5) * np.array(HIGH) if place % 2 else np.sqrt(2) * np.array(LOW)
        around = padded[place : place + 9]
        sides = around[4:] + around[4::-1]
        out[place] = taps[0] * around[4] + sum(taps[k] * sides[k] for k in range(1, len(taps)))
    return out


@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
@example(1, 1, 0)
@example(2, 5, 0)
def test_means_are_transformed_by_two_levels_of_the_wavelet(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).uniform(0, 255, (3, 8 * height, 8 * width)).astype(np.float32)
    transform = BlockTransform()
    found = (transform(torch.from_numpy(pixels)[None]) / transform.weight.view(1, -1, 1, 1))[0].numpy()
    planes = np.einsum("ij,jhw->ihw", YCBCR, pixels.astype(np.float64) - 128)

    for plane in range(3):
        blocks = overlapped(planes[plane]).reshape(height, 8, width, 8)
        expected = 8 * blocks.mean((1, 3))
        for step in (1, 2):
            grid = expected[::step, ::step]
            grid[...] = np.apply_along_axis(filtered, 0, np.apply_along_axis(filtered, 1, grid))
        np.testing.assert_allclose(found[64 * plane], expected, atol=5e-3)


@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_inverse_undoes_the_transform_at_any_size(height: int, width: int, seed: int) -> None:
    pixels = torch.rand(1, 3, 8 * height, 8 * width, generator=torch.Generator().manual_seed(seed)) * 255
    transform = BlockTransform()

    torch.testing.assert_close(transform.inverse(transform(pixels)), pixels, atol=4e-3, rtol=0)


def test_grey_level_128_is_zero() -> None:
    assert BlockTransform()(torch.full((1, 3, 8, 8), 128.0)).abs().max() < 1e-4


def test_weights_lie_between_plain_error_and_visibility() -> None:
    weight = BlockTransform().weight
    visible = hvs_weights()

    np.testing.assert_allclose(weight[:64].numpy(), visible.numpy() ** 0.75, rtol=1e-6)
    assert visible[0] == pytest.approx(25.735 / 16)
    assert visible[1] == pytest.approx(25.735 / 11), "rows are rising vertical frequency"
