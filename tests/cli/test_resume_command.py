"""`tinytensor train --resume`: whatever ended a run, and however often, it ends with the same bits."""

import contextlib
import csv
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tinytensor
from tinytensor import cli
from tinytensor.cli import training
from tinytensor.train import load_checkpoint

pytest.importorskip("safetensors")

ELSEWHERE = Path(tinytensor.__file__).parent.parent  # not a clone, where the kernels may not be built
KILLS = 20
# Everything that draws or has a state: dropout, distortion, momentum, a schedule, averages, a holdout, accumulation.
OPTIONS = [
    "--hidden",
    "12,8",
    "--epochs",
    "24",
    "--batch-size",
    "7",
    "--dropout",
    "0.2",
    "--input-dropout",
    "0.1",
    "--optimizer",
    "adamw",
    "--ema",
    "0.9",
    "--norm",
    "batch",
    "--rotate",
    "5",
    "--shift",
    "0.5",
    "--elastic",
    "1",
    "--accumulate",
    "2",
    "--clip-grad-norm",
    "1",
    "--label-smoothing",
    "0.1",
    "--holdout",
    "20",
    "--no-plots",
]


def run(capsys, *arguments):
    """Status, lines of standard output, lines of standard error."""
    status = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err.splitlines()


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole")
    assert cli.main(["train", "--data", str(data), "--out", str(out), "--quiet", *OPTIONS]) == 0
    return out


def outcome(folder):
    """The hash of the weights, and the history without its times."""
    with open(folder / "history.csv") as file:
        rows = [{k: v for k, v in row.items() if "second" not in k} for row in csv.DictReader(file)]
    return load_checkpoint(folder / "checkpoint.safetensors").weights_hash(), rows


def wait_for_saves(state, count, process):
    """Look at the file until it was replaced `count` times."""
    seen, deadline = set(), time.monotonic() + 60
    while len(seen) <= count and process.poll() is None:
        assert time.monotonic() < deadline
        with contextlib.suppress(FileNotFoundError):
            seen.add(state.stat().st_mtime_ns)


