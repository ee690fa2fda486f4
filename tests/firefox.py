"""Firefox, driven by Marionette, the protocol that it has itself: Playwright drives only a Firefox of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START_S = 120
_SCRIPT_MS = 300_000  # a busy machine is slow


class Firefox:
    """A session; commands are those of WebDriver."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._answers = self._socket.makefile("rb")
        self._last = 0
        self._receive()  # a greeting
        self.command("WebDriver:NewSession", capabilities={"alwaysMatch": {}})
        self.command("WebDriver:SetTimeouts", script=_SCRIPT_MS, pageLoad=_SCRIPT_MS)

    def goto(self, url: str) -> None:
        self.command("WebDriver:Navigate", url=url)

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 -- whatever the script returns
        """Return the value of an expression, which may be a promise."""
        script = (
            f"const done = arguments[0]; Promise.resolve().then(() => {expression}).then(done, (e) => done(String(e)))"
        )
        return self.command("WebDriver:ExecuteAsyncScript", script=script, args=[])["value"]

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        self.evaluate(
            f"new Promise((next) => {{ const look = () => ({condition}) ? next() : setTimeout(look, 50); look(); }})"
        )

    def command(self, name: str, **parameters: Any) -> Any:  # noqa: ANN401 -- JSON
        self._last += 1
        text = json.dumps([0, self._last, name, parameters]).encode()
        self._socket.sendall(str(len(text)).encode() + b":" + text)
        _, number, error, result = self._receive()
        assert (number, error) == (self._last, None)
        return result

    def close(self) -> None:
        self.command("Marionette:Quit", flags=["eForceQuit"])
        self._answers.close()
        self._socket.close()

    def _receive(self) -> Any:  # noqa: ANN401 -- JSON
        length = b""
        while (digit := self._answers.read(1)) != b":":
            assert digit, "Firefox has ended"
            length += digit
        return json.loads(self._answers.read(int(length)))


@contextmanager
def running(folder: Path) -> Iterator[Firefox]:
    """Run Firefox, the one that FIREFOX names or that is on the path, with a profile in an empty folder."""
    path = os.environ.get("FIREFOX") or shutil.which("firefox") or shutil.which("firefox-esr")
    assert path, "no Firefox: apt-get install firefox-esr, or name one with FIREFOX"
    (folder / "user.js").write_text('user_pref("marionette.port", 0);\n')
    command = [path, "--headless", "--marionette", "--no-remote", "--profile", str(folder)]
    environment = {**os.environ, "HOME": str(folder)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = folder / "MarionetteActivePort"
        end = time.monotonic() + _START_S
        while not (port.exists() and port.read_text()):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.1)
        firefox = Firefox(int(port.read_text()))
        yield firefox
        firefox.close()
        process.wait(_START_S)
    finally:
        process.kill()
        process.wait()
