"""The format in every notebook and IPython session, without a line in them.

``%load_ext pillow_rnc.contrib.ipython`` does what ``import pillow_rnc`` does; a configuration can ask for it always:
``c.InteractiveShellApp.extensions = ["pillow_rnc.contrib.ipython"]`` in ``ipython_config.py``.
"""

from __future__ import annotations

from pillow_rnc.plugin.registration import register


def load_ipython_extension(_shell: object) -> None:
    """Make Pillow know the format; IPython calls this."""
    register()
