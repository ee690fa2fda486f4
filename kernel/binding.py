"""Write the C source of the Python extension: cffi in API mode, for the stable ABI of CPython."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cffi import FFI


def main(header: str, output: str) -> None:
    """Write the binding of a header to a file."""
    text = Path(header).read_text(encoding="utf-8")
    declarations = text.split("/* cffi begin */")[1].split("/* cffi end */")[0]
    ffi = FFI()
    ffi.cdef(re.sub(r"/\*.*?\*/", "", declarations, flags=re.DOTALL))
    ffi.set_source("pillow_rnc.entropy.kernel._kernel", '#include "rnc_kernel.h"', py_limited_api=True)
    ffi.emit_c_code(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
