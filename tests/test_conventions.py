"""The table of points without a derivative in docs/derivatives.md is true, in both modes."""

import linecache
from pathlib import Path

import numpy as np
import pytest

from myia_lite import grad, jvp

TEXT = (Path(__file__).parent.parent / "docs" / "derivatives.md").read_text()
SECTION = TEXT.split("## Points without a derivative")[1].split("\n## ")[0]
TABLE = [line for line in SECTION.splitlines() if line.startswith("| `")]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE]


def test_the_table_is_read():
    assert len(ROWS) > 25 and all(len(row) == 6 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} at {row[1]}".replace("`", ""))
def test_row(row, tmp_path):
    expression, at, forward, reverse, *_ = row
    source = f"import numpy as np\n\n\ndef f(x):\n    return {expression.strip('`')}\n"
    path = tmp_path / "row.py"
    path.write_text(source)
    linecache.checkcache(str(path))
    names = {}
    exec(compile(source, str(path), "exec"), names)
    x = np.float64(at)
    _, y_dot = jvp(names["f"], (x,), (np.float64(1.0),))
    np.testing.assert_equal([float(y_dot), float(grad(names["f"])(x))], [float(forward), float(reverse)])
