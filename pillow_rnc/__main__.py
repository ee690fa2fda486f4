"""``python -m pillow_rnc`` is the command ``rnc``."""

import sys

from pillow_rnc.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
