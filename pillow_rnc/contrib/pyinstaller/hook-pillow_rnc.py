"""The data files of a frozen program: the weights, which the analysis of imports does not find."""

from __future__ import annotations

from pillow_rnc.models.weights import releases

# Listed one by one, because in an editable install they are in the checkout.
datas = [
    (str(path), "pillow_rnc/_weights")
    for release in releases()
    for path in (release.path, release.path.with_name("MANIFEST.json"))
]
