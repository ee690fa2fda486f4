"""The numbers of the block transform: which cosines, overlap, colours and weights; see `torch_transform`.

All are float64. This module imports no torch, so that both runtimes take them from here.

Source: YCbCr of ITU-T T.871; weights after the luminance table of ITU-T T.81 annex K; lapped transform: Tran, Liang and
Tu, "Lapped transform via time-domain pre- and post-filtering", IEEE Trans. Signal Processing 51 (2003); wavelet of the
means: ITU-T T.800 annex F.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 8
YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
# Quantizer steps of annex K, rows by rising vertical frequency: large steps where errors are hardly visible.
LUMINANCE_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_HVS_SCALE = 25.735  # PSNR-HVS weighs each coefficient by this over the step of annex K
_WEIGHT_EXPONENT = 0.75  # between plain squared error (0) and PSNR-HVS (1), so that fine texture is kept
_CHROMA_WEIGHT = 0.4
WAVELET_LEVELS = 2
# Lifting steps of the Cohen-Daubechies-Feuveau 9/7 wavelet, odd and even samples in turn, and the gain of even samples.
LIFTING = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
LIFTING_GAIN = 1.149604398860241
_OVERLAP_SCALE = 1.3  # of the mean difference across a border: above 1, flat areas are quantized more finely


def _cosines(size: int) -> NDArray[np.float64]:
    """Return the orthonormal DCT-II, [size, size]."""
    k = np.arange(size)
    cosines: NDArray[np.float64] = np.cos(np.pi * (2 * k[None] + 1) * k[:, None] / (2 * size)) * np.sqrt(2 / size)
    cosines[0] /= np.sqrt(2)
    return cosines


def basis() -> NDArray[np.float64]:
    """Return the orthonormal cosines [64 coefficients, 64 pixels] of a block, both in row-major order."""
    cosines = _cosines(BLOCK)
    pairs: NDArray[np.float64] = np.einsum("iu,jv->ijuv", cosines, cosines)
    return pairs.reshape(BLOCK**2, BLOCK**2)


def overlap_filter() -> NDArray[np.float64]:
    """Return the filter [8, 8] of the eight samples around a border of blocks; constants pass it unchanged.

    Sums of samples that mirror each other pass; their differences are transformed there by a DCT-IV, the slowest
    of the results scaled up, and back by a DCT-II.
    """
    half = BLOCK // 2
    k = np.arange(half)
    there = np.cos(np.pi * (2 * k[None] + 1) * (2 * k[:, None] + 1) / (4 * half)) * np.sqrt(2 / half)
    there[0] *= _OVERLAP_SCALE
    unit = np.eye(half)
    mirror, middle = np.fliplr(unit), np.eye(BLOCK)
    middle[half:, half:] = np.flip(_cosines(half).T @ there)
    butterfly = np.block([[unit, mirror], [mirror, -unit]]) / np.sqrt(2)
    out: NDArray[np.float64] = butterfly @ middle @ butterfly
    return out


def hvs_weights() -> NDArray[np.float64]:
    """Return the contrast sensitivity weights of PSNR-HVS, [64], row-major."""
    steps: NDArray[np.float64] = np.array(LUMINANCE_STEPS, dtype=np.float64).reshape(-1)
    return _HVS_SCALE / steps


def coefficient_weights() -> NDArray[np.float64]:
    """Return what each coefficient of luma, Cb and Cr is multiplied by, [192]."""
    luma = hvs_weights() ** _WEIGHT_EXPONENT
    return np.concatenate([luma, _CHROMA_WEIGHT * luma, _CHROMA_WEIGHT * luma])


def transform_constants() -> dict[str, Any]:
    """Return all numbers of the transform, as the native kernel takes them; see `embedded.kernel_network`."""
    return {
        "cosines": _cosines(BLOCK),
        "weights": coefficient_weights(),
        "colours": np.array(YCBCR),
        "overlap": overlap_filter(),
        "lifting": LIFTING,
        "lifting_gain": LIFTING_GAIN,
    }
