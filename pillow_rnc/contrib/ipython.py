"""IPython: registers the format in every notebook and session, without a line in them.

``%load_ext pillow_rnc.contrib.ipython`` does what ``import pillow_rnc`` does; in a configuration it applies to all:
``c.InteractiveShellApp.extensions = ["pillow_rnc.contrib.ipython"]`` in ``ipython_config.py``.
"""

from __future__ import annotations

from pillow_rnc.plugin.handlers import register


def load_ipython_extension(_shell: object) -> None:
    """Register the format; IPython calls this."""
    register()
