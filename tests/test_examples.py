"""The examples and the README's program run, and print what they claim."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(path, *args, timeout=120):
    """What a script prints, run as a user would."""
    done = subprocess.run([sys.executable, str(path), *args], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


def test_digits_learns(tmp_path):
    """The network reaches 97 % on images it has not seen, its loss falls, and the curve is drawn."""
    printed = run(ROOT / "examples" / "digits.py", "--out", str(tmp_path))
    epochs = re.findall(r"epoch +(\d+) +loss ([\d.]+) +test accuracy ([\d.]+)%", printed)
    losses = [float(loss) for _, loss, _ in epochs]
    assert len(epochs) >= 20
    assert losses[-1] < 0.1 * losses[0]
    assert float(epochs[-1][2]) >= 97.0
    assert (tmp_path / "digits.png").read_bytes().startswith(b"\x89PNG")


EXAMPLES = [path for path in sorted(ROOT.glob("examples/*.py")) if path.stem != "digits"]  # it has the test above


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path):
    """Each example checks its own result."""
    assert run(path)


def test_readme(tmp_path):
    """The README's example prints the output shown below it."""
    blocks = re.findall(r"```(\w*)\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    at = next(k for k, (language, _) in enumerate(blocks) if language == "python")
    program = tmp_path / "readme.py"
    program.write_text(blocks[at][1])
    assert run(program) == blocks[at + 1][1]
