"""The benchmark of the import."""

from __future__ import annotations

import sys

import pytest

from benchmarks import import_time

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the clock of child processes is that of Unix")


def test_a_program_that_works_longer_adds_time() -> None:
    added = import_time.measure(3, "pass", "sum(range(20_000_000))")

    assert added.cpu_ms > 0
    assert added.base_cpu_ms > 0


@pytest.mark.parametrize(("limit", "status"), [("1e9", 0), ("-1e9", 1)])
def test_the_command_fails_beyond_its_limit(
    limit: str, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["import_time", "--pairs", "1", f"--limit={limit}"])

    assert import_time.main() == status
    assert "adds" in capsys.readouterr().out
