"""The recipes of docs/clusters.md do what they say, as they stand there."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from photographs import write_pictures
from PIL import Image

import pillow_rnc

REPOSITORY = Path(pillow_rnc.__file__).parents[1]
PATIENCE_S = 1800
BLOCKS = re.findall(
    r"```python\n(# (\w+)_recipe\.py .*?)```",
    (REPOSITORY / "docs" / "clusters.md").read_text(encoding="utf-8"),
    re.DOTALL,
)


@pytest.mark.hosts
@pytest.mark.parametrize("code", [pytest.param(code, id=engine) for code, engine in BLOCKS])
def test_every_picture_is_encoded_and_a_bad_one_is_told(code: str, tmp_path: Path) -> None:
    from pyarrow import parquet

    names = write_pictures(tmp_path / "in", 4)
    (tmp_path / "in" / "notes.txt").rename(tmp_path / "in" / "bad.jpg")
    (tmp_path / "recipe.py").write_text(code)
    command = [sys.executable, str(tmp_path / "recipe.py"), str(tmp_path / "in"), str(tmp_path / "out")]
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "PYSPARK_PYTHON": sys.executable,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_S)

    assert result.returncode == 0, result.stderr
    rows = {row["path"].partition("/in/")[2]: row for row in parquet.read_table(tmp_path / "out").to_pylist()}
    assert sorted(rows) == sorted([*names, "bad.jpg"])
    assert "cannot identify" in rows.pop("bad.jpg")["error"]
    for name, row in rows.items():
        assert not row["error"]
        with Image.open(tmp_path / "in" / name) as im:
            expected = io.BytesIO()
            im.save(expected, "RNC", iterations=6)
        assert row["rnc"] == expected.getvalue()
