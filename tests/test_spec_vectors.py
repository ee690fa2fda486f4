"""Every vector of the specification through the package, the reference decoder and the C decoder."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import agreement
import damage
import differential
import numpy as np
import pytest
import reference_decoder
from PIL import Image
from several_faults import SEVERAL_FAULTS
from vectors import generate
from vectors.assemble import chunk, read_model

from pillow_rnc.codec import decoder
from pillow_rnc.container import reader, writer
from pillow_rnc.container.alpha import decode_alpha
from pillow_rnc.entropy.tile_coder import decode_tile
from pillow_rnc.errors import (
    CorruptError,
    RncFileError,
    RncWarning,
    SignatureError,
    TruncatedError,
    UnsupportedError,
)
from pillow_rnc.models import weights
from pillow_rnc.models.weights import register

if TYPE_CHECKING:
    from pillow_rnc.container.records import RncFile
    from pillow_rnc.entropy.model import EntropyModel

SPEC = Path(__file__).parent.parent / "spec"
VECTORS = SPEC / "vectors"
VALID, INVALID = sorted((VECTORS / "valid").glob("*.rnc")), sorted((VECTORS / "invalid").glob("*.rnc"))
GOLDEN = Path(__file__).parent / "golden"
RELEASED = sorted((VECTORS / "released").glob("*/*.rnc"))
CLASSES = {
    "signature": SignatureError,
    "unsupported": UnsupportedError,
    "corrupt": CorruptError,
    "truncated": TruncatedError,
}

valid = pytest.mark.parametrize("path", [*VALID, *RELEASED], ids=lambda path: f"{path.parent.name}-{path.stem}")
invalid = pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)


@pytest.fixture(scope="module", autouse=True)
def _models() -> None:
    for path in (*VECTORS.glob("*.safetensors"), *VECTORS.glob("released/*/*.safetensors")):
        register(path)


@pytest.fixture(scope="module")
def c_decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the compiled C decoder; only where there is no compiler, and this is not CI, it is left out."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None and "CI" not in os.environ:
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("decoder") / "decoder"
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run([str(compiler), *strict, "-O2", "-o", str(program), str(SPEC / "decoder.c")], check=True)
    return program


def facts_of(path: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return facts


def weights_of(path: Path) -> Path:
    folder = path.parent if path.parent.parent.name == "released" else VECTORS
    return folder / str(facts_of(path)["weights"])


def model_of(path: Path) -> EntropyModel:
    return read_model(weights_of(path).read_bytes()).entropy_model


def expected_lines(facts: dict[str, Any]) -> list[str]:
    return [f"{t} {tile} {text}" for t, unit in enumerate(facts["segments"]) for tile, text in enumerate(unit)]


def code_lines(file: RncFile, model: EntropyModel) -> list[str]:
    """Decode all codes and return them in the form of the other decoders' output."""
    header = file.header
    lines = {}
    for index, tile in enumerate(header.grid):
        shape = header.code_shape(tile)
        segments = [unit[index] for unit in file.units]
        codes = decode_tile(segments, model, shape[1:], tile=index)
        for t, segment in enumerate(segments):
            crc = zlib.crc32(np.packbits(codes[t]).tobytes()) if t < len(codes) else 0
            lines[t, index] = f"{t} {index} {segment.coding.name.lower()} {crc:08x}"
    return [lines[place] for place in sorted(lines)]


def test_there_are_enough_vectors_and_all_have_a_sidecar() -> None:
    assert len(VALID) >= 50
    assert len(INVALID) >= 30
    for path in (*VALID, *INVALID, *RELEASED):
        assert facts_of(path)["comment"]
        assert path.stat().st_size <= 2560


