"""`tinytensor eval`, `predict`, `info` and `plot`, on a network for images and one for each kind of table."""

import csv
import io
import json
import math
import re
import shutil

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import cli
from tinytensor.cli.arguments import say
from tinytensor.data import mnist
from tinytensor.train import load_checkpoint

pytest.importorskip("safetensors")


def run(capsys, *arguments):
    """Status, lines of standard output, lines of standard error."""
    status = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out.splitlines(), captured.err.splitlines()


def fails(capsys, *arguments):
    status, lines, errors = run(capsys, *arguments)
    assert (status, lines) == (1, [])
    (line,) = errors
    return line.removeprefix(f"tinytensor {arguments[0]}: error: ")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run on MNIST, one epoch of a small network."""
    out = tmp_path_factory.mktemp("digits")
    assert cli.main(["train", "--hidden", "32", "--epochs", "1", "--no-plots", "--quiet", "--out", str(out)]) == 0
    return out


def flowers(path, rows=90, seed=0):
    """Three kinds of flower that their measures tell apart, in a CSV file."""
    rng = np.random.default_rng(seed)
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["length", "width", "colour", "kind"])
        for i in range(rows):
            kind = i % 3
            length = "" if i % 17 == 5 else f"{4 + 2 * kind + rng.normal() * 0.2:.3f}"
            table.writerow([length, f"{1 + kind + rng.normal() * 0.1:.3f}", ["red", "blue"][i % 2], "abc"[kind] * 3])
    return path


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    table = flowers(folder / "flowers.csv")
    arguments = [
        "train",
        "--csv",
        str(table),
        "--target",
        "kind",
        "--quiet",
        "--no-plots",
        "--out",
        str(folder / "run"),
    ]
    assert cli.main(arguments) == 0
    return folder


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prices")
    rng = np.random.default_rng(1)
    size, age = rng.uniform(20, 200, 300), rng.uniform(0, 50, 300)
    with open(folder / "houses.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["size", "age", "price"])
        table.writerows([f"{s:.2f}", f"{a:.2f}", f"{3000 * s - 1000 * a + 50_000:.2f}"] for s, a in zip(size, age))
    arguments = ["train", "--csv", str(folder / "houses.csv"), "--target", "price", "--no-plots", "--out"]
    assert cli.main([*arguments, str(folder / "run")]) == 0
    return folder


def test_eval_looks_at_the_test_data_of_the_training(capsys, digits):
    status, lines, errors = run(capsys, "eval", digits)
    network = load_checkpoint(digits / "checkpoint.safetensors")
    data = mnist()
    result = network.evaluate(data.test_images, data.test_labels)
    right = round(10_000 * result.accuracy)
    assert lines == [f"test accuracy {100 * result.accuracy:.2f} % ({right} of 10000), loss {result.loss:.4f}"]
    assert (status, errors) == (0, []) and result.accuracy > 0.9


def test_eval_prints_who_was_taken_for_whom(capsys, digits):
    _, lines, _ = run(capsys, "eval", digits, "--confusion")
    table = np.array([[int(v) for v in line.split()] for line in lines[-10:]])
    np.testing.assert_array_equal(table[:, 0], np.arange(10))
    np.testing.assert_array_equal(table[:, 1:].sum(axis=1), np.bincount(mnist().test_labels))
    _, (line,), _ = run(capsys, "eval", digits, "--confusion", "--json")
    found = json.loads(line)
    assert found["confusion"] == table[:, 1:].tolist()
    assert found["accuracy"] == np.trace(table[:, 1:]) / 10_000 and found["samples"] == 10_000


def test_eval_of_a_table_uses_the_rows_kept_for_the_test(capsys, kinds):
    status, (line,), _ = run(capsys, "eval", kinds / "run")
    assert status == 0 and re.fullmatch(r"test accuracy \d+\.\d\d % \(\d+ of 18\), loss \d\.\d{4}", line)
    _, lines, _ = run(capsys, "eval", kinds / "run", "--confusion")
    assert lines[-4].split() == ["aaa", "bbb", "ccc"] and lines[-3].split()[0] == "aaa"
    table = flowers(kinds / "more.csv", 30, seed=5)
    _, (line,), _ = run(capsys, "eval", kinds / "run", "--csv", table, "--json")
    assert json.loads(line)["samples"] == 30 and json.loads(line)["accuracy"] > 0.9


def test_a_table_without_test_rows_trains_and_eval_says_so(capsys, tmp_path):
    table, out = flowers(tmp_path / "flowers.csv", 20), tmp_path / "run"
    arguments = (
        "train",
        "--csv",
        table,
        "--target",
        "kind",
        "--test-share",
        0,
        "--no-plots",
        "--out",
        out,
        "--epochs",
        1,
    )
    status, lines, errors = run(capsys, *arguments)
    assert (status, errors) == (0, []) and "20 rows" in lines[0] and lines[-1].startswith("trained in")
    assert (
        fails(capsys, "eval", out)
        == f"{out}/checkpoint.safetensors: there are no test samples: --csv FILE gives others"
    )
    assert run(capsys, "eval", out, "--csv", table)[0] == 0


def test_a_regression_is_measured_in_the_targets_own_units(capsys, prices):
    _, (line,), _ = run(capsys, "eval", prices / "run", "--json")
    found = json.loads(line)
    assert found["r2"] > 0.98 and 100 < found["mae"] < 40_000 and found["samples"] == 60
    _, (line,), _ = run(capsys, "eval", prices / "run")
    assert line.startswith(f"test R2 {found['r2']:.4f} (60 rows), mean absolute error ")


def test_predict_rows(capsys, kinds, prices):
    status, lines, errors = run(capsys, "predict", kinds / "run", "--csv", kinds / "flowers.csv")
    rows = list(csv.DictReader(io.StringIO("\n".join(lines))))
    assert (status, errors, len(rows)) == (0, [], 90)
    right = [row["predicted kind"] == "abc"[i % 3] * 3 for i, row in enumerate(rows)]
    assert np.mean(right) > 0.95 and all(1 / 3 <= float(row["probability"]) <= 1 for row in rows)
    _, lines, _ = run(capsys, "predict", kinds / "run", "--csv", kinds / "flowers.csv", "--json")
    first = json.loads(lines[0])
    assert first["row"] == 1 and first["kind"] == rows[0]["predicted kind"]
    _, lines, _ = run(capsys, "predict", prices / "run", "--csv", prices / "houses.csv")
    assert lines[0] == "predicted price" and len(lines) == 301
    with open(prices / "houses.csv") as file:
        wanted = [float(row["price"]) for row in csv.DictReader(file)]
    assert np.corrcoef(wanted, [float(line) for line in lines[1:]])[0, 1] > 0.99


@pytest.mark.parametrize("option", [("--top", 2), ("--prepare", "resize"), ("--invert", "no")])
def test_options_for_pictures_are_refused_for_a_table(capsys, kinds, option):
    message = fails(capsys, "predict", kinds / "run", "--csv", kinds / "flowers.csv", *option)
    assert "--top, --prepare and --invert are for pictures" in message


def test_predict_pictures(capsys, digits, tmp_path):
    image_library = pytest.importorskip("PIL.Image")
    data = mnist()
    paths = []
    for i in range(20):
        paths.append(tmp_path / f"{i}.png")
        image_library.fromarray(255 - data.test_images[i]).save(paths[-1])
    status, lines, errors = run(capsys, "predict", digits, *paths)
    assert (status, errors, len(lines)) == (0, [], 20)
    network = load_checkpoint(digits / "checkpoint.safetensors")
    shares = network.predict(data.test_images[:20])
    for path, line, own in zip(paths, lines, shares):
        assert line == f"{path}: {own.argmax()} ({100 * own.max():.1f} %)"
    _, (line,), _ = run(capsys, "predict", digits, paths[0], "--top", 3, "--json")
    found = json.loads(line)
    assert [entry["class"] for entry in found["classes"]] == [str(i) for i in np.argsort(-shares[0])[:3]]
    assert found["classes"][0]["probability"] == float(shares[0].max())


def test_predict_answers_the_pictures_that_can_be_read(capsys, digits, tmp_path):
    image_library = pytest.importorskip("PIL.Image")
    image_library.fromarray(mnist().test_images[0]).save(tmp_path / "seven.png")
    (tmp_path / "text.png").write_text("text")
    status, lines, errors = run(
        capsys, "predict", digits, tmp_path / "text.png", tmp_path / "seven.png", tmp_path / "none.png"
    )
    assert status == 1 and len(lines) == 1 and lines[0].startswith(f"{tmp_path}/seven.png: ")
    assert errors[0].startswith(f"tinytensor predict: error: {tmp_path}/text.png: not a picture")
    assert errors[1] == f"tinytensor predict: error: {tmp_path}/none.png: No such file or directory"
    _, _, errors = run(capsys, "predict", digits, tmp_path / "none.png", "--json")
    assert json.loads(errors[0])["event"] == "error"


def test_predict_is_told_when_it_has_nothing_to_do(capsys, digits, kinds):
    assert "this network takes images: give pictures, and no --csv" in fails(capsys, "predict", digits)
    assert "this network takes images" in fails(capsys, "predict", digits, "--csv", kinds / "flowers.csv")
    assert "takes rows of a table: give --csv FILE" in fails(capsys, "predict", kinds / "run", "picture.png")
    assert "takes rows of a table: give --csv FILE" in fails(capsys, "eval", kinds / "run", "--source", "mnist")
    assert "--csv is for one that was trained on a table" in fails(capsys, "eval", digits, "--csv", "x.csv")


def test_a_table_that_lacks_a_column(capsys, kinds, tmp_path):
    (tmp_path / "short.csv").write_text("length,colour\n4,red\n5,blue\n")
    assert "no column 'width'" in fails(capsys, "predict", kinds / "run", "--csv", tmp_path / "short.csv")


def test_info_says_everything(capsys, digits, kinds):
    status, lines, _ = run(capsys, "info", digits)
    text = "\n".join(lines)
    assert status == 0
    assert "Linear(in_features=784, out_features=32" in text and re.search(r"parameters +25,450", text)
    assert re.search(r"hidden +\[32\]", text) and re.search(r"1.weight +float32 +32x784", text)
    _, (line,), _ = run(capsys, "info", digits / "checkpoint.safetensors", "--json")
    found = json.loads(line)
    network = load_checkpoint(digits / "checkpoint.safetensors")
    assert found["weights_sha256"] == network.weights_hash()
    assert found["config"]["hidden"] == [32] and found["config"]["epochs"] == 1 and found["data"]["source"] == "mnist"
    assert found["environment"]["tinytensor"] == tt.__version__ and found["epoch"]["epoch"] == 1
    assert found["environment"]["flush_denormal"] == tt.set_flush_denormal(False)  # fit flushes where the processor can
    assert found["tensors"]["3.bias"] == {"shape": [10], "dtype": "float32"}
    _, (line,), _ = run(capsys, "info", kinds / "run", "--json")
    assert json.loads(line)["classes"] == ["aaa", "bbb", "ccc"]


@pytest.mark.parametrize(
    ("part", "value"),
    [("data", '{"zzz": 1}'), ("data", "[1]"), ("data", "{"), ("config", "[1]"), ("config", '{"seed": "x"}')],
)
def test_a_forged_description_of_the_training_is_one_line(capsys, kinds, tmp_path, part, value):
    own = kinds / "run" / "checkpoint.safetensors"
    forged = tmp_path / "forged.safetensors"
    tt.save(tt.load(own), forged, {**tt.serialize.load_metadata(own), part: value})
    assert fails(capsys, "eval", forged).startswith(f"{forged}: damaged description of its training (")
    if value[0] == "[":
        assert fails(capsys, "info", forged) == f"{forged}: damaged description of its training ({part} is no object)"


def test_json_has_no_nan(capsys):
    say({"loss": math.nan, "rows": [{"r2": -math.inf}, 1.5]})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "loss": None,
        "rows": [{"r2": None}, 1.5],
    }


def test_info_lists_any_file_of_tensors(capsys, tmp_path):
    tt.save({"a.weight": tt.zeros(2, 3), "b": tt.arange(4)}, tmp_path / "x.safetensors", {"format": "pt"})
    _, (line,), _ = run(capsys, "info", tmp_path / "x.safetensors", "--json")
    found = json.loads(line)
    assert found["parameters"] == 10 and found["metadata"] == {"format": "pt"}
    assert found["tensors"] == {
        "a.weight": {"shape": [2, 3], "dtype": "float32"},
        "b": {"shape": [4], "dtype": "int64"},
    }
    np.savez(tmp_path / "x.npz", w=np.zeros((5, 1)))
    _, lines, _ = run(capsys, "info", tmp_path / "x.npz")
    assert lines[-1].split() == ["w", "float64", "5x1"]
    tt.save({"model": {"w": tt.zeros(3)}, "epoch": 4}, tmp_path / "n.safetensors")
    _, lines, _ = run(capsys, "info", tmp_path / "n.safetensors")
    assert lines[-1].split() == ["model.w", "float32", "3"]


def test_checkpoints_of_others_are_refused(capsys, tmp_path, digits):
    tt.save({"w": tt.zeros(3)}, tmp_path / "x.safetensors")
    assert fails(capsys, "eval", tmp_path / "x.safetensors").endswith("in its metadata)")
    assert (
        fails(capsys, "predict", tmp_path, "x.png") == f"{tmp_path}/checkpoint.safetensors: No such file or directory"
    )
    raw = (digits / "checkpoint.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(raw[: len(raw) // 2])
    assert fails(capsys, "info", tmp_path / "cut.safetensors").startswith(f"{tmp_path}/cut.safetensors: ")


def test_plot_one_run_and_several(capsys, kinds, prices, digits, tmp_path):
    pytest.importorskip("matplotlib")
    shutil.copytree(kinds / "run", tmp_path / "one")
    assert run(capsys, "plot", tmp_path / "one") == (0, [f"wrote {tmp_path}/one/curves.png"], [])
    _, (line,), _ = run(capsys, "plot", kinds / "run", prices / "run", digits, "--out", tmp_path / "all.png", "--json")
    assert json.loads(line) == {"event": "plot", "file": f"{tmp_path}/all.png"}
    for path in (tmp_path / "one" / "curves.png", tmp_path / "all.png"):
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_plot_tells_runs_of_one_name_apart(capsys, kinds, digits, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    for folder in ("a", "b"):
        shutil.copytree(kinds / "run", tmp_path / folder / "run")
    drawn = []
    monkeypatch.setattr("tinytensor.viz.plot_histories", lambda histories, out: drawn.extend(histories))
    runs = (tmp_path / "a" / "run", tmp_path / "b" / "run" / "history.csv", digits)
    assert run(capsys, "plot", *runs, "--out", tmp_path / "x.png")[0] == 0
    assert drawn == ["a/run", "b/run", digits.name]
    assert fails(capsys, "plot", runs[0], runs[0]) == f"{runs[0]}/history.csv: named twice"


def test_plot_of_what_is_no_history(capsys, tmp_path):
    assert "No such file" in fails(capsys, "plot", tmp_path)
    (tmp_path / "history.csv").write_text("a,b\n1,2\n")
    assert "history.csv: line 1: not a history" in fails(capsys, "plot", tmp_path)
    (tmp_path / "history.csv").write_text("epoch,train_loss\n1,x\n")
    assert "history.csv: line 2" in fails(capsys, "plot", tmp_path)
    (tmp_path / "history.csv").write_text("epoch,train_loss\n")
    assert "no epoch to draw" in fails(capsys, "plot", tmp_path)
