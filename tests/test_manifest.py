"""A manifest outlives what may happen to the process that writes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pillow_rnc.cli.manifest import Line, Manifest
from pillow_rnc.errors import RncOptionError


def line(name: str, seconds: float = 1.5) -> Line:
    return Line(
        input=name,
        output=f"{name}.rnc",
        input_bytes=9,
        bytes=7,
        bpp=0.5,
        iterations=8,
        model="00ff",
        seconds=seconds,
        error=None,
        error_type=None,
    )


def stored(path: Path) -> list[Line]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_lines_are_in_the_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "manifest.jsonl"
    with Manifest(path) as manifest:
        manifest.add(line("a"))
        assert stored(path) == [line("a")]
        manifest.add(line("b"))
        assert stored(path) == [line("a"), line("b")]
        assert manifest.line("a") == line("a")
        assert manifest.line("c") is None


def test_the_last_line_of_an_input_counts_and_remains(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    with Manifest(path) as manifest:
        for seconds, name in enumerate("abacb"):
            manifest.add(line(name, seconds))
        assert manifest.line("b") == line("b", 4)
        assert len(stored(path)) == 5
        manifest.compact()

    assert stored(path) == [line("a", 2), line("c", 3), line("b", 4)]
    with Manifest(path) as manifest:
        assert manifest.line("b") == line("b", 4)


@pytest.mark.parametrize("kept", [1, 40, -2, -1])
def test_a_line_that_was_cut_short_is_dropped(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    with Manifest(path) as manifest:
        manifest.add(line("a"))
        whole = path.stat().st_size
        manifest.add(line("b"))
    data = path.read_bytes()
    path.write_bytes(data[: whole + kept] if kept > 0 else data[:kept])
    with Manifest(path) as manifest:
        assert manifest.line("a") == line("a")
        assert manifest.line("b") is None
        manifest.add(line("c"))

    assert stored(path) == [line("a"), line("c")]


@pytest.mark.parametrize(
    ("foreign", "number"),
    [
        (b"notes without an end", 1),
        (b"notes\n", 1),
        (b"\n", 1),
        (b"\xff\xfe\n", 1),
        (b"[1]\n", 1),
        (b'{"a": 1}\n', 1),
        (b'{"input": "a", "output": "b"}\n', 1),
        (json.dumps(line("a")).encode() + b"\nnotes", 2),
    ],
)
def test_a_file_that_is_no_manifest_is_left_as_it_is(foreign: bytes, number: int, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(foreign)
    with pytest.raises(RncOptionError, match=rf"notes\.txt is not a manifest .* line {number}"):
        Manifest(path)

    assert path.read_bytes() == foreign


def test_a_manifest_is_closed_when_it_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses anything else."""
    (tmp_path / "link").symlink_to(tmp_path / "manifest.jsonl")
    replace = Path.replace

    def careful(temporary: Path, target: Path) -> Path:
        assert manifest._fp.closed
        return replace(temporary, target)

    monkeypatch.setattr(Path, "replace", careful)
    with Manifest(tmp_path / "link") as manifest:
        for seconds in range(2):
            manifest.add(line("a", seconds))
        manifest.compact()

    assert stored(tmp_path / "manifest.jsonl") == [line("a", 1)]
    assert (tmp_path / "link").is_symlink()


def test_any_name_can_be_in_a_manifest(tmp_path: Path) -> None:
    names = ["a b/\u00e4\u2603.jpg", 'quote".png', "new\nline.png", "\udcff.png"]
    with Manifest(tmp_path / "manifest.jsonl") as manifest:
        for name in names:
            manifest.add(line(name))
    with Manifest(tmp_path / "manifest.jsonl") as manifest:
        assert [manifest.line(name) for name in names] == [line(name) for name in names]
