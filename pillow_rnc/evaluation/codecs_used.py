"""What the files of an evaluation depend on: codecs, versions, options and settings."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, NamedTuple

import pillow_rnc
from pillow_rnc.evaluation.markdown_table import table
from pillow_rnc.evaluation.peers import PEERS

if TYPE_CHECKING:
    from pillow_rnc.evaluation.rate_distortion import Evaluation


class CodecUsed(NamedTuple):
    """A codec of an evaluation."""

    label: str
    library: str  # name and version of what codes
    package: str  # name and version of the Python package that it comes with
    options: dict[str, str]
    settings: list[int]


def codecs_used(evaluation: Evaluation) -> list[CodecUsed]:
    """Return all codecs of an evaluation, ours first.

    Raises:
        ModuleNotFoundError: The package of a peer is not installed.
    """
    first = evaluation.pictures[0]
    version = f"pillow-rnc {pillow_rnc.__version__}"
    used = [CodecUsed(evaluation.label, version, version, {}, [point.setting for point in first.ours])]
    for name, curve in first.peers.items():
        peer = PEERS[name]
        project = "Pillow" if peer.package is None else peer.package.project
        package = f"{project} {importlib.metadata.version(project)}"
        options = {key: str(value) for key, value in peer.options}
        used.append(CodecUsed(peer.label, peer.library(), package, options, [point.setting for point in curve]))
    return used


def codec_table(evaluation: Evaluation) -> str:
    """Return the codecs of an evaluation as a Markdown table."""
    rows = [
        [
            codec.label,
            codec.library,
            codec.package,
            ", ".join(f"{name}={value}" for name, value in codec.options.items()) or "-",
            ", ".join(map(str, codec.settings)),
        ]
        for codec in codecs_used(evaluation)
    ]
    return table(["Codec", "Library", "Package", "Options", "Settings"], rows)
