"""Images decoded at a reduced size are the whole image scaled down, and read no more than they need."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from tiny_codec import recurrent, register_random_codec

import pillow_rnc
from pillow_rnc import RncOptionError
from pillow_rnc.entropy.kernel import library
from pillow_rnc.models import weights
from pillow_rnc.models.embedded.kernel_network import KernelTiles
from pillow_rnc.models.reduction import IntervalTiles, reduced_runtime
from pillow_rnc.models.runtime import network_weights
from pillow_rnc.plugin.decoding import decode_samples
from pillow_rnc.plugin.reduction import common_factor

if TYPE_CHECKING:
    from pathlib import Path

    from pillow_rnc.container.records import RncFile
    from pillow_rnc.plugin.options import LoadOptions

SIZE = (203, 150)
LEAST_PSNR = {2: 50, 4: 48, 8: 48}
"""dB, of all iterations of a smooth image."""


def picture(mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(4).normal(128, 60, SIZE[::-1]).clip(0, 255).astype(np.uint8)
    noise = Image.fromarray(values).filter(ImageFilter.GaussianBlur(3))
    ramp = Image.linear_gradient("L").resize(SIZE)
    return Image.merge("RGBA", (noise, ramp, noise.transpose(Image.Transpose.ROTATE_180), ramp)).convert(mode)


def stored(mode: str = "RGB", **options: Any) -> bytes:  # noqa: ANN401
    fp = io.BytesIO()
    picture(mode).save(fp, "RNC", **({"iterations": 8, "tile_size": 64, "overlap": 16} | options))
    return fp.getvalue()


def psnr(one: Image.Image, other: Image.Image) -> float:
    assert one.size == other.size
    error = np.mean((np.asarray(one, float) - np.asarray(other, float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize("kernel", ["", "0"])
@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA"])
def test_it_is_the_whole_image_scaled_down(
    mode: str, reduction: int, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(library.VARIABLE, kernel)
    data = stored(mode)
    whole = pillow_rnc.open(io.BytesIO(data)).reduce(1)
    small = pillow_rnc.open(io.BytesIO(data), scale=1 / reduction, iterations=8)

    assert small.mode == mode
    bands = [band.reduce(reduction) for band in whole.split()]  # colours are not weighed by alpha
    assert psnr(small, Image.merge(mode, bands)) > LEAST_PSNR[reduction]
    again = Image.open(io.BytesIO(data))
    reduced = again.reduce(reduction)
    assert reduced.size == small.size
    assert again.size == SIZE
    again.load()
    assert again.tobytes() == whole.tobytes()


@pytest.mark.parametrize("device", ["cpu", pytest.param("cpu:0", marks=pytest.mark.torch)])
@pytest.mark.parametrize("reduction", [2, 4])
def test_a_region_is_that_part_of_it(reduction: int, device: str) -> None:
    data = stored()
    part = pillow_rnc.open(io.BytesIO(data), region=(40, 8, 203, 133), scale=1 / reduction, device=device)
    whole = pillow_rnc.open(io.BytesIO(data), scale=1 / reduction)

    box = (40 // reduction, 8 // reduction, -(-203 // reduction), -(-133 // reduction))
    assert psnr(part, whole.crop(box)) > 45


def test_a_device_is_not_looked_at_where_no_network_is_needed() -> None:
    model = weights.load("auto")
    reduced_runtime(model, "abacus", 0, 8)
    with pytest.raises(RncOptionError, match="abacus"):
        reduced_runtime(model, "abacus", 0, 2)


def test_samples_are_sums_over_the_coefficients() -> None:
    """Without a network, a reconstruction at 1/4 has the means of the one at 1/2, up to the borders of the image."""
    model = weights.load(weights.DEFAULT)
    planes = np.random.default_rng(1).integers(0, 2, (1, model.config.code_channels, 4, 6), np.uint8)
    found = {}
    for reduction in (1, 2, 8):
        tiles = IntervalTiles(network_weights(model, model.config), reduction, 1, 32, 48)  # type: ignore[arg-type]
        tiles.decode(planes)
        found[reduction] = tiles.pixels()[0]
    for reduction in (2, 8):
        rows, columns = 32 // reduction, 48 // reduction
        means = found[1].reshape(rows, reduction, columns, reduction, 3).mean((1, 3))
        np.testing.assert_allclose(found[reduction], means, atol=0.01)


@pytest.mark.skipif(not library.supported(), reason="the kernel was not built")
@pytest.mark.parametrize("name", library.supported())
@pytest.mark.parametrize("reduction", [4, 8])
def test_the_kernel_makes_the_samples_of_numpy(name: str, reduction: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, found = weights.load(weights.DEFAULT), []
    planes = np.random.default_rng(2).integers(0, 2, (5, 2, model.config.code_channels, 6, 10), np.uint8)
    for path in ("0", name):
        monkeypatch.setenv(library.VARIABLE, path)
        tiles = reduced_runtime(model, "cpu", 1, reduction)(2, 48, 80)
        np.testing.assert_allclose(tiles.pixels(), 128)  # nothing is known yet
        images = []
        for codes in planes:
            tiles.decode(codes)
            images.append(tiles.pixels())
        found.append(np.stack(images))

    assert found[0].shape == (5, 2, 48 // reduction, 80 // reduction, 3)
    np.testing.assert_allclose(found[0], found[1], atol=0.01)


@pytest.mark.skipif(not library.supported(), reason="the kernel was not built")
def test_a_reduced_image_in_between_leaves_the_network_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(library.VARIABLE, raising=False)
    model = weights.load(weights.DEFAULT)
    planes = np.random.default_rng(3).integers(0, 2, (3, 1, model.config.code_channels, 4, 6), np.uint8)
    tiles, again = (reduced_runtime(model, "cpu", 1, 8)(1, 32, 48) for _ in range(2))
    for codes in planes:
        tiles.decode(codes)
        again.decode(codes)
        KernelTiles.pixels(tiles)  # type: ignore[arg-type]
        np.testing.assert_array_equal(tiles.pixels(), again.pixels())
    np.testing.assert_array_equal(KernelTiles.pixels(tiles), KernelTiles.pixels(again))  # type: ignore[arg-type]


def test_a_thumbnail_is_decoded_at_a_size_that_it_fits_into() -> None:
    """Its sides may be a little shorter than wanted, as the aspect ratio stays; those of a draft may not."""
    fp = io.BytesIO()
    picture().resize((400, 300)).save(fp, "RNC", iterations=8)
    small, whole = pillow_rnc.open(fp), Image.open(fp)
    small.thumbnail((25, 25))
    whole.load()
    whole.thumbnail((25, 25))

    assert small.iterations == 4
    assert small.size == whole.size == (25, 19)
    assert psnr(small, whole) > 38
    assert Image.open(fp).draft(None, (50, 50)) == ("RGB", (0, 0, 100, 75))
    for gap, iterations in ((None, 8), (8.0, 8), (4.0, 6)):
        other = pillow_rnc.open(fp)
        other.thumbnail((25, 25), reducing_gap=gap)
        assert other.iterations == iterations


@pytest.mark.torch
def test_other_models_take_means(tmp_path: Path) -> None:
    register_random_codec(tmp_path, recurrent("one_shot"))
    data = stored(model="random", iterations=4)
    whole = pillow_rnc.open(io.BytesIO(data)).reduce(1)

    assert psnr(pillow_rnc.open(io.BytesIO(data), scale=1 / 8), whole.reduce(8)) > 20


def test_progress_and_images_in_between() -> None:
    data, shown, steps = stored(), [], []
    im = pillow_rnc.open(
        io.BytesIO(data),
        scale=1 / 4,
        on_iteration=lambda *told: shown.append(told),
        on_progress=lambda *n: steps.append(n),
    )
    im.load()

    assert im.iterations == 6
    assert [told[:2] for told in shown] == [(k, 6) for k in range(1, 7)]
    assert {told[2].size for told in shown} == {im.size}
    assert steps[-1][0] == steps[-1][1]


def test_a_draft_may_be_reduced_again_and_is_not_copied() -> None:
    data = stored()
    im = Image.open(io.BytesIO(data))
    assert im.draft(None, (100, 75)) == ("RGB", (0, 0, 203 / 2, 75))
    assert im.draft(None, (50, 30)) == ("RGB", (0, 0, 51, 37.5))
    assert im.draft(None, (1, 1)) is None or im.size == (26, 19)
    fp = io.BytesIO()
    im.save(fp, "RNC", iterations=2)
    assert Image.open(fp).size == im.size
    assert Image.open(io.BytesIO(data)).reduce(3).size == (68, 50)
    assert Image.open(io.BytesIO(data)).reduce((8, 4), (0, 0, 80, 80)).size == (10, 20)
    assert pillow_rnc.open(io.BytesIO(data), scale=0.5).reduce(2).size == (51, 38)


@pytest.mark.parametrize(
    ("region", "factor", "iterations"),
    [
        (None, [2, 2], [8]),
        (None, [8, 4], [6]),
        ((3, 3, 99, 79), 2, []),
        ((3, 3, 11, 11), 8, []),
        ((8, 16, 99, 79), 8, []),
        ((8, 16, 104, 80), 8, [4]),
        ((8, 16, 203, 150), 8, [4]),
        ((4, 12, 100, 80), (8, 8), [6]),
    ],
)
def test_it_is_reduced_to_the_size_that_pillow_makes(
    region: Any,  # noqa: ANN401
    factor: Any,  # noqa: ANN401
    iterations: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    im = pillow_rnc.open(io.BytesIO(stored()), region=region)
    decoded: list[int] = []

    def decode(file: RncFile, options: LoadOptions) -> Any:  # noqa: ANN401
        decoded.append(len(file.units))
        return decode_samples(file, options)

    monkeypatch.setattr("pillow_rnc.plugin.reduction.decode_samples", decode)
    small = im.reduce(factor)
    im.load()

    assert small.size == im.reduce(factor).size
    assert decoded == iterations


def test_only_the_iterations_that_are_needed_are_read() -> None:
    data = stored()
    fp = io.BytesIO(data)

    whole = pillow_rnc.open(fp, scale=1 / 8)
    assert whole.iterations == 4
    whole.load()
    assert whole.tobytes() == pillow_rnc.open(io.BytesIO(data), scale=1 / 8, iterations=4).tobytes()


def sides(*, mode: str = "RGB") -> bytes:
    """Return a file of a plain picture: transparent black beside opaque white, or red around a blue box."""
    im = Image.new(mode, (256, 192), "red" if mode == "RGB" else (0, 0, 0, 0))
    im.paste("blue" if mode == "RGB" else (255, 255, 255, 255), (71, 64, 137, 128))
    fp = io.BytesIO()
    im.save(fp, "RNC", iterations=16)
    return fp.getvalue()


def test_colours_are_weighed_by_alpha() -> None:
    data = sides(mode="RGBA")
    for how in ("reduce", "thumbnail"):
        found = []
        for load in (False, True):
            im = Image.open(io.BytesIO(data))
            if load:
                im.load()
            small = im.reduce(8) if how == "reduce" else im
            small.thumbnail((32, 24))
            found.append(small)
        assert found[0].tobytes() == found[1].tobytes()
        assert min(colour[0] for _, colour in found[0].getcolors() if colour[3]) > 200  # type: ignore[index, union-attr]
    assert Image.open(io.BytesIO(data)).draft(None, (32, 24)) is None


@pytest.mark.parametrize("box", [(71, 64, 137, 128), (72, 64, 137, 128), (71, 64, 136, 128)])
def test_a_small_region_shows_nothing_beside_it(box: Any) -> None:  # noqa: ANN401
    data = sides()
    found = []
    for load in (False, True):
        reduced, thumbnail = (pillow_rnc.open(io.BytesIO(data), region=box) for _ in range(2))
        if load:
            reduced.load()
            thumbnail.load()
        thumbnail.thumbnail((8, 8))
        found.append((reduced.reduce(8).tobytes(), thumbnail.size, thumbnail.tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("region", "scale", "draft"),
    [
        ((64, 64, 136, 128), 1, (0, 0, 9, 8)),
        ((64, 64, 256, 192), 1, (0, 0, 24, 16)),
        ((68, 64, 136, 128), 1, (0, 0, 17, 16)),
        ((65, 65, 135, 127), 0.5, (0, 0, 9, 8)),  # extended to (64, 64, 136, 128)
        ((67, 65, 135, 127), 0.5, None),
    ],
)
def test_a_region_at_multiples_is_reduced(region: Any, scale: float, draft: Any) -> None:  # noqa: ANN401
    im = pillow_rnc.open(io.BytesIO(sides()), region=region, scale=scale)

    assert im.draft(None, (1, 1)) == (draft and ("RGB", draft))


def test_a_thumbnail_is_not_enlarged() -> None:
    fp = io.BytesIO()
    picture().resize((200, 200)).save(fp, "RNC", iterations=8)
    im = pillow_rnc.open(fp)
    im.thumbnail((26, 26), reducing_gap=1.0)

    assert im.size == (26, 26)
    assert im._options.reduction == 4
    assert pillow_rnc.open(fp).draft(None, (101, 101)) is None


def test_reducing_beside_loading_does_not_unload(monkeypatch: pytest.MonkeyPatch) -> None:
    im = pillow_rnc.open(io.BytesIO(stored()))
    decoding, asked = threading.Event(), threading.Event()

    def decode(file: RncFile, options: LoadOptions) -> Any:  # noqa: ANN401
        decoding.set()
        asked.wait(0.2)  # in vain if the other thread looks at the image only when it is loaded
        return decode_samples(file, options)

    def factor(*arguments: Any) -> int | None:  # noqa: ANN401
        asked.set()
        return common_factor(*arguments)

    monkeypatch.setattr("pillow_rnc.plugin.image_file.decode_samples", decode)
    monkeypatch.setattr("pillow_rnc.plugin.reduction.common_factor", factor)
    loading = threading.Thread(target=im.load)
    loading.start()
    decoding.wait()
    assert im.reduce(8).size == (26, 19)
    loading.join()

    assert not im.tile
    assert im.size == SIZE


@pytest.mark.parametrize("scale", [0, 2, 0.3, -1, "1/8", True])
def test_other_scales_are_refused(scale: Any) -> None:  # noqa: ANN401
    with pytest.raises(RncOptionError, match=r"scale .* is not allowed, give 1, 1/2, 1/4 or 1/8"):
        pillow_rnc.open(io.BytesIO(stored(iterations=1)), scale=scale)
