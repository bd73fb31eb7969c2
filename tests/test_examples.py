"""The examples run and learn."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tinytensor

PACKAGE = Path(tinytensor.__file__).parent.parent
EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("name", [path.name for path in sorted(EXAMPLES.glob("*.py"))])
def test_one_epoch_of_the_example_learns(name):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}  # this tinytensor, installed or not
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, "1"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    accuracy = re.fullmatch(r"test accuracy (\d+\.\d\d) %\n", done.stdout)
    assert accuracy and 90 < float(accuracy[1]) <= 100
