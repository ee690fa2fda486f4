"""What a frozen program needs beside the modules that its analysis finds: the weights."""

from __future__ import annotations

from pillow_rnc.models.weights import releases

# Named one by one, as an editable install has them in the checkout.
datas = [
    (str(path), "pillow_rnc/_weights")
    for release in releases()
    for path in (release.path, release.path.with_name("MANIFEST.json"))
]
