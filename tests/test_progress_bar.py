"""The progress bar of the command line."""

from __future__ import annotations

import io

import pytest

from pillow_rnc.cli import progress_bar
from pillow_rnc.cli.progress_bar import bar_line, open_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class GoneTerminal(Terminal):
    def write(self, _text: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    [
        (0, 4, 0.0, "[....................] 0/4 files, 0:00"),
        (1, 4, 65.0, "[#####...............] 1/4 files, 1:05, 3:15 left"),
        (3, 4, 7200.0, "[###############.....] 3/4 files, 2:00:00, 40:00 left"),
        (4, 4, 3.0, "[####################] 4/4 files, 0:03"),
        (0, 0, 0.0, "[####################] 0/0 files, 0:00"),
    ],
)
def test_the_line_says_what_is_done_and_how_long_the_rest_takes(
    done: int, total: int, seconds: float, line: str
) -> None:
    assert bar_line(done, total, seconds) == line


def test_a_terminal_shows_the_bar_within_its_width_and_is_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(progress_bar, "_SECONDS_BETWEEN", 0.0)
    with open_bar(3, quiet=False) as bar:
        bar.update()
        bar.clear()
        bar.update()
        bar.update()
    lines = terminal.getvalue().split("\r\x1b[K")

    assert [line for line in lines if line][-1].startswith("[####################] 3/3")
    assert max(map(len, lines)) < 30
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_many_files_in_a_moment_draw_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    with open_bar(1000, quiet=False) as bar:
        for _ in range(1000):
            bar.update()

    assert terminal.getvalue().count("files") == 2


@pytest.mark.parametrize(("total", "quiet"), [(1, False), (5, True)])
def test_one_file_or_quiet_shows_nothing(total: int, quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with open_bar(total, quiet=quiet) as bar:
        bar.update()
        bar.clear()

    assert terminal.getvalue() == ""


def test_a_terminal_that_has_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", GoneTerminal())
    with open_bar(2, quiet=False) as bar:
        bar.update()
        bar.clear()