def test_a_run_killed_again_and_again_ends_with_the_same_bits(data, tmp_path, whole):
    out = tmp_path / "run"
    chance = random.Random(0)
    environment = {**os.environ, "PYTHONPATH": str(ELSEWHERE)}
    start = [sys.executable, "-m", "tinytensor", "train", "--out", str(out), "--json", "--save-every", "1"]
    words = [*start, "--data", str(data), *OPTIONS]
    steps = []
    state = out / "state.safetensors"
    for _ in range(KILLS):
        with subprocess.Popen(words, cwd=ELSEWHERE, env=environment, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()  # it has its data, and begins
            wait_for_saves(state, chance.randrange(1, 6), process)
            for _ in range(chance.randrange(3000)):  # a moment that is nothing to do with a save
                pass
            process.kill()
            for line in process.stdout.read().splitlines():
                if line.startswith('{"event": "resume"'):
                    steps.append(json.loads(line)["step"])
        words = [*start, "--resume"]
        assert process.returncode == -9, "the run was over before it could be killed"
    assert len(steps) == KILLS - 1 and steps == sorted(steps) and steps[-1] > 20  # the kills fell into the training
    end = subprocess.run(words, cwd=ELSEWHERE, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert outcome(out) == outcome(whole)
    assert not [path.name for path in out.iterdir() if path.name.endswith(".tmp")]
    last = json.loads(end.stdout.splitlines()[-1])
    assert last["event"] == "end" and last["weights_sha256"] == outcome(whole)[0]


@pytest.mark.parametrize("step", [1, 5, 6, 7, 100])
def test_a_run_stopped_by_ctrl_c_goes_on(capsys, data, tmp_path, whole, monkeypatch, step):
    real = training._Files.on_step_end

    def interrupted(self, run):
        real(self, run)
        if run.step == step:
            run._interrupt.pending = True  # as the handler of the signal does

    monkeypatch.setattr(training._Files, "on_step_end", interrupted)
    status, _, errors = run(capsys, "train", "--data", data, "--out", tmp_path, *OPTIONS)
    assert status == 130
    assert errors[-1].endswith(f"go on with: tinytensor train --resume --out {tmp_path}")
    monkeypatch.setattr(training._Files, "on_step_end", real)
    status, lines, errors = run(capsys, "train", "--resume", "--out", tmp_path, "--no-plots")
    assert (status, errors) == (0, [])
    assert lines[1] == f"resumed in epoch {1 + (step - 1) // 5}, after step {step}"
    assert outcome(tmp_path) == outcome(whole)


def test_a_finished_run_is_not_trained_again(capsys, tmp_path, whole):
    before = outcome(whole)
    status, lines, _ = run(capsys, "train", "--resume", "--out", whole, "--no-plots")
    assert status == 0 and outcome(whole) == before and not any(line.startswith("epoch") for line in lines)


def test_without_a_state_it_begins(capsys, data, tmp_path, whole):
    run(capsys, "train", "--data", data, "--out", tmp_path, "--quiet", *OPTIONS)
    (tmp_path / "state.safetensors").unlink()
    status, _, _ = run(capsys, "train", "--resume", "--out", tmp_path, "--no-plots")
    assert status == 0 and outcome(tmp_path) == outcome(whole)


def test_a_new_run_in_the_folder_does_not_take_up_the_old_state(capsys, data, tmp_path, whole):
    run(capsys, "train", "--data", data, "--out", tmp_path, "--quiet", *OPTIONS, "--seed", 5)
    run(capsys, "train", "--data", data, "--out", tmp_path, "--quiet", *OPTIONS)
    assert outcome(tmp_path) == outcome(whole)


def test_the_written_configuration_repeats_the_run(capsys, tmp_path, whole):
    arguments = ["train", "--config", whole / "run.toml", "--out", tmp_path, "--no-plots", "--quiet"]
    assert run(capsys, *arguments)[0] == 0
    assert outcome(tmp_path) == outcome(whole)
    assert run(capsys, *arguments, "--seed", 3)[0] == 0
    assert outcome(tmp_path) != outcome(whole)


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(argument) for argument in arguments])
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_what_contradicts_the_run_is_refused(capsys, tmp_path, whole):
    message = refused(capsys, "train", "--resume", "--out", whole, "--lr", 0.5)
    assert f"the run in {whole} has lr = None, not 0.5" in message
    assert "has hidden = [12, 8], not (7,)" in refused(capsys, "train", "--resume", "--out", whole, "--hidden", 7)
    assert run(capsys, "train", "--resume", "--out", whole, "--epochs", 24, "--no-plots")[0] == 0
    status, _, errors = run(capsys, "train", "--resume", "--out", tmp_path)
    assert status == 1 and errors[0].endswith("run.toml: there is no run to resume in this folder")


def test_a_damaged_state_is_refused_and_left(capsys, tmp_path, data):
    run(capsys, "train", "--data", data, "--out", tmp_path, "--quiet", *OPTIONS)
    state = tmp_path / "state.safetensors"
    raw = state.read_bytes()
    for damaged in (raw[:1000], b"", raw[:-1], b"x" * 100):
        state.write_bytes(damaged)
        status, _, errors = run(capsys, "train", "--resume", "--out", tmp_path, "--no-plots", "--quiet")
        assert status == 1 and len(errors) == 1 and str(state) in errors[0]
        assert state.read_bytes() == damaged


def test_a_table_that_has_changed_is_refused(capsys, tmp_path):
    table = tmp_path / "t.csv"
    rows = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(40)]
    table.write_text("\n".join(["x,z,kind", *rows]))
    arguments = ("--out", tmp_path / "run", "--no-plots", "--quiet")
    assert run(capsys, "train", "--csv", table, "--target", "kind", "--epochs", 2, *arguments)[0] == 0
    table.write_text("\n".join(["x,z,kind", *rows[:-1], "39,400,b"]))
    status, _, errors = run(capsys, "train", "--resume", *arguments)
    assert status == 1 and "data.content is" in errors[-1]


def test_a_state_of_another_network_is_refused(capsys, tmp_path, data):
    run(capsys, "train", "--data", data, "--out", tmp_path, "--quiet", *OPTIONS)
    text = (tmp_path / "run.toml").read_text()
    (tmp_path / "run.toml").write_text(text.replace("hidden = [12, 8]", "hidden = [12, 9]"))
    status, _, errors = run(capsys, "train", "--resume", "--out", tmp_path, "--no-plots", "--quiet")
    assert status == 1 and "state.safetensors" in errors[0] and "model" in errors[0]
