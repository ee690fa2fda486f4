from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, features

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")

from pillow_rnc.evaluation.peer_measurements import PeerMeasurements
from pillow_rnc.evaluation.peer_packages import JpegXl
from pillow_rnc.evaluation.peers import PEERS, Peer, is_available

if TYPE_CHECKING:
    from pathlib import Path

JPEG = PEERS["jpeg420"]


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Return waves that turn finer to the right, with some grain: enough for JPEG to work on."""
    rows, columns = np.mgrid[:168, :176]
    plane = 128 + 80 * np.sin(columns**1.7 / 90 + rows / 11)
    grain = np.random.default_rng(3).normal(0, 9, (168, 176, 3))
    pixels = np.clip(plane[..., None] * (1, 0.8, 0.6) + grain, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the settings at which peers make files."""
    made: list[int] = []
    encode = Peer.encode

    def counted(peer: Peer, image: Image.Image, setting: int) -> bytes:
        made.append(setting)
        return encode(peer, image, setting)

    monkeypatch.setattr(Peer, "encode", counted)
    return made


@pytest.mark.parametrize("name", PEERS)
def test_greater_settings_of_a_peer_are_nearer_and_larger(name: str, picture: Image.Image) -> None:
    if "CI" not in os.environ and not is_available(PEERS[name]):  # CI has them all, and must
        pytest.skip("this Pillow is built without it")
    measurements = PeerMeasurements(picture, PEERS[name])
    low, high = (measurements.point(setting) for setting in (PEERS[name].curve_settings[i] for i in (1, -2)))

    assert low.file_bytes < high.file_bytes
    assert low.psnr < high.psnr
    assert low.bpp == 8 * low.file_bytes / (168 * 176)


def test_jpeg_2000_reaches_the_rate_it_is_asked_for(picture: Image.Image) -> None:
    assert PeerMeasurements(picture, PEERS["jpeg2000"]).point(1000).bpp == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", PEERS)
def test_library_and_settings_of_a_peer_are_known(name: str) -> None:
    peer = PEERS[name]

    assert re.search(r"[\w-]+ \d+\.\d+", peer.library())
    assert peer.settings() == peer.settings(99) == peer.curve_settings
    assert list(peer.curve_settings) == sorted(set(peer.curve_settings))
    for count in range(2, len(peer.curve_settings)):
        chosen = peer.settings(count)
        assert len(set(chosen)) == count
        assert (chosen[0], chosen[-1]) == (peer.curve_settings[0], peer.curve_settings[-1])
    assert len(peer.settings(1)) == 1


def test_jpeg_of_an_unknown_library_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check_feature", lambda _: False)

    assert JPEG.library().startswith("libjpeg ")


def test_distance_of_jpeg_xl_falls_with_quality_as_in_libjxl() -> None:
    distances = [JpegXl.distance(quality) for quality in range(1, 100)]

    assert distances == sorted(distances, reverse=True)
    assert JpegXl.distance(90) == pytest.approx(1)
    assert JpegXl.distance(30) == pytest.approx(6.4)


def test_files_of_other_packages_are_what_they_are_called(picture: Image.Image) -> None:
    marks = {"jxl": (0, b"\xff\x0a"), "heic": (4, b"ftypheic"), "jpegli": (0, b"\xff\xd8\xff")}
    for name, (start, mark) in marks.items():
        assert PEERS[name].encode(picture, 50)[start:].startswith(mark)


def test_other_packages_leave_pillow_as_it_is(picture: Image.Image) -> None:
    known = dict(Image.registered_extensions())
    for name in ("jxl", "heic", "jpegli"):
        PEERS[name].decode(PEERS[name].encode(picture, 50))

    assert Image.registered_extensions() == known


def test_a_package_that_is_not_installed_makes_its_peer_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JpegXl, "module", "no_such_module")

    assert not is_available(PEERS["jxl"])


def test_chroma_of_the_jpeg_peers_is_as_named(picture: Image.Image) -> None:
    with_half = PeerMeasurements(picture, PEERS["jpeg420"]).point(50)
    with_full = PeerMeasurements(picture, PEERS["jpeg444"]).point(50)

    assert with_half.file_bytes < with_full.file_bytes


def test_best_jpeg_within_a_budget_fits_and_no_higher_quality_does(picture: Image.Image) -> None:
    sizes = {quality: len(JPEG.encode(picture, quality)) for quality in range(1, 101)}
    measurements = PeerMeasurements(picture, JPEG)
    for budget in (sizes[1], sizes[7], sizes[50] - 1, sizes[50], sizes[50] + 1, 10**9):
        best = measurements.best_within(budget)

        assert best is not None
        assert best.file_bytes == sizes[best.setting] <= budget
        assert all(size > budget for quality, size in sizes.items() if quality > best.setting)


def test_a_budget_below_the_smallest_jpeg_has_no_best(picture: Image.Image) -> None:
    measurements = PeerMeasurements(picture, JPEG)
    smallest = measurements.smallest_bytes()

    assert measurements.best_within(smallest - 1) is None
    assert measurements.best_within(smallest) is not None


def test_measurements_are_kept_between_runs(picture: Image.Image, tmp_path: Path, encodings: list[int]) -> None:
    first = PeerMeasurements(picture, JPEG, tmp_path)
    points = [first.point(20), first.best_within(4000)]
    first.write()
    encodings.clear()
    second = PeerMeasurements(picture, JPEG, tmp_path)

    assert [second.point(20), second.best_within(4000)] == points
    assert encodings == []


def test_other_pixels_or_options_are_measured_anew(picture: Image.Image, tmp_path: Path, encodings: list[int]) -> None:
    first = PeerMeasurements(picture, JPEG, tmp_path)
    first.point(20)
    first.write()
    other = picture.copy()
    other.putpixel((0, 0), (1, 2, 3))
    encodings.clear()
    PeerMeasurements(other, JPEG, tmp_path).point(20)
    PeerMeasurements(picture, PEERS["jpeg444"], tmp_path).point(20)

    assert encodings == [20, 20]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"identity": 1}', "null"])
def test_a_damaged_record_counts_as_empty(
    picture: Image.Image, tmp_path: Path, damage: str, encodings: list[int]
) -> None:
    first = PeerMeasurements(picture, JPEG, tmp_path)
    point = first.point(20)
    first.write()
    (record,) = tmp_path.iterdir()
    intact = json.loads(record.read_text())
    record.write_text(damage)
    encodings.clear()
    second = PeerMeasurements(picture, JPEG, tmp_path)

    assert second.point(20) == point
    assert encodings == [20]
    second.write()
    assert json.loads(record.read_text()) == intact
