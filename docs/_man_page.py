"""Write the man page of ``rnc`` from its parser: ``python docs/_man_page.py > docs/rnc.1``.

The wheel installs the page below ``share/man/man1``. Only names and texts of the parser are used, so that the page does
not depend on how a version of argparse lays out its help.
"""

# ruff: noqa: INP001, SLF001, T201 -- a program; argparse shows its actions to nobody else

from __future__ import annotations

import argparse
import textwrap

from pillow_rnc.cli.parser import argument_parser

_HEAD = r""".\" Made by docs/_man_page.py from the parser.
.TH RNC 1 "" "pillow-rnc" "User Commands"
.SH NAME
rnc \- read and write .rnc images
.SH SYNOPSIS
.B rnc
.I COMMAND
.RI [ OPTION ]...
.RI [ FILE ]...
.SH DESCRIPTION
Reads and writes images of the learned, progressive format .rnc.
.I FILE
may be \- for standard input.
"""
_TAIL = r""".SH EXIT STATUS
0 if every file succeeded, 1 if one failed or standard output cannot be written, 2 for wrong usage
or an option that no file could be processed with, 128 plus the number of the signal that ended the command.
.SH ENVIRONMENT
.TP
.B PILLOW_RNC_MAX_WORK
most pixels times iterations to decode of one file
.TP
.B PILLOW_RNC_KERNEL
0 never uses the native kernel, 1 insists on it
.TP
.B OMP_NUM_THREADS
limits the threads of the native kernel
.SH SEE ALSO
.BR cwebp (1),
.BR cjxl (1),
.BR avifenc (1)
"""


def page() -> str:
    """Return the page in the man macros of roff."""
    parser = argument_parser()
    parts = [_HEAD, ".SH OPTIONS\n", *_options(parser), ".SH COMMANDS\n"]
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    summaries = {choice.dest: choice.help for choice in commands._choices_actions}
    for name, command in commands.choices.items():
        parts += [f'.SS "{name}"\n', f"{_escaped(summaries[name] or '')}.\n", *_options(command)]
    return "".join([*parts, _TAIL])


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [_option(action) for action in parser._actions if _is_shown(action)]


def _is_shown(action: argparse.Action) -> bool:
    return not isinstance(action, argparse._SubParsersAction) and action.help != argparse.SUPPRESS


def _option(action: argparse.Action) -> str:
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    text = (action.help or "") % {"default": action.default, "prog": "rnc"}
    names = ", ".join(rf"\fB{_escaped(name)}\fR" for name in action.option_strings)
    shown = rf"\fI{_escaped(str(value))}\fR" if action.nargs != 0 else ""
    return f".TP\n{' '.join(part for part in (names, shown) if part)}\n{_escaped(textwrap.dedent(text))}\n"


def _escaped(text: str) -> str:
    """Return text that roff shows as it is."""
    return text.replace("\\", r"\e").replace("-", r"\-").replace("\n.", "\n\\&.")


if __name__ == "__main__":
    print(page(), end="")
