"""Tests of the fuzzers: seeds and regressions are replayed, each target can fail, each command runs at small size."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import damage
import extremes
import fuzz_container
import fuzz_plugin
import fuzz_round_trip
import fuzz_tile_coder
import grammar
import model
import mutator
import other_formats
import pytest
import resources
import splices
from PIL import Image

import pillow_rnc
from pillow_rnc.container import reader, writer
from pillow_rnc.container.checksum import RunningCrc
from pillow_rnc.container.chunks import pack_chunk, pack_head
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.entropy import tile_coder
from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import RncFileError
from pillow_rnc.models.weights import register

if TYPE_CHECKING:
    from collections.abc import Callable

FUZZ = Path(grammar.__file__).parent
TARGETS: dict[str, Callable[[bytes], None]] = {
    "container": fuzz_container.test_one_input,
    "tile_coder": fuzz_tile_coder.test_one_input,
    "plugin": fuzz_plugin.test_one_input,
    "round_trip": fuzz_round_trip.test_one_input,
}


@pytest.fixture
def _without_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let faults that are put into the modules of NumPy be met."""
    monkeypatch.setenv(library.VARIABLE, "0")


SEEDS = sorted(path for folder in ("corpus", "regressions") for path in (FUZZ / folder).glob("*/*"))
FORMAT_TARGETS = ("container", "plugin")
"""Their inputs are files and a byte of options."""
PAIRS = splices.sample_pairs(8)


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return damage.sample_files(6)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_seeds_and_regressions_are_replayed(seed: Path) -> None:
    TARGETS[seed.parent.name](seed.read_bytes())


@pytest.mark.parametrize(
    "seed", [seed for seed in SEEDS if seed.parent.name == "container"], ids=lambda path: path.name
)
def test_seeds_of_the_container_pass_every_comparison(seed: Path) -> None:
    for options in range(2 * len(fuzz_container.CHECKS)):
        fuzz_container.test_one_input(seed.read_bytes()[:-1] + bytes([options]))


def test_every_target_has_seeds() -> None:
    assert {seed.parent.name for seed in SEEDS} == set(TARGETS)


@pytest.mark.parametrize("name", FORMAT_TARGETS)
def test_targets_take_mutated_files(name: str, files: list[bytes]) -> None:
    source = random.Random(20)  # noqa: S311 -- repeatable, not secret
    for _ in range(150):
        data = mutator.mutate(source.choice(files), source)
        TARGETS[name](data + bytes([source.randrange(256)]))


@pytest.mark.parametrize("name", TARGETS)
def test_targets_take_any_bytes(name: str) -> None:
    source = random.Random(21)  # noqa: S311 -- repeatable, not secret
    TARGETS[name](b"")
    for _ in range(60):
        data = source.randbytes(source.choice((1, 8, 20, 60)))
        TARGETS[name](data)
        TARGETS[name](SIGNATURE + data)


@pytest.mark.parametrize("entry_point", range(8))
def test_every_entry_point_of_pillow_takes_valid_and_truncated_files(entry_point: int, files: list[bytes]) -> None:
    for data in files[:3]:
        for length in (len(data), len(data) - 1, len(data) // 2):
            fuzz_plugin.test_one_input(data[:length] + bytes([entry_point + 8 * 5]))


def test_an_error_that_is_not_ours_fails_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*_arguments: object) -> None:
        raise KeyError

    monkeypatch.setattr(reader, "check_unknown", faulty)
    data = SIGNATURE + pack_chunk(b"HEAD", pack_head(resources.HUGE)) + pack_chunk(b"abcd", b"")
    with pytest.raises(KeyError):
        fuzz_container.test_one_input(data + b"\0")


@pytest.mark.usefixtures("_without_kernel")
def test_a_set_inferred_bit_fails_a_target_unless_it_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = (FUZZ / "corpus/tile_coder/inferred").read_bytes()
    fuzz_tile_coder.test_one_input(seed)
    monkeypatch.setattr(tile_coder, "count_set_inferred", lambda _coded_bits, _plane: 0)
    with pytest.raises(AssertionError):
        fuzz_tile_coder.test_one_input(seed)


@pytest.mark.usefixtures("_without_kernel")
def test_a_rejection_of_coded_bits_fails_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_coder, "count_set_inferred", lambda _coded_bits, _plane: 1)
    with pytest.raises(AssertionError):
        fuzz_tile_coder.test_one_input((FUZZ / "corpus/tile_coder/raw").read_bytes())


@pytest.fixture
def other_files(tmp_path: Path) -> Path:
    """A folder of other formats, and of files that are not images."""
    im = Image.linear_gradient("L").resize((40, 30))
    for suffix in ("png", "jpg", "webp", "gif", "ppm"):
        im.save(tmp_path / f"a.{suffix}")
    (tmp_path / "truncated.png").write_bytes((tmp_path / "a.png").read_bytes()[:-40])
    (tmp_path / "nothing.rnc").write_bytes(b"\x8aRNC, but no more")
    return tmp_path


def test_other_formats_open_as_they_do_without_the_plugin(other_files: Path) -> None:
    assert other_formats.compare(other_files) == {"opened": 5, "rejected": 2}


def test_a_file_that_opens_differently_with_the_plugin_is_detected(other_files: Path) -> None:
    """Our own ones do."""
    Image.open(other_files / "a.png").save(other_files / "ours.rnc", iterations=1)

    with pytest.raises(other_formats.DifferenceError, match=r"ours\.rnc: .*'rejected'.*without.*'opened', 'RNC L"):
        other_formats.compare(other_files)


