"""The recipes of spec/file-types work, each where its program is installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.hosts  # they need programs that pip cannot install

SPEC = Path(__file__).parent.parent / "spec"
RECIPES = SPEC / "file-types"
IMAGE = SPEC / "vectors" / "valid" / "mode-RGBA.rnc"
SCHEMA = "start = element a { empty }\n"


def program(name: str) -> str:
    """Return the path of a program."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    assert found is not None, f"{name} is not installed"
    return found


def output(*command: object, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(part) for part in command], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an image and a schema, both named .rnc."""
    shutil.copyfile(IMAGE, tmp_path / "image.rnc")
    (tmp_path / "schema.rnc").write_text(SCHEMA, encoding="utf-8")
    return tmp_path


def test_file_names_pictures_and_no_schemas(folder: Path) -> None:
    command = (program("file"), "--brief", "--magic-file", RECIPES / "rnc.magic")

    assert output(*command, folder / "image.rnc") == "RNC image data, version 1.0, 20 x 12, RGBA, 3 iterations"
    assert output(*command, "--mime-type", folder / "image.rnc") == "image/x-rnc"
    assert "RNC" not in output(*command, folder / "schema.rnc")


def test_desktops_tell_pictures_from_schemas(folder: Path) -> None:
    packages = folder / "data" / "mime" / "packages"
    packages.mkdir(parents=True)
    shutil.copyfile(RECIPES / "rnc.xml", packages / "rnc.xml")
    output(program("update-mime-database"), packages.parent)
    env = os.environ | {"XDG_DATA_HOME": str(folder / "data")}
    command = (program("gio"), "info", "--attributes", "standard::content-type")

    assert "image/x-rnc" in output(*command, folder / "image.rnc", env=env)
    if Path("/usr/share/mime/packages/freedesktop.org.xml").is_file():
        assert "image/x-rnc" not in output(*command, folder / "schema.rnc", env=env)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*command: object) -> Iterator[None]:
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def content_type(port: int) -> str:
    url = f"http://127.0.0.1:{port}/image.rnc"
    for _ in range(1200):
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return str(reply.headers["Content-Type"])
        except urllib.error.URLError:
            time.sleep(0.05)
    pytest.fail("the server does not answer")


def test_nginx_serves_pictures_as_such(folder: Path) -> None:
    port, server = free_port(), program("nginx")
    folder.chmod(0o755)
    (folder / "conf").write_text(
        f"""
        daemon off; pid {folder}/pid; error_log {folder}/errors;
        events {{ }}
        http {{
            types {{ application/relax-ng-compact-syntax rnc; }}
            access_log off;
            client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
            uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
            server {{ listen 127.0.0.1:{port}; root {folder}; include {RECIPES}/nginx.conf; }}
        }}
        """,
        encoding="utf-8",
    )
    user = ("-g", "user root;") if os.geteuid() == 0 else ()
    with running(server, "-c", folder / "conf", *user):
        assert content_type(port) == "image/x-rnc"


def test_apache_serves_pictures_as_such(folder: Path) -> None:
    port, server = free_port(), program("apache2")
    modules = Path("/usr/lib/apache2/modules")
    names = [name for name in ("mpm_event", "authz_core", "mime", "headers") if (modules / f"mod_{name}.so").is_file()]
    (folder / "types").write_text("application/relax-ng-compact-syntax rnc\n", encoding="utf-8")
    (folder / "conf").write_text(
        "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in names)
        + f"""
        ServerName localhost
        ServerRoot {folder}
        Listen 127.0.0.1:{port}
        PidFile {folder}/pid
        ErrorLog {folder}/errors
        DefaultRuntimeDir {folder}
        TypesConfig {folder}/types
        DocumentRoot {folder}
        Include {RECIPES}/apache.conf
        """,
        encoding="utf-8",
    )
    for part in (folder, *folder.parents):
        if part != Path(part.anchor) and os.geteuid() == 0 and part.stat().st_uid == 0 and "pytest" in str(part):
            part.chmod(0o755)
    with running(server, "-D", "FOREGROUND", "-f", folder / "conf"):
        assert content_type(port) == "image/x-rnc"