def test_the_generator_writes_these_files_again(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    written = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.*")}
    kept = {
        path.relative_to(VECTORS): path.read_bytes()
        for folder in (".", "valid", "invalid")
        for path in (VECTORS / folder).glob("*.*")
        if path.suffix in (".rnc", ".json", ".safetensors")
    }

    assert written.keys() == kept.keys()
    assert [name for name in kept if kept[name] != written[name]] == []


@valid
def test_the_package_decodes_a_valid_file(path: Path) -> None:
    data, facts = path.read_bytes(), facts_of(path)
    file = reader.parse(data)
    header = asdict(file.header) | {"model_id": file.header.model_id.hex(), "version": list(file.header.version)}

    assert reader.verify(data).header == file.header
    assert header == facts["header"]
    assert code_lines(file, model_of(path)) == expected_lines(facts)
    plane = None if file.alpha is None else decode_alpha(file.alpha, file.header.width, file.header.height)
    assert facts["alpha_crc"] == (None if plane is None else f"{zlib.crc32(plane.tobytes()):08x}")


@valid
def test_a_valid_file_without_unknown_chunks_is_canonical(path: Path) -> None:
    data = path.read_bytes()
    names = {kind for kind in (b"aaaa", b"abcd", b"zzzZ", b"neWz", b"drwn") if kind in data}

    assert bool(names) != (writer.build(reader.parse(data)) == data)


@pytest.mark.parametrize("path", [path for path in VALID if "samples" in facts_of(path)], ids=lambda path: path.stem)
def test_samples_are_within_the_tolerance(path: Path) -> None:
    file = reader.parse(path.read_bytes())
    found = decoder.decode(file, weights.weights_for(file.header)).astype(int)
    expected = np.frombuffer(bytes.fromhex(facts_of(path)["samples"]), np.uint8)

    assert np.abs(found.reshape(-1) - expected).max() <= 1


@valid
def test_the_reference_decoder_decodes_a_valid_file(path: Path) -> None:
    data, facts = path.read_bytes(), facts_of(path)
    plane = reference_decoder.decode_alpha(data)

    assert reference_decoder.report(weights_of(path).read_bytes(), data) == expected_lines(facts)
    assert facts["alpha_crc"] == (None if plane is None else f"{zlib.crc32(plane):08x}")


@valid
def test_the_c_decoder_decodes_a_valid_file(path: Path, c_decoder: Path) -> None:
    assert run(c_decoder, path) == expected_lines(facts_of(path))


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("released-*.rnc")), ids=lambda path: path.stem)
def test_the_c_decoder_decodes_with_released_weights(path: Path, c_decoder: Path) -> None:
    file = reader.parse(path.read_bytes())
    model = weights.load(file.header.model_id)
    (released,) = (SPEC.parent / "weights").glob(f"*-{path.stem.split('-')[1]}.safetensors")

    assert run(c_decoder, path, released) == code_lines(file, model.entropy_model)


@invalid
def test_the_package_rejects_an_invalid_file(path: Path) -> None:
    data, facts = path.read_bytes(), facts_of(path)
    with pytest.raises(RncFileError) as caught:
        decode_all(data)

    assert caught.type is CLASSES[facts["expect"]]
    if isinstance(caught.value, TruncatedError):
        assert caught.value.decodable_iterations == facts["complete_iterations"]
    if facts["found_in"] in ("file", "alpha", "end"):
        with pytest.raises(CLASSES[facts["expect"]]):
            reader.verify(data)


def test_the_image_is_decoded_whatever_follows_the_last_unit() -> None:
    path = next(path for path in VALID if "samples" in facts_of(path))
    data = path.read_bytes()
    im = Image.open(io.BytesIO(data + b"\r\n"))
    with pytest.warns(RncWarning, match="2 bytes after the last iteration"):
        im.load()

    assert im.tobytes() == Image.open(path).tobytes()


def decode_all(data: bytes) -> None:
    """Decode pixels and alpha, as `Image.load` does."""
    file = reader.parse(data)
    decoder.decode(file, weights.weights_for(file.header))
    if file.alpha is not None:
        decode_alpha(file.alpha, file.header.width, file.header.height)


@invalid
def test_the_reference_decoder_rejects_an_invalid_file(path: Path) -> None:
    check_report(reference_decoder.report(weights_of(path).read_bytes(), path.read_bytes()), facts_of(path))


@invalid
def test_the_c_decoder_rejects_an_invalid_file(path: Path, c_decoder: Path) -> None:
    facts = facts_of(path)
    if facts["found_in"] == "alpha" and path.stem != "alpha-predictor":
        assert len(run(c_decoder, path)) == 3  # iterations; it does not expand the stream
    else:
        check_report(run(c_decoder, path), facts)


def test_both_decoders_written_from_the_text_report_the_same_damage(c_decoder: Path, tmp_path: Path) -> None:
    """A file with metadata, truncated at every byte, and with one bit flipped in every byte."""
    source = VECTORS / "valid" / "chunk-all.rnc"
    model, data = weights_of(source).read_bytes(), source.read_bytes()
    path = tmp_path / source.name
    damaged = [data[:length] for length in range(len(data))]
    for position in range(len(data)):
        flipped = data[position] ^ 1 << (5 * position) % 8
        damaged.append(data[:position] + bytes([flipped]) + data[position + 1 :])
    for one in damaged:
        path.write_bytes(one)
        found, expected = run(c_decoder, path, weights_of(source)), reference_decoder.report(model, one)
        assert len(expected) == len(found)
        assert expected[-1].split(":")[0] == found[-1].split(":")[0] != ""


@pytest.mark.parametrize("name", SEVERAL_FAULTS)
def test_all_decoders_report_the_first_of_several_faults(name: str, c_decoder: Path, tmp_path: Path) -> None:
    fault, data = SEVERAL_FAULTS[name]
    path, model = tmp_path / "file.rnc", weights_of(VECTORS / "valid" / "mode-RGB.rnc")
    path.write_bytes(data)

    with pytest.raises(CLASSES[fault]):
        decode_all(data)
    assert reference_decoder.report(model.read_bytes(), data)[-1].split(":")[0] == fault
    assert run(c_decoder, path, model)[-1].split(":")[0] == fault


def check_report(lines: list[str], facts: dict[str, Any]) -> None:
    assert lines[-1].split(":")[0] == facts["expect"]
    if facts["expect"] == "truncated":
        assert lines[-1] == f"truncated: {facts['complete_iterations']} complete iterations"
        complete = {int(line.split()[0]) for line in lines[:-1]}
        assert complete == set(range(facts["complete_iterations"]))
    else:
        assert len(lines) == 1