def test_generated_files_are_valid_and_canonical() -> None:
    source = random.Random(3)  # noqa: S311 -- repeatable, not secret
    for _ in range(25):
        file = grammar.generate(source, model.tiny())
        data = writer.build(file)
        assert reader.parse(data) == file
        assert mutator.reseal(data) == data


def test_extreme_files_are_read_alike_through_every_entry_point() -> None:
    assert extremes.check(24)


def test_files_derived_from_a_valid_file_must_not_be_rejected(
    monkeypatch: pytest.MonkeyPatch, files: list[bytes]
) -> None:
    """A target that accepted every rejection would compare nothing."""

    def rejecting(*_arguments: object) -> None:
        raise RncFileError

    monkeypatch.setattr(pillow_rnc, "info", rejecting)
    with pytest.raises(AssertionError, match="a file derived from a valid file is rejected"):
        fuzz_plugin.test_one_input(files[0] + bytes([fuzz_plugin.ENTRY_POINTS.index(fuzz_plugin._truncate)]))


def test_resealing_lets_damage_pass_the_checksums() -> None:
    """What is rejected afterwards is rejected for its contents."""
    source = random.Random(4)  # noqa: S311 -- repeatable, not secret
    rejections = []
    for data in damage.sample_files(8):
        altered = bytearray(data)
        altered[source.randrange(len(SIGNATURE) + 8, len(data))] ^= 1
        for candidate in (bytes(altered), mutator.reseal(bytes(altered))):
            try:
                reader.parse(candidate)
            except RncFileError as error:
                rejections.append("CRC" in str(error))
            else:
                rejections.append(False)

    assert sum(rejections[::2]) >= 4
    assert not sum(rejections[1::2])


def test_no_flipped_bit_and_no_truncation_is_silent(files: list[bytes]) -> None:
    for data in sorted(files, key=len)[:2]:
        assert damage.flip_every_bit(data).total() == 8 * len(data)
        assert damage.truncate_everywhere(data)["TruncatedError"] >= len(data) - len(SIGNATURE) - 1


@pytest.mark.parametrize("name", ["light-associative", "light-residual-gru", "block-gru", "paper-lstm"])
def test_no_damage_of_a_recurrent_file_is_silent(name: str) -> None:
    vectors = Path(__file__).parents[1] / "spec" / "vectors"
    register(vectors / f"{name}.safetensors")
    files = [(vectors / "valid" / f"{name}-{case}.rnc").read_bytes() for case in ("grid", "grey")]

    assert damage.flip_every_bit(files[0]).total() == 8 * len(files[0])
    assert damage.truncate_everywhere(files[0])["TruncatedError"] >= len(files[0]) - len(SIGNATURE) - 1
    assert damage.damage_at_random(files, 300).total() == 300
    assert damage.damage_with_correct_checksums(files, 300).total() == 300


def test_no_damage_of_several_bytes_is_silent(files: list[bytes]) -> None:
    assert damage.damage_at_random(files, 1500).total() == 1500
    assert damage.damage_with_correct_checksums(files, 800).total() == 800


def test_no_unit_fits_in_another_place(files: list[bytes]) -> None:
    fates = splices.reorder_units(files)

    assert fates["CorruptError"] > 20


@pytest.mark.parametrize("name", splices.SPLICES)
def test_no_part_fits_in_another_place_or_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each splice applies to some files, and is rejected, except for metadata and the last units."""
    monkeypatch.setattr(splices, "SPLICES", {name: splices.SPLICES[name]})
    counts = splices.splice_at_random(PAIRS, 60)
    rejected = counts.total() - sum(count for fate, count in counts.items() if fate.endswith("the same image"))

    assert counts.total() == 60
    assert bool(rejected) != (name == "metadata")


def test_codes_that_are_not_compared_make_splices_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail, as it would if the field covered only its own segment."""
    monkeypatch.setattr(RunningCrc, "own", lambda _running, stored, _length: stored)
    monkeypatch.setattr(RunningCrc, "stored", lambda _running, own, _length: own)
    pairs = splices.sample_pairs(6)
    with pytest.raises(splices.SilentChangeError):
        splices.splice_at_random(pairs, 300)


def test_silent_damage_fails_the_check(monkeypatch: pytest.MonkeyPatch, files: list[bytes]) -> None:
    monkeypatch.setattr(reader, "parse", lambda _data: None)
    with pytest.raises(splices.SilentChangeError, match="bit 0 of byte 0"):
        damage.flip_every_bit(files[0])


linux = pytest.mark.skipif(sys.platform != "linux", reason="memory, signals and descriptors are those of Linux")
ANYWHERE = {"head", "rejection"}


@pytest.mark.parametrize(
    "name",
    [
        *sorted(ANYWHERE),
        *(pytest.param(name, marks=linux) for name in sorted(resources.CHECKS.keys() - ANYWHERE - {"open_time"})),
    ],
)
def test_resources_stay_within_bounds(name: str) -> None:
    assert resources.CHECKS[name](resources.SIZES["ci"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_threads_and_processes_agree() -> None:
    """In a separate interpreter, because it forks."""
    command = [sys.executable, str(FUZZ / "concurrency.py"), "--size", "ci"]
    environment = os.environ | {"PYTHONPATH": str(FUZZ.parent)}
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=environment)

    assert not result.returncode, result.stderr
    assert "threads: 4 threads, 24 loads and saves, 3 images shared, all as in one thread" in result.stdout
