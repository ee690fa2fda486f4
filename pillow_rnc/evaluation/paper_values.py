"""The areas that the paper reports on Kodak, over 0.125 to 2 bpp, before entropy coding.

They are from memory: the tables could not be read again when they were written down, so that single digits may be
wrong. Combinations that are missing here are not remembered, which does not mean that they are not in the paper.

Source: Toderici et al. 2017, tables 1 and 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH_BPP = 1.875
"""Of the range of rates; an area over it is the mean of the metric."""


class Areas(NamedTuple):
    """Areas under the curves of MS-SSIM and of PSNR-HVS."""

    ms_ssim: float
    psnr_hvs: float


HIGH_ENTROPY: Mapping[tuple[str, str], Areas] = {
    ("lstm", "one_shot"): Areas(1.8166, 48.86),
    ("gru", "one_shot"): Areas(1.8139, 53.07),
    ("residual_gru", "one_shot"): Areas(1.8119, 53.19),
    ("residual_gru", "residual_scaling"): Areas(1.8076, 49.61),
    ("lstm", "residual_scaling"): Areas(1.8000, 51.25),
    ("lstm", "additive"): Areas(1.7953, 50.67),
    ("associative_lstm", "one_shot"): Areas(1.7912, 52.09),
}
"""By cell and framework, trained on the high-entropy tiles."""

SMALL: Mapping[tuple[str, str], Areas] = {
    ("gru", "residual_scaling"): Areas(1.8098, 53.15),
    ("lstm", "residual_scaling"): Areas(1.8091, 53.57),
    ("lstm", "one_shot"): Areas(1.8062, 52.57),
    ("lstm", "additive"): Areas(1.8041, 52.22),
    ("residual_gru", "one_shot"): Areas(1.8030, 52.73),
    ("residual_gru", "residual_scaling"): Areas(1.7983, 51.25),
    ("associative_lstm", "one_shot"): Areas(1.7980, 52.33),
    ("gru", "one_shot"): Areas(1.7948, 51.81),
}
"""By cell and framework, trained on 32x32 images."""

JPEG: Mapping[str, Areas] = {"jpeg420": Areas(1.7998, 52.61), "jpeg444": Areas(1.7748, 51.28)}
"""By the name of the peer."""
