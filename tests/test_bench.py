"""The bench runs, both libraries compute the same values in it, and its report is what it measured."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pytest

import tinytensor
from tinytensor import _kernels

BENCH = Path(__file__).parent.parent / "bench"
pytest.importorskip("threadpoolctl")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Output and folder of a quick run over all groups."""
    folder = tmp_path_factory.mktemp("bench")
    environment = {**os.environ, "PYTHONPATH": str(Path(tinytensor.__file__).parent.parent)}
    program = [sys.executable, BENCH / "run.py", "--quick", "--out", folder]
    done = subprocess.run(
        program, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


@pytest.mark.parametrize("group", ["elementwise", "matmul", "train"])
def test_report_of_a_group(quick, group):
    output, folder = quick
    run = json.loads((folder / f"{group}.json").read_text())
    assert (folder / f"{group}.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert len((folder / f"{group}.md").read_text().splitlines()) == len(run["cases"]) + 2
    labels = [worker["label"] for worker in run["workers"]]
    assert labels[:3] == ["tinytensor", "tinytensor, 1 thread", "NumPy"] and run["workers"][0]["isa"] == _kernels.isa()
    assert run["workers"][1]["threads"] == 1
    for case in run["cases"]:
        assert case["name"] in output
        assert [t["label"] for t in case["times"]] == labels
        for t in case["times"]:
            assert len(t["blocks"]) == run["rounds"] and min(t["blocks"]) == t["min"] > 0
            assert median(t["blocks"]) == t["median"]
            assert t["rate"] == pytest.approx(case["work"] / t["median"] * (1 if run["rate"] == "images/s" else 1e-9))


def test_each_openblas_row_runs_the_kernels_of_its_name(quick):
    workers = json.loads((quick[1] / "matmul.json").read_text())["workers"]
    for worker in workers[3:]:
        assert worker["label"] == f"NumPy {worker['kernel']}" and worker["kernel"] != workers[2]["kernel"]


def test_different_values_end_the_run(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    run = importlib.import_module("run")
    run._agree("case", {"NumPy": np.ones(3), "tinytensor": np.ones(3) * 1.00001})
    for wrong in (np.ones(3) * 1.01, np.array([1, 1, np.nan]), np.ones(2)):
        with pytest.raises(SystemExit, match="case: tinytensor and NumPy do not compute the same values"):
            run._agree("case", {"NumPy": np.ones(3), "tinytensor": wrong})
