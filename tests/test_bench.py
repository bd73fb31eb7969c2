"""The bench runs, all libraries compute the same values in it, and its report is what it measured."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pytest

import tinytensor
from tinytensor import _kernels

BENCH = Path(__file__).parent.parent / "bench"
GROUPS = ["elementwise", "matmul", "train", "overhead", "threads", "memory", "mnist"]
pytest.importorskip("threadpoolctl")
pytest.importorskip("matplotlib")


def bench(*arguments):
    """The finished run of the bench's command."""
    environment = {**os.environ, "PYTHONPATH": str(Path(tinytensor.__file__).parent.parent)}
    program = [sys.executable, BENCH / "run.py", "--quick", "--peers", "numpy", *arguments]
    return subprocess.run(
        program, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Output and folder of a quick run over all groups."""
    folder = tmp_path_factory.mktemp("bench")
    done = bench("--out", folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


@pytest.fixture
def module(monkeypatch):
    """A module of the bench, by name."""
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module


@pytest.mark.parametrize("group", GROUPS)
def test_report_of_a_group(quick, group):
    output, folder = quick
    run = json.loads((folder / f"{group}.json").read_text())
    assert (folder / f"{group}.png").read_bytes().startswith(b"\x89PNG\r\n")
    markdown = (folder / f"{group}.md").read_text()
    labels = [worker["label"] for worker in run["workers"]]
    assert labels[0] == "tinytensor" and run["workers"][0]["isa"] == _kernels.isa()
    for line in (run["meaning"], *run["remarks"]):
        assert line in output and line in markdown
    for case in run["cases"]:
        name = re.escape(case["name"].removesuffix(f" of {case['panel']}"))
        assert re.search(rf"^{name}  ", output, re.MULTILINE) and re.search(rf"^\| {name} \|", markdown, re.MULTILINE)
        took_part = [t["label"] for t in case["times"]]
        assert took_part == [label for label in labels if label in took_part] and took_part
        assert not case["rows"] or set(took_part) <= set(case["rows"])
        for t in case["times"]:
            assert min(t["blocks"]) == t["min"] and median(t["blocks"]) == t["median"]
            if "rate" in t:
                assert t["min"] > 0 and t["rate"] == pytest.approx(case["work"] / t["median"] * 1e-9)


@pytest.mark.parametrize("group", GROUPS[:4])
def test_numpy_is_the_base(quick, group):
    run = json.loads((quick[1] / f"{group}.json").read_text())
    alone = [case["name"] for case in run["cases"] if "NumPy" not in [t["label"] for t in case["times"]]]
    # many parameters are one array where the step is written by hand
    assert alone == ["SGD step, 3000 tensors of 1000", "Adam step, 3000 tensors of 1000"] * (group == "overhead")


def test_each_openblas_row_runs_the_kernels_of_its_name(quick):
    workers = json.loads((quick[1] / "matmul.json").read_text())["workers"]
    base = next(worker for worker in workers if worker["label"] == "NumPy")
    for worker in workers:
        if worker["label"].startswith("NumPy "):
            assert worker["label"] == f"NumPy {worker['kernel']}" and worker["kernel"] != base["kernel"]


def test_rows_of_threads_have_as_many(quick):
    workers = {w["label"]: w["threads"] for w in json.loads((quick[1] / "threads.json").read_text())["workers"]}
    counted = {label: int(n[1]) for label in workers if (n := re.search(r"(\d+) thread", label))}
    assert counted["tinytensor, 1 thread"] == 1
    assert {label: workers[label] for label in counted} == counted


def test_figures_of_memory_and_mnist(quick):
    memory, mnist = (
        {
            case["name"]: {t["label"]: t["median"] for t in case["times"]}
            for case in json.loads((quick[1] / f"{group}.json").read_text())["cases"]
        }
        for group in ("memory", "mnist")
    )
    for label in ("tinytensor", "NumPy"):
        assert memory["peak, MB"][label] > memory["peak above what the import takes, MB"][label] > 0
        assert memory["bytes a tensor"][label] > 50
    assert mnist["test accuracy, %"]["tinytensor"] > 90
    assert mnist["from the shell to the accuracy, s"]["tinytensor"] > mnist["training, s"]["tinytensor"] > 0


def test_a_column_for_each_instruction_set(tmp_path):
    isas = _kernels.isas()
    done = bench("--group", "elementwise", "--isa", ",".join(isas), "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    workers = json.loads((tmp_path / "elementwise.json").read_text())["workers"]
    assert [worker.get("isa") for worker in workers] == [*isas, None]
    assert [worker["label"] for worker in workers] == [*(f"tinytensor {isa}" for isa in isas), "NumPy"]


def test_different_values_end_the_run(module):
    agree = module("run")._agree
    agree("case", {"NumPy": np.ones(3), "tinytensor": np.ones(3) * 1.00001})
    for wrong in (np.ones(3) * 1.01, np.array([1, 1, np.nan]), np.ones(2)):
        with pytest.raises(SystemExit, match="case: tinytensor and NumPy do not compute the same values"):
            agree("case", {"NumPy": np.ones(3), "tinytensor": wrong})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--peers", "numpy,torch"], "torch is not installed: pip install torch"),
        (["--peers", "tensorflow"], "'tensorflow' is none of numpy, torch, jax"),
        (["--isa", "sse"], "'sse' is none of avx512, avx2, generic"),
        (["--isa", "avx2", "--group", "memory"], "--isa makes rows in the groups elementwise, matmul, train, overhead"),
    ],
)
def test_wrong_options(module, monkeypatch, capsys, arguments, message):
    run = module("run")
    monkeypatch.setattr(run, "find_spec", lambda name: None if name == "torch" else object())
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    with pytest.raises(SystemExit, match="2"):
        run._options()
    assert message in capsys.readouterr().err


def test_columns_of_a_case(module):
    report = module("report")
    task = module("task")
    case = task.Case("x", "panel", work=2e9, limit="float32")
    blocks = {"tinytensor": [0.02, 0.03, 0.01], "NumPy": [0.03], "PyTorch": [0.05]}
    found, run = report.measured(case, blocks, 1e-9), {"peak": {"float32": 200.0}}
    assert found["times"][0]["median"] == 0.02 and found["times"][0]["rate"] == pytest.approx(100)
    assert report.best_peer(found, run) == "1.50x NumPy" and report.against("PyTorch")(found, run) == "2.50x"
    assert report.against("JAX")(found, run) == ""
    assert report.at_limit(found, run) == "10,000" and report.share(found, run) == "50 %"
    assert report.share(found, {"peak": {}}) == ""
