"""Files behind a URL are read as far as they are needed: bytes counted by the server."""

from __future__ import annotations

import io
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import fsspec
import pytest
from PIL import Image
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc.container import writer

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 512
"""Bytes that fsspec reads at a time, and so at most more than are needed."""


class RangeServer(BaseHTTPRequestHandler):
    """Serves parts of one file and counts their bytes."""

    content: ClassVar[bytes]
    served: ClassVar[int] = 0

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        assert asked, "the whole file is asked for"
        first, last = int(asked[1]), min(int(asked[2]), len(self.content) - 1)
        part = self.content[first : last + 1]
        RangeServer.served += len(part)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(self.content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    register_tiny_codec(tmp_path_factory.mktemp("weights"))
    fp = io.BytesIO()
    Image.effect_noise((768, 512), 60).save(fp, "RNC", model="tiny", iterations=4, comment="hello")
    return fp.getvalue()


@pytest.fixture
def url(data: bytes) -> Iterator[str]:
    RangeServer.content, RangeServer.served = data, 0
    with ThreadingHTTPServer(("127.0.0.1", 0), RangeServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/a.rnc"
        server.shutdown()
        thread.join()


def test_few_iterations_are_few_bytes_of_the_network(url: str, data: bytes) -> None:
    lengths = [len(writer.truncate(data, k)) for k in (1, 2, 3, 4)]
    assert lengths[0] + 4 * BLOCK < lengths[1] < lengths[3] - 4 * BLOCK
    with fsspec.open(url, block_size=BLOCK) as fp:
        im = pillow_rnc.open(fp, iterations=1)
        assert (im.size, im.info["comment"]) == ((768, 512), b"hello")
        assert RangeServer.served <= 2 * BLOCK
        assert im.tobytes() == pillow_rnc.open(io.BytesIO(data), iterations=1).tobytes()
        assert RangeServer.served <= lengths[0] + 2 * BLOCK

    with fsspec.open(url, block_size=BLOCK) as fp, Image.open(fp) as whole:
        assert whole.tobytes() == pillow_rnc.open(io.BytesIO(data)).tobytes()


def test_a_description_is_hardly_any_bytes_of_the_network(url: str, data: bytes) -> None:
    with fsspec.open(url, block_size=BLOCK) as fp:
        assert pillow_rnc.info(fp) == pillow_rnc.info(io.BytesIO(data))

    assert RangeServer.served <= 5 * 2 * BLOCK
    assert RangeServer.served < len(data) / 2
