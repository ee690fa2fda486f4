"""Messages of the package name keywords of its functions; those of the command line are its options."""

from __future__ import annotations

import re

from pillow_rnc.plugin.defaults import MAX_WORK_VARIABLE

_STRIPPED = {"icc_profile": "icc"}
_OMITTED = re.compile(r"\b(exif|xmp|icc_profile|comment)=None\b")
_KEYWORD = re.compile(r"\b(target_size|target_bpp|target_psnr|alpha_quality|allow_truncated)\b(?:=True\b)?")
_VALUE = re.compile(r"\b(iterations|quality|device|region|model)=(['\"]?)([\w.:-]+)\2")
_LEFT_OUT = re.compile(r"^(exif|xmp|icc_profile|comment) of the image is left out: .*")
_FUNCTION = re.compile(r"\bpillow_rnc\.(info|verify|truncate)\b")
_MAX_WORK = re.compile(r"\bmax_work\b")
_FIRST = re.compile(
    r"^(iterations|quality|device|region)(?= .* (is not allowed|cannot be used|needs torch)| and | cannot )"
)


def in_terms_of_command_line(message: str) -> str:
    """Return a message with the options of ``rnc`` in place of keywords: ``--target-size`` for ``target_size``."""
    message = _MAX_WORK.sub(f"the environment variable {MAX_WORK_VARIABLE}", message)
    message = _FUNCTION.sub(r"rnc \1", message)
    message = _LEFT_OUT.sub(
        lambda found: f"{found[0]}; --strip {_STRIPPED.get(found[1], found[1])} omits it without this warning", message
    )
    message = _OMITTED.sub(lambda found: f"--strip {_STRIPPED.get(found[1], found[1])}", message)
    message = _VALUE.sub(r"--\1 \3", message)
    message = _FIRST.sub(r"--\1", message)
    return _KEYWORD.sub(lambda found: "--" + found[1].replace("_", "-"), message)
