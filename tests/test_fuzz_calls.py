"""Ten thousand calls with arguments that nobody should give: the interpreter lives, and what is raised is of a documented kind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tinytensor as tt


def test_ten_thousand_calls(tmp_path: Path) -> None:
    last = tmp_path / "last.txt"
    program = Path(__file__).parent / "fuzz_calls.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(tt.__file__).parent.parent)}
    command = [sys.executable, program, "0", "10000", "--last", last]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nlast call: {last.read_text()}"
