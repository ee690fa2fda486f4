"""Joins the modules that a page needs which works without network to one plain script, as pages from files need it.

    python web/bundle.py            # writes web/dist/page-decoder.js
    python web/bundle.py --check    # compares it with the modules

A browser loads no module and no worker's script from a file, but runs a script that the page itself holds, also in a
worker. The modules of `src` share one scope in it, so no two of them may define the same name at their top.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ENTRY = "page_worker.js"
BUNDLE = "page-decoder.js"
_WEB = Path(__file__).resolve().parent
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+\.js)";$')
_NAME = re.compile(
    r"^(?:export )?(?:async )?(?:function\*? |const |let |class )(\w+)|^const \{([^}]*)\}|^const \[([^\]]*)\]"
)
_FORBIDDEN = ("</script", "<!--", "import.meta")


def bundle(folder: Path = _WEB / "src", entry: str = ENTRY) -> str:
    """Return the script of a module and all that it imports, in the order of their imports.

    Raises:
        ValueError: Two modules define one name, or a module holds what a plain script inside a page cannot.
    """
    parts: dict[str, str] = {}
    _collect(folder, entry, parts)
    owners: dict[str, str] = {}
    for module, text in parts.items():
        for name in _names(text):
            if name in owners:
                raise ValueError(f"{name} is defined in {owners[name]} and in {module}, in a bundle they share a scope")
            owners[name] = module
    body = "".join(re.sub(r"^export ", "", text, flags=re.MULTILINE) for text in parts.values())
    found = [one for one in _FORBIDDEN if one in body]
    if found:
        raise ValueError(f"a script inside a page must not hold {found[0]}")
    return f'// Made by web/bundle.py of web/src; do not edit.\n(() => {{\n"use strict";\n{body}}})();\n'


def _collect(folder: Path, module: str, parts: dict[str, str]) -> None:
    lines = []
    for line in (folder / module).read_text(encoding="utf-8").splitlines():
        if line.startswith("import "):
            match = _IMPORT.match(line)
            if match is None or " as " in match[1]:
                raise ValueError(f"{module}: not an import that can be bundled: {line}")
            if match[2] not in parts:
                _collect(folder, match[2], parts)
        else:
            lines.append(line)
    if any(line.startswith(("export default", "export {", "export *")) for line in lines):
        raise ValueError(f"{module}: an export that cannot be bundled")
    parts[module] = "\n".join(lines) + "\n"


def _names(text: str) -> list[str]:
    found = []
    for line in text.splitlines():
        match = _NAME.match(line)
        if match:
            found += [one.strip() for one in (match[1] or match[2] or match[3]).split(",")]
    return found


def main() -> None:
    """Write the script, or compare."""
    target = _WEB / "dist" / BUNDLE
    text = bundle()
    print(f"{BUNDLE}: {len(text.encode())} bytes")
    if "--check" not in sys.argv[1:]:
        target.write_text(text, encoding="utf-8")
    elif target.read_text(encoding="utf-8") != text:
        sys.exit("web/dist/page-decoder.js differs from web/src; run python web/bundle.py")


if __name__ == "__main__":
    main()