def run(program: Path, path: Path, model: Path | None = None) -> list[str]:
    done = subprocess.run(
        [program, model or weights_of(path), path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.returncode in (0, 2, 3, 4, 5)
    return done.stdout.splitlines()


@pytest.mark.parametrize("path", [p for p in INVALID if facts_of(p)["expect"] == "truncated"], ids=lambda p: p.stem)
def test_a_truncated_file_decodes_like_one_with_fewer_iterations(path: Path) -> None:
    data, complete = path.read_bytes(), facts_of(path)["complete_iterations"]
    if not complete:
        with pytest.raises(TruncatedError):
            reader.parse(data, allow_truncated=True)
        return
    truncated = writer.truncate(data, complete)

    kept = reader.parse(data, allow_truncated=True)
    assert code_lines(reader.parse(truncated), model_of(path)) == code_lines(kept, model_of(path))


def test_a_later_minor_version_with_unknown_chunks_is_read_and_truncated() -> None:
    data = (VECTORS / "valid" / "minor-9.rnc").read_bytes()
    head = reader.read_head(io.BytesIO(data))

    assert head.header.version == (1, 9)
    assert set(head.metadata) == {"dpi"}
    assert writer.truncate(data, 1) == data


def test_truncation_copies_unknown_chunks_according_to_their_fourth_letter() -> None:
    data = (VECTORS / "valid" / "drawn-100.rnc").read_bytes()
    head, rest = data[:42], data[42:]
    extra = [chunk(b"keep", b"1"), chunk(b"looS", b"2")]
    data = head + b"".join(extra) + rest

    truncated = writer.truncate(data, 1)

    assert reader.parse(data).header.iterations > 1
    assert (extra[0] in truncated, extra[1] in truncated) == (True, False)


def test_package_reference_decoder_and_c_decoder_agree_on_random_codes(c_decoder: Path, tmp_path: Path) -> None:
    assert agreement.compare(20_000, 0, agreement.Program(c_decoder, tmp_path)) >= 20_000


shell = pytest.mark.skipif(sys.platform == "win32", reason="the program is a script of a shell")


@shell
def test_a_decoder_that_disagrees_is_detected(tmp_path: Path) -> None:
    program = tmp_path / "decoder"
    program.write_text("#!/bin/sh\necho '0 0 raw 00000000'\n")
    program.chmod(0o755)

    with pytest.raises(agreement.Disagreement, match="seed 0, round 1: codes of the program"):
        agreement.compare(1, 0, agreement.Program(program, tmp_path))


def test_package_and_c_decoder_agree_on_files(c_decoder: Path, tmp_path: Path) -> None:
    """Among them one of several tiles, and one of which a tile stops."""
    program = agreement.Program(c_decoder, tmp_path)
    files = [GOLDEN / name for name in ("likely.rnc", "mixed.rnc", "stopped.rnc", "tiles.rnc")]

    assert agreement.compare_files(files, (GOLDEN / "tiny.safetensors").read_bytes(), program) == 6212


@shell
def test_a_decoder_that_disagrees_on_a_file_is_detected(tmp_path: Path) -> None:
    program = tmp_path / "decoder"
    program.write_text("#!/bin/sh\necho '0 0 entropy 00000000'\n")
    program.chmod(0o755)

    with pytest.raises(agreement.Disagreement, match=r"likely\.rnc: codes of the program"):
        agreement.compare_files(
            [GOLDEN / "likely.rnc"],
            (GOLDEN / "tiny.safetensors").read_bytes(),
            agreement.Program(program, tmp_path),
        )


def test_package_reference_decoder_and_c_decoder_reject_the_same_files(c_decoder: Path, tmp_path: Path) -> None:
    files = damage.sample_files(12, largest=differential.LARGEST)
    found = differential.compare(files, 150, 0, agreement.Program(c_decoder, tmp_path))

    assert found.total() == 150
    assert found["valid"] > 10
    assert found["CorruptError"] > 50


@shell
@pytest.mark.parametrize("says", ["0 0 raw 00000000", "corrupt: all of them"])
def test_a_decoder_that_accepts_or_rejects_other_files_is_detected(tmp_path: Path, says: str) -> None:
    program = tmp_path / "decoder"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    files = damage.sample_files(4, largest=differential.LARGEST)

    with pytest.raises(agreement.Disagreement, match="of seed 1: the program finds"):
        differential.compare(files, 100, 1, agreement.Program(program, tmp_path))


def test_released_files_are_those_of_their_list() -> None:
    """Review protects the list itself: the files never change once a version is released."""
    listed_files = sorted(VECTORS.glob("released/*/SHA256"))
    assert {path.parent for path in listed_files} == {path.parent for path in RELEASED}
    for path in listed_files:
        listed = {name: digest for digest, name in map(str.split, path.read_text(encoding="utf-8").splitlines())}
        found = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in path.parent.iterdir() if one != path}
        assert found == listed
