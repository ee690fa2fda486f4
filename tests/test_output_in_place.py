"""What a file is, beside its contents, stays as it was when it is replaced."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import pytest

from pillow_rnc.plugin import file_io
from pillow_rnc.plugin.file_io import atomic_write, not_halved, remove_unfinished, unfinished

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners and links are those of Unix")

NEW = b"new contents"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "a.rnc"
    path.write_bytes(b"old")
    path.chmod(0o640)
    return path


def refuse(number: int) -> Any:  # noqa: ANN401 -- in place of any function
    def fail(*_arguments: object, **_keywords: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_hard_link_stays_one(old: Path) -> None:
    other = old.with_name("b.rnc")
    other.hardlink_to(old)
    atomic_write(old, NEW)
    assert other.read_bytes() == NEW
    atomic_write(other, b"")

    assert (old.read_bytes(), old.stat().st_nlink) == (b"", 2)
    assert len(list(old.parent.iterdir())) == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_owner_and_mode_stay(old: Path) -> None:
    os.chown(old, 65534, 65533)
    old.chmod(0o604)
    atomic_write(old, NEW)
    about = old.stat()

    assert old.read_bytes() == NEW
    assert (about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)) == (65534, 65533, 0o604)


def test_what_cannot_be_renamed_is_overwritten(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = old.stat().st_ino
    monkeypatch.setattr(Path, "replace", refuse(errno.EBUSY))
    atomic_write(old, NEW)

    assert (old.read_bytes(), old.stat().st_ino) == (NEW, before)
    assert list(old.parent.iterdir()) == [old]
    monkeypatch.setattr(Path, "replace", refuse(errno.EIO))
    with pytest.raises(OSError, match=r"[Ii]nput/output"):
        atomic_write(old, b"newer")
    assert old.read_bytes() == NEW


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_may_allow_no_new_file(number: int, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def open_unless_new(path: Path, mode: str = "r", *arguments: Any, **keywords: Any) -> IO[Any]:  # noqa: ANN401
        if mode == "xb" and path.parent == old.parent:
            refuse(number)()
        return opened(path, mode, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", open_unless_new)
    with pytest.raises(OSError, match=os.strerror(number)):
        atomic_write(old.with_name("b.rnc"), NEW)
    if number == errno.ENOSPC:
        with pytest.raises(OSError, match=os.strerror(number)):
            atomic_write(old, NEW)
        assert old.read_bytes() == b"old"
    else:
        atomic_write(old, NEW)
        assert old.read_bytes() == NEW


def test_a_file_that_may_not_be_written_is_not_replaced(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError):
        atomic_write(old, NEW)

    assert old.read_bytes() == b"old"


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot reserve room")
def test_old_contents_are_touched_only_if_there_is_room(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old.with_name("b.rnc").hardlink_to(old)
    monkeypatch.setattr(os, "posix_fallocate", refuse(errno.ENOSPC))
    with pytest.raises(OSError, match=r"[Nn]o space"):
        atomic_write(old, NEW)
    assert old.read_bytes() == b"old"
    monkeypatch.setattr(os, "posix_fallocate", refuse(errno.EOPNOTSUPP))
    atomic_write(old, NEW)
    assert old.read_bytes() == NEW


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="this system has other attributes")
def test_extended_attributes_stay_where_there_are_some(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, bytes] = {}
    monkeypatch.setattr(os, "listxattr", lambda _path: ["user.a", "security.b"])
    monkeypatch.setattr(os, "getxattr", lambda _path, name: name.encode())

    def set_attribute(_path: Path, name: str, value: bytes) -> None:
        if name.startswith("security"):
            refuse(errno.EPERM)()
        kept[name] = value

    monkeypatch.setattr(os, "setxattr", set_attribute)
    atomic_write(old, NEW)
    assert kept == {"user.a": b"user.a"}
    monkeypatch.setattr(os, "listxattr", refuse(errno.ENOTSUP))
    atomic_write(old, NEW)
    assert old.read_bytes() == NEW


def test_systems_without_these_calls_do_without(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("listxattr", "posix_fallocate"):
        monkeypatch.delattr(os, name, raising=False)
    atomic_write(old, NEW)
    old.with_name("b.rnc").hardlink_to(old)
    atomic_write(old, NEW * 2)

    assert old.read_bytes() == NEW * 2


def test_what_is_unfinished_is_removed_after_what_is_nearly_done(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_io, "_PATIENCE_S", 60)
    entered = threading.Event()
    done = []

    def hold() -> None:
        with not_halved():
            entered.set()
            time.sleep(0.1)
            done.append(True)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    with unfinished(refuse(errno.EIO)), unfinished(old.unlink):
        remove_unfinished()
        assert done
        assert not old.exists()
    thread.join()


def test_a_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_io, "_PATIENCE_S", 0.05)
    with not_halved():
        remove_unfinished()
