"""Folders in a store that speaks like S3 are encoded and decoded as local ones are.

The store runs on this machine, from moto; what goes on in it is looked at with plain HTTP.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

import pytest
from photographs import BAD, add_bad, contents, write_pictures
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent
PATIENCE_S = 240

# The store of moto believes any signature.
NOT_ANONYMOUS = "AWS4-HMAC-SHA256 Credential=anyone/20260101/us-east-1/s3/aws4_request"


class Store:
    """The bucket `bucket` of a running store."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.request("PUT", "")

    def request(self, method: str, path: str, data: bytes | None = None) -> bytes:
        headers = {"Authorization": NOT_ANONYMOUS, "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"{self.url}/bucket{path}", data, headers, method=method)  # noqa: S310 -- our own
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310 -- likewise
            content: bytes = answer.read()
        return content

    def names(self, prefix: str) -> list[str]:
        listing = ET.fromstring(self.request("GET", f"?list-type=2&prefix={prefix}/"))  # noqa: S314 -- likewise
        keys = [str(key.text) for key in listing.iter() if key.tag.endswith("Key")]
        return sorted(key.removeprefix(f"{prefix}/") for key in keys)

    def get(self, name: str) -> bytes:
        return self.request("GET", f"/{quote(name)}")

    def put(self, name: str, data: bytes) -> None:
        self.request("PUT", f"/{quote(name)}", data)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    command = [sys.executable, str(TESTS / "s3_server_program.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield Store(process.stdout.readline().strip())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return register_tiny_codec(tmp_path_factory.mktemp("weights"))


def rnc(store: Store, *arguments: object) -> tuple[int, list[dict[str, Any]], str]:
    """Run a command and return its exit status, its records, and what it said besides."""
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": "anyone",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": store.url,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(pillow_rnc.__file__).parents[1]),
    }
    command = [sys.executable, "-m", "pillow_rnc", *map(str, arguments), "--json"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    return result.returncode, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def test_folders_in_a_store_are_as_good_as_local_ones(store: Store, model: Path, tmp_path: Path) -> None:
    source, target, manifest = tmp_path / "in", tmp_path / "out", tmp_path / "manifest.jsonl"
    write_pictures(source, 4)
    add_bad(source)
    assert main(["encode", str(source), "-o", str(target), "--model", str(model), "--quiet"]) == 1
    expected = contents(target)
    for name, data in contents(source).items():
        store.put(f"in/{name}", data)
    command = [
        "encode", "s3://bucket/in", "-o", "s3://bucket/out", "--manifest", manifest,
        "--model", model, "-j", 2,
    ]  # fmt: skip
    status, records, said = rnc(store, *command)

    assert (status, said) == (1, "")
    assert {record["file"]: record["error_type"] for record in records[:-1]} == BAD
    assert store.names("out") == list(expected)
    for name, data in expected.items():
        assert store.get(f"out/{name}") == data
    told = {line["output"]: line for line in map(json.loads, manifest.read_text().splitlines())}
    assert {name: told[name]["bytes"] for name in expected} == {name: len(data) for name, data in expected.items()}

    store.put("out/000.rnc", expected["000.rnc"][:-1])
    status, records, said = rnc(store, *command)
    assert (records[-1]["written"], records[-1]["skipped"]) == (1, len(expected) - 1)
    assert store.get("out/000.rnc") == expected["000.rnc"]

    status, records, said = rnc(store, "decode", "s3://bucket/out", "-o", tmp_path / "a", "--model", model)
    assert (status, said) == (0, "")
    assert main(["decode", str(target), "-o", str(tmp_path / "b"), "--model", str(model), "--quiet"]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_store_that_refuses_is_told(store: Store, model: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    write_pictures(source, 2)
    command = ["encode", source, "-o", "s3://nowhere/out", "--manifest", tmp_path / "m.jsonl", "--model", model]
    status, records, _ = rnc(store, *command)

    assert status == 1
    assert [record["file"] for record in records[:-1]] == ["000.jpg", "sub/001.jpg"]
    assert all("bucket does not exist" in record["error"] for record in records[:-1])
    status, records, _ = rnc(store, "decode", "s3://nowhere/out", "-o", tmp_path / "out")
    assert (status, len(records)) == (1, 1)
    assert "error" in records[0]
