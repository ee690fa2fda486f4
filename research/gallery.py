"""``python -m research.gallery``: makes docs/gallery.md, pictures at three rates beside other codecs at equal bytes.

Whole images are coded; a part of each is shown, pixel by pixel. The images may be shipped: those of scikit-image are in
the public domain or under CC0, two are drawn by `research.synthetic`.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from pillow_rnc.evaluation.markdown_table import number, table
from pillow_rnc.evaluation.peers import PEERS, Peer
from pillow_rnc.evaluation.photographs import plain
from pillow_rnc.evaluation.rate_distortion import point_of
from pillow_rnc.evaluation.report import DIGITS, METRIC_LABELS
from research import synthetic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pillow_rnc.evaluation.curves import Metric, Point

PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"
RATES_BPP = (0.25, 0.5, 1.0)
SHOWN_PEERS = ("jpeg420", "webp", "avif", "jxl")
_METRICS: tuple[Metric, ...] = ("ms_ssim", "psnr_hvs", "ssimulacra2", "psnr")
_COLUMNS = 3
_GAP_PX, _CAPTION_PX, _FONT_PX = 4, 18, 13
_QUALITY = 90  # of the WebP sheets; their own losses are small beside those that are shown


class Picture(NamedTuple):
    """An image of the gallery."""

    name: str  # of scikit-image's `data`, or of `research.synthetic`
    title: str
    credit: str
    box: tuple[int, int, int, int]  # the part that is shown: left, upper, right, lower


PICTURES = (
    Picture("astronaut", "Portrait", "Eileen Collins, by NASA, public domain", (112, 4, 368, 212)),
    Picture("chelsea", "Fur", "Chelsea the cat, by Stefan van der Walt, CC0", (56, 48, 312, 256)),
    Picture("coffee", "Still life", "by Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0", (180, 100, 436, 308)),
    Picture("rocket", "Night", "launch of DSCOVR, by SpaceX, public domain", (190, 180, 446, 388)),
    Picture("text", "Page of text", "drawn by `research.synthetic`", (0, 0, 256, 172)),
    Picture("screen", "Screen", "drawn by `research.synthetic`", (250, 60, 506, 268)),
)


class Entry(NamedTuple):
    """A codec's file of an image at a rate."""

    label: str
    point: Point | None  # None: the codec makes no file so small
    shown: Image.Image | None


def load(picture: Picture) -> Image.Image:
    """Return the whole image, RGB."""
    if picture.name in synthetic.IMAGES:
        return synthetic.IMAGES[picture.name]()
    from skimage import data

    return plain(Image.fromarray(getattr(data, picture.name)()).convert("RGB"))


def entries_of(image: Image.Image, bpp: float, model: str | None = None) -> list[Entry]:
    """Return our file of at most a rate, and for each peer the best that has at most the bytes of ours."""
    file = io.BytesIO()
    chosen = {"model": model} if model else {}
    image.save(file, "RNC", target_bpp=bpp, **chosen)
    budget = len(file.getvalue())
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
        iterations = opened.iterations  # type: ignore[attr-defined]
    found = [Entry("RNC", point_of(image, picture, budget, iterations), picture)]
    for name in SHOWN_PEERS:
        peer = PEERS[name]
        setting = largest_setting(peer, image, budget)
        if setting is None:
            found.append(Entry(peer.label, None, None))
            continue
        data = peer.encode(image, setting)
        picture = peer.decode(data)
        found.append(Entry(peer.label, point_of(image, picture, len(data), setting), picture))
    return found


def largest_setting(peer: Peer, image: Image.Image, budget: int) -> int | None:
    """Return the largest setting whose file has at most ``budget`` bytes, by bisection; None if the first has more."""
    settings = sorted(peer.search_settings)
    low, high = -1, len(settings) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(peer.encode(image, settings[middle])) <= budget else (low, middle - 1)
    return None if low < 0 else settings[low]


def sheet(original: Image.Image, entries: Sequence[Entry], box: tuple[int, int, int, int]) -> Image.Image:
    """Return the original and the entries side by side, each with a caption, in rows of three."""
    width, height = box[2] - box[0], box[3] - box[1]
    panels = [("Original", original), *((_caption(entry), entry.shown) for entry in entries)]
    rows = -(-len(panels) // _COLUMNS)
    size = _COLUMNS * (width + _GAP_PX) - _GAP_PX, rows * (height + _CAPTION_PX + _GAP_PX) - _GAP_PX
    drawn = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(drawn), ImageFont.load_default(_FONT_PX)
    for index, (caption, shown) in enumerate(panels):
        left = index % _COLUMNS * (width + _GAP_PX)
        top = index // _COLUMNS * (height + _CAPTION_PX + _GAP_PX)
        draw.text((left, top), caption, fill="black", font=font)
        if shown is not None:
            drawn.paste(shown.crop(box), (left, top + _CAPTION_PX))
    return drawn


def file_name(picture: Picture, bpp: float) -> str:
    """Return the name of a sheet."""
    return f"{picture.name}-{round(100 * bpp):03}.webp"


def page(found: Sequence[tuple[Picture, float, Sequence[Entry]]]) -> str:
    """Return the page as Markdown, of all pictures and rates in their order."""
    parts = [
        "# Gallery",
        (
            "Parts of six images at three rates, beside JPEG, WebP, AVIF and JPEG XL of at most the same bytes.\n"
            "The whole images were coded; rates are those of whole files.\n"
            f"The sheets are WebP of quality {_QUALITY}."
        ),
        '```sh\npip install -e ".[demo,peers]"\npython -m research.gallery\n```',
        (
            "The command makes this page.\n"
            "[Evaluation beside other codecs](evaluation.md) explains the metrics, and measures sets of images."
        ),
    ]
    title = None
    for picture, bpp, entries in found:
        if picture.title != title:
            title = picture.title
            parts += [f"## {title}", f"`{picture.name}`: {picture.credit}."]
        parts += [
            f"### {title}, {bpp:g} bpp",
            (
                f"![{title} at {bpp:g} bpp, by {', '.join(entry.label for entry in entries)}]"
                f"(gallery/{file_name(picture, bpp)})"
            ),
            table(
                ["Codec", "Setting", "Bytes", "bpp", *(METRIC_LABELS[metric] for metric in _METRICS)],
                [_row(entry) for entry in entries],
            ),
        ]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m research.gallery", description=__doc__)
    parser.add_argument("page", type=Path, nargs="?", default=PAGE, help="default: %(default)s")
    parser.add_argument("--model", metavar="NAME", help="model to save with (default: the plugin's)")
    args = parser.parse_args(arguments)
    folder = args.page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for picture in PICTURES:
        image = load(picture)
        for bpp in RATES_BPP:
            entries = entries_of(image, bpp, args.model)
            sheet(image, entries, picture.box).save(folder / file_name(picture, bpp), quality=_QUALITY, method=6)
            found.append((picture, bpp, entries))
            print(folder / file_name(picture, bpp), flush=True)
    args.page.write_text(page(found), encoding="utf-8")
    return 0


def _caption(entry: Entry) -> str:
    return f"{entry.label}: {entry.point.file_bytes} bytes" if entry.point else f"{entry.label}: none so small"


def _row(entry: Entry) -> list[str]:
    if entry.point is None:
        return [entry.label, *["-"] * (3 + len(_METRICS))]
    values = [number(getattr(entry.point, metric), DIGITS[metric]) for metric in _METRICS]
    return [entry.label, str(entry.point.setting), str(entry.point.file_bytes), number(entry.point.bpp, 3), *values]


if __name__ == "__main__":
    sys.exit(main())
