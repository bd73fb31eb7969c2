"""`tinytensor train`: what it prints, what it writes, and one clear line for whatever goes wrong."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import tinytensor
from tinytensor import cli
from tinytensor.cli import training
from tinytensor.data import mnist
from tinytensor.train import DataConfig, TrainConfig, load_checkpoint

ELSEWHERE = Path(tinytensor.__file__).parent.parent  # not a clone, where the kernels may not be built
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ELSEWHERE)}  # installed or not
EXTRAS = ("tqdm", "matplotlib", "safetensors")
LAST_LINE = r"test accuracy \d+\.\d\d % in \d+\.\d s \(seed 0\)"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "new" / "run"


@pytest.fixture
def numpy_alone(monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] in EXTRAS:
            monkeypatch.delitem(sys.modules, name)
    for name in EXTRAS:
        monkeypatch.setitem(sys.modules, name, None)


def with_extras():
    for name in EXTRAS:
        pytest.importorskip(name)


def run(capsys, *arguments):
    """Status, lines of standard output, lines of standard error."""
    status = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err.splitlines()


def small(data, out, *more):
    return ("train", "--data", data, "--out", out, "--epochs", 3, "--hidden", 12, "--batch-size", 10, *more)


def test_train_prints_and_writes_what_it_should(capsys, data, out):
    with_extras()
    status, lines, errors = run(capsys, *small(data, out))
    assert (status, errors) == (0, [])
    assert lines[0].startswith("30-12-3 relu, 90 images, nesterov lr 0.1")
    for number, line in enumerate(lines[1:4], 1):
        assert re.fullmatch(
            rf"epoch {number}/3  loss \d\.\d{{4}}  accuracy \d+\.\d\d %  lr \S+  \d+\.\d\d s  [\d,]+ samples/s",
            line,
        )
    assert lines[4] == "wrote " + ", ".join(
        f"{out}/{name}" for name in ("checkpoint.safetensors", "history.csv", "curves.png", "digits.png")
    )
    assert re.fullmatch(LAST_LINE, lines[5]) and len(lines) == 6
    with open(out / "history.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert f"{float(rows[2]['train_loss']):.4f}" == lines[3].split()[3]
    for name in ("curves.png", "digits.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert {path.name for path in out.iterdir()} == {
        "checkpoint.safetensors", "history.csv", "curves.png", "digits.png", "run.toml", "state.safetensors"
    }  # fmt: skip


def test_the_last_line_is_the_last_epochs_test_accuracy(capsys, data, out):
    with_extras()
    _, lines, _ = run(capsys, *small(data, out, "--no-plots"))
    images = mnist(data)
    result = load_checkpoint(out / "checkpoint.safetensors").evaluate(images.test_images, images.test_labels)
    assert lines[-1].startswith(f"test accuracy {100 * result.accuracy:.2f} %")
    status, lines, errors = run(capsys, "eval", out / "checkpoint.safetensors", "--data", data)
    right = round(45 * result.accuracy)
    assert lines == [f"test accuracy {100 * result.accuracy:.2f} % ({right} of 45), loss {result.loss:.4f}"]
    assert (status, errors) == (0, [])


def test_options_reach_the_recipe(capsys, data, out, monkeypatch):
    seen = []

    def look(config, *rest, **more):
        seen.append((config, tinytensor.get_num_threads()))
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", look)
    run(capsys, "train", "--data", data, "--out", out)
    options = """--hidden 7,5 --activation tanh --optimizer nesterov --lr 0.25 --schedule linear --batch-size 9
        --epochs 4 --weight-decay 0.5 --dropout 0.125 --seed 11 --threads 1 --dtype float64 --holdout 6"""
    run(capsys, "train", "--data", data, "--out", out, *options.split())
    run(capsys, "train", "--data", data, "--out", out, "--hidden", "none")
    assert seen[0][0] == TrainConfig()
    expected = TrainConfig(
        hidden=(7, 5),
        activation="tanh",
        dropout=0.125,
        optimizer="nesterov",
        lr=0.25,
        schedule="linear",
        weight_decay=0.5,
        batch_size=9,
        epochs=4,
        seed=11,
        dtype="float64",
        holdout=6,
    )
    assert seen[1] == (expected, 1)
    assert seen[2][0].hidden == ()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_sees_a_bar_with_loss_and_speed(capsys, data, out, monkeypatch):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    status, lines, _ = run(capsys, *small(data, out, "--no-plots"))
    last = terminal.getvalue().split("\r")[-3]
    assert re.search(r"100%\|.*\| 90\.0/90\.0 \[.* samples/s, loss \d\.\d{4}\]", last)
    assert status == 0 and any(line.endswith("samples/s") and line.startswith("epoch 3/3") for line in lines)
    terminal.seek(0)
    terminal.truncate()
    run(capsys, *small(data, out, "--no-plots", "--quiet"))
    assert terminal.getvalue() == ""


def test_a_source_on_the_command_line_replaces_the_files(data, tmp_path):
    file = tmp_path / "run.toml"

    def resolved(text, *arguments):
        file.write_text(text)
        return training._resolve(cli.read(["train", "--config", str(file), *arguments]))[0]

    images = resolved('[data]\ndata = "x"\n', "--csv", "a.csv", "--target", "y")
    assert images == DataConfig(csv="a.csv", target="y")
    table = '[data]\nsource = "mnist"\ncsv = "a.csv"\ntarget = "y"\ntask = "regression"\ntest_share = 0.5\n'
    assert resolved(table, "--source", "fashion") == DataConfig(source="fashion")
    assert resolved(table, "--data", "x") == DataConfig(data="x")
    assert resolved(table, "--csv", "b.csv") == DataConfig(csv="b.csv", target="y", task="regression", test_share=0.5)


def test_quiet_prints_the_last_line_only(capsys, data, out):
    status, lines, _ = run(capsys, *small(data, out, "--quiet", "--no-plots", "--seed", 7))
    assert status == 0 and len(lines) == 1
    assert lines[0].endswith("s (seed 7)")


def test_diagnose_says_what_it_finds_and_changes_nothing(capsys, data, out):
    assert "no findings" in run(capsys, *small(data, out, "--diagnose", "--no-plots", "--lr", 0.03))[1]
    arguments = small(data, out, "--no-plots", "--json", "--lr", 3)
    plain, watched = ([json.loads(line) for line in run(capsys, *arguments, *more)[1]] for more in ([], ["--diagnose"]))
    found = [event for event in watched if event["event"] == "finding"]
    assert (found[0]["epoch"], found[0]["name"], found[0]["layer"]) == (1, "learning_rate_too_large", "")
    assert plain[-1]["weights_sha256"] == watched[-1]["weights_sha256"]
    _, lines, notes = run(capsys, *small(data, out, "--diagnose", "--no-plots", "--quiet", "--lr", 3))
    assert len(lines) == 1 and [note.partition(":")[0] for note in notes] == [f"epoch {e['epoch']}" for e in found]


def test_holdout_reports_the_holdout_and_leaves_the_test_images(capsys, data, out):
    _, lines, _ = run(capsys, *small(data, out, "--holdout", 30, "--no-plots"))
    found = re.fullmatch(r"epoch 3/3  loss .*  val loss \d\.\d{4}  val accuracy (\S+) %  .*", lines[3])
    assert lines[0].startswith("30-12-3 relu, 60 images")
    assert lines[-1].startswith(f"holdout accuracy {found[1]} % in ")


def test_a_repeated_run_is_the_same(capsys, data, out):
    with_extras()
    first = run(capsys, *small(data, out, "--no-plots"))
    content = (out / "checkpoint.safetensors").read_bytes()
    second = run(capsys, *small(data, out, "--no-plots"))
    losses = [[line.split("  ")[1] for line in lines[1:4]] for _, lines, _ in (first, second)]
    assert losses[0] == losses[1]
    tensors = [content[-100:], (out / "checkpoint.safetensors").read_bytes()[-100:]]
    assert tensors[0] == tensors[1]


def test_numpy_alone_trains_and_says_what_is_missing(capsys, data, out, numpy_alone):
    status, lines, errors = run(capsys, *small(data, out))
    assert status == 0
    assert errors == [
        "note: checkpoint.safetensors and state.safetensors need safetensors; curves.png and digits.png need matplotlib; "
        "the progress bar needs tqdm: pip install 'tinytensor[train]'"
    ]
    assert len([line for line in lines if line.startswith("epoch ")]) == 3
    assert lines[-2] == f"wrote {out}/history.csv"
    assert re.fullmatch(LAST_LINE, lines[-1])
    assert {path.name for path in out.iterdir()} == {"history.csv", "run.toml"}


def test_what_is_not_wanted_is_not_missed(capsys, data, out, numpy_alone):
    _, _, errors = run(capsys, *small(data, out, "--no-plots", "--quiet"))
    assert errors == [
        "note: checkpoint.safetensors and state.safetensors need safetensors: pip install 'tinytensor[train]'"
    ]


def test_eval_without_safetensors(capsys, data, tmp_path, numpy_alone):
    (tmp_path / "checkpoint").touch()
    status, lines, errors = run(capsys, "eval", tmp_path / "checkpoint", "--data", data)
    assert (status, lines) == (1, [])
    assert errors == ["tinytensor eval: error: saving and loading need safetensors: pip install 'tinytensor[train]'"]


WRONG_OPTIONS = {
    "unknown": (["train", "--widen"], "unrecognized arguments: --widen"),
    "abbreviated": (["train", "--epoch", "3"], "unrecognized arguments: --epoch 3"),
    "no command": ([], "required: {train,eval,predict,info,plot}"),
    "other command": (["test"], "invalid choice: 'test'"),
    "no checkpoint": (["eval"], "required: CHECKPOINT"),
    "width": (["train", "--hidden", "256,0"], "--hidden: expected widths such as 256,128, or none, got '0'"),
    "widths": (["train", "--hidden", "256,,3"], "--hidden: expected widths such as 256,128, or none, got ''"),
    "activation": (["train", "--activation", "swish"], "--activation: invalid choice: 'swish'"),
    "optimizer": (["train", "--optimizer", "sam"], "--optimizer: invalid choice: 'sam'"),
    "schedule": (["train", "--schedule", "step"], "--schedule: invalid choice: 'step'"),
    "dtype": (["train", "--dtype", "int8"], "--dtype: invalid choice: 'int8'"),
    "lr": (["train", "--lr", "0"], "--lr: expected a number above 0, got '0'"),
    "lr nan": (["train", "--lr", "nan"], "--lr: expected a number above 0, got 'nan'"),
    "lr inf": (["train", "--lr", "inf"], "--lr: expected a number above 0, got 'inf'"),
    "decay": (["train", "--weight-decay", "-1"], "--weight-decay: expected a number of at least 0, got '-1'"),
    "dropout": (["train", "--dropout", "1"], "--dropout: expected a number of at least 0 and below 1, got '1'"),
    "batch size": (["train", "--batch-size", "1.5"], "--batch-size: expected a whole number of at least 1, got '1.5'"),
    "epochs": (["train", "--epochs", "0"], "--epochs: expected a whole number of at least 1, got '0'"),
    "seed": (["train", "--seed", "-3"], "--seed: expected a whole number of at least 0, got '-3'"),
    "threads": (["eval", "x", "--threads", "two"], "--threads: expected a whole number of at least 1, got 'two'"),
    "holdout": (["train", "--holdout", "x"], "--holdout: expected a whole number of at least 0, got 'x'"),
    "recipe": (["train", "--recipe", "x"], "--recipe: invalid choice: 'x'"),
    "two sources": (["train", "--csv", "a", "--target", "b", "--data", "c"], "--data and --csv exclude each other"),
    "a source of images and a table": (
        ["train", "--csv", "a", "--target", "b", "--source", "mnist"],
        "--source and --csv exclude",
    ),
    "task of images": (["train", "--task", "regression"], "task is of a table"),
    "share of images": (["train", "--test-share", "0.5"], "test_share is of a table"),
    "no UTF-8": (["train", "--data", "\udcff"], "data must be text in UTF-8"),
    "no target": (["train", "--csv", "a"], "csv needs target, the column to learn"),
    "nothing to watch": (["train", "--early-stopping", "3"], "early_stopping needs samples to watch: set holdout too"),
    "resume a recipe": (["train", "--resume", "--recipe", "best"], "give no --recipe and no --config"),
    "two tests": (["eval", "x", "--csv", "a", "--data", "b"], "not allowed with argument"),
}


@pytest.mark.parametrize("case", WRONG_OPTIONS)
def test_wrong_command_line(capsys, case):
    arguments, message = WRONG_OPTIONS[case]
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    captured = capsys.readouterr()
    assert caught.value.code == 2 and captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("tinytensor") and message in line


def fails(capsys, *arguments):
    """The one line of an error with status 1."""
    return fails_with(1, capsys, *arguments)


def fails_with(expected, capsys, *arguments):
    status, lines, errors = run(capsys, *arguments)
    assert status == expected and not any("accuracy" in line for line in lines)
    (line,) = errors
    assert line.startswith(f"tinytensor {arguments[0]}: error: ")
    return line.split(": error: ")[1]


def copied(data, folder):
    folder.mkdir()
    for path in data.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_data_that_cannot_be_read(capsys, data, out, tmp_path):
    assert fails(capsys, *small(tmp_path / "absent", out)).startswith(f"{tmp_path}/absent: no such folder")
    broken = copied(data, tmp_path / "broken")
    path = broken / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    assert fails(capsys, *small(broken, out)).startswith(f"{path}: truncated")
    path.unlink()
    assert "no t10k-labels-idx1-ubyte" in fails(capsys, *small(broken, out))
    assert not out.exists()


def test_folder_that_cannot_be_written(capsys, data, tmp_path):
    (tmp_path / "file").write_text("here")
    assert fails(capsys, *small(data, tmp_path / "file")) == f"{tmp_path}/file: File exists"
    assert fails(capsys, *small(data, tmp_path / "file" / "run")) == f"{tmp_path}/file/run: Not a directory"


def test_recipes_that_cannot_work(capsys, data, out, monkeypatch):
    quiet = ("--quiet", "--no-plots")
    monkeypatch.setattr(training._Files, "missing", lambda self: [])  # no note of missing packages
    assert "leaves none of the 90 training images" in fails(capsys, *small(data, out, "--holdout", 90, *quiet))
    diverging = ("--lr", 1e30, "--optimizer", "sgd", "--schedule", "constant")
    message = fails_with(3, capsys, *small(data, out, *diverging, *quiet))
    assert re.search(r"the loss is (nan|inf) at step \d, in epoch 1, with learning rate 1e\+30", message)


def test_no_memory_is_one_line(capsys, data, out, monkeypatch):
    def no_memory(*_, **more):
        raise MemoryError

    with_extras()
    message = fails(capsys, *small(data, out, "--no-plots", "--hidden", 2**31 - 1))
    assert re.fullmatch(r"training hidden layers of 2147483647 in batches of 10 takes \d+ GB of memory, .*", message)
    monkeypatch.setattr(training, "train", no_memory)
    assert fails(capsys, *small(data, out)) == "not enough memory"


def test_checkpoints_that_cannot_be_used(capsys, data, out, tmp_path):
    with_extras()
    assert fails(capsys, "eval", tmp_path / "absent", "--data", data) == f"{tmp_path}/absent: No such file or directory"
    (tmp_path / "text").write_text("not a checkpoint at all")
    message = fails(capsys, "eval", tmp_path / "text", "--data", data)
    assert message.startswith(f"{tmp_path}/text: damaged or not a safetensors file")
    run(capsys, *small(data, out, "--no-plots"))
    assert fails(capsys, "eval", out, "--source", "mnist") == "the network takes images of 6x5, these are 28x28"


def interrupt_in_step(monkeypatch, step):
    real = training._Files.on_step_end

    def interrupted(self, run):
        real(self, run)
        if run.step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Files, "on_step_end", interrupted)


def test_interrupted_in_the_third_epoch_keeps_the_second(capsys, data, out, monkeypatch):
    with_extras()
    run(capsys, *small(data, out.parent / "whole", "--epochs", 2, "--schedule", "constant", "--no-plots"))
    interrupt_in_step(monkeypatch, 20)
    status, lines, errors = run(capsys, *small(data, out, "--schedule", "constant"))
    assert status == 130
    assert errors == [f"interrupted: epoch 2 is kept in {out}/checkpoint.safetensors, {out}/history.csv"]
    assert lines[-1].startswith("epoch 2/3")
    kept, whole = (load_checkpoint(folder / "checkpoint.safetensors") for folder in (out, out.parent / "whole"))
    for name, value in kept.model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), whole.model.state_dict()[name].numpy())
    assert len((out / "history.csv").read_text().splitlines()) == 3


def test_interrupted_in_the_first_epoch_keeps_nothing(capsys, data, out, monkeypatch):
    interrupt_in_step(monkeypatch, 5)
    status, _, errors = run(capsys, *small(data, out))
    assert (status, errors[-1]) == (130, "interrupted: no epoch was finished")
    assert [path.name for path in out.iterdir()] == ["run.toml"]


def test_interrupted_elsewhere(capsys, data, out, monkeypatch):
    def interrupted(*_, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "load_here", interrupted)
    assert run(capsys, *small(data, out)) == (130, [], ["interrupted"])


def test_long_training_saves_now_and_then(capsys, data, out, monkeypatch):
    monkeypatch.setattr(training, "_SAVE_EVERY", 0.0)
    lines_at_save = []
    save = training._Files.save
    monkeypatch.setattr(training._Files, "save", lambda self: lines_at_save.append(len(self.history)) or save(self))
    run(capsys, *small(data, out, "--no-plots"))
    assert lines_at_save == [1, 2, 3, 3]


@contextmanager
def command(*arguments):
    """The program as a process of its own, which does not outlive the test."""
    words = [sys.executable, "-m", "tinytensor", *map(str, arguments)]
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # a child of a background job would ignore Ctrl-C
    try:
        process = subprocess.Popen(
            words, cwd=ELSEWHERE, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_the_program_ends_cleanly_at_a_real_ctrl_c(data, out):
    with_extras()
    with command(*small(data, out, "--epochs", 10**6, "--no-plots")) as process:
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(
        r"interrupted: epoch \d+ is kept in \S+/checkpoint.safetensors, \S+/history.csv; "
        r"go on with: tinytensor train --resume --out \S+\n",
        errors,
    )
    assert load_checkpoint(out / "checkpoint.safetensors").description.outputs == 3


def test_the_program_says_goodbye_to_a_closed_pipe(data, out):
    with command(*small(data, out, "--epochs", 10**6, "--no-plots")) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=60) == 1
    assert "Traceback" not in errors and "Exception" not in errors


def test_the_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out == f"tinytensor {tinytensor.__version__}\n"


def test_interrupted_with_json_says_it_in_json(capsys, data, out, monkeypatch):
    with_extras()
    interrupt_in_step(monkeypatch, 12)
    status, _, errors = run(capsys, *small(data, out, "--no-plots", "--json"))
    said = json.loads(errors[-1])
    assert (
        status == said["status"] == 130 and said["event"] == "interrupted" and said["message"].startswith("epoch 1 is")
    )


def test_the_programs_status_and_help():
    with command("train", "--help") as process:
        text, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    for option in [
        "--hidden",
        "--activation",
        "--optimizer",
        "--lr",
        "--schedule",
        "--batch-size",
        "--epochs",
        "--weight-decay",
        "--dropout",
        "--seed",
        "--threads",
        "--data",
        "--out",
        "--dtype",
        "--quiet",
        "--no-plots",
        "--holdout",
    ]:
        assert option in text
    with command("eval", "/dev/null") as process:
        text, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and text == "" and errors.count("\n") == 1


def test_importing_the_package_brings_no_extra():
    code = "import sys, tinytensor; print([name for name in sys.argv[1:] if name in sys.modules])"
    names = [*EXTRAS, "tinytensor.cli"]
    words = [sys.executable, "-c", code, *names]
    done = subprocess.run(
        words, cwd=ELSEWHERE, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
