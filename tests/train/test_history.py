"""The record of a training: columns, a CSV that reads back exactly, and curves."""

import math
import struct
import sys

import pytest

from tinytensor.train import History


def history():
    made = History(monitor="val_loss")
    for epoch in range(1, 8):
        made.rows.append(
            {
                "epoch": epoch, "step": 10 * epoch, "lr": 0.1 / epoch, "train_loss": 1 / epoch, "train_accuracy": 1 - 0.5 / epoch,
                "val_loss": abs(epoch - 4.7) / 9 + 0.1, "val_accuracy": 0.7 + epoch / 100, "val_f1": 0.1 + 0.2, "val_r2": -1.5,
                "seconds": 0.1, "samples_per_second": 12345.678,
            }
        )  # fmt: skip
    made.best_epoch = 5
    return made


def test_columns_rows_and_best():
    made = history()
    assert made["step"] == [10, 20, 30, 40, 50, 60, 70]
    assert made.best()["epoch"] == 5
    assert [row["epoch"] for row in made] == made["epoch"]
    assert "7 epochs: epoch=7, step=70" in repr(made)
    assert repr(History()) == "History(0 epochs)"
    assert History().best() is None
    with pytest.raises(KeyError, match=r"no column 'accuracy' in the history: it has epoch, step"):
        made["accuracy"]


def test_csv_reads_back_as_it_was(tmp_path):
    made = history()
    made.rows[2]["val_loss"] = math.inf
    made.rows[3]["own"] = 1e-300
    made.rows[4]["val_f1"] = None
    made.save_csv(tmp_path / "history.csv")
    text = (tmp_path / "history.csv").read_text()
    assert text.startswith("epoch,step,lr,train_loss,train_accuracy,val_loss,val_accuracy,val_f1,val_r2,seconds,")
    assert text.count("\n") == 8
    read = History.load_csv(tmp_path / "history.csv")
    for one, two in zip(read.rows, made.rows, strict=True):
        assert one == {**dict.fromkeys(made.columns()), **two}
        assert [type(v) for v in one.values()][:3] == [int, int, float]
    assert list(tmp_path.iterdir()) == [tmp_path / "history.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 names no column 'epoch'"),
        ("a,b\n1,2\n", "line 1 names no column 'epoch'"),
        ("epoch,lr\nnan,0.5\n", "line 2: expected a whole number for the epoch, got nan"),
        ("epoch,lr\n,0.5\n", "line 2: expected a whole number for the epoch, got None"),
        ("epoch,lr\n1,0.5\n2,much\n", r"line 3: could not convert string to float: 'much'"),
        ("epoch,lr\n1\n", "line 2: zip"),
    ],
)
def test_damaged_csv_is_named(text, message, tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        History.load_csv(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    made = history()
    made.save_csv(tmp_path / "history.csv")
    before = (tmp_path / "history.csv").read_bytes()
    with pytest.raises(OSError):
        made.save_csv(tmp_path / "missing" / "history.csv")
    assert (tmp_path / "history.csv").read_bytes() == before


@pytest.mark.parametrize(("columns", "size"), [(2, (1, 1)), (9, (3, 2))])
def test_curves_have_a_panel_for_each_measure(columns, size, tmp_path):
    pytest.importorskip("matplotlib")
    made = history()
    if columns == 2:
        made.rows = [{"epoch": 1, "train_loss": 0.5}]
        made.best_epoch, made.monitor = 1, "train_loss"
    for i in range(columns if columns > 2 else 0):
        if i >= 7:  # loss, accuracy, f1, r2 are there: six panels
            for row in made.rows:
                row[f"val_top_{i}"] = math.nan if row["epoch"] == 2 else 0.9
    across, down = size
    made.plot(tmp_path / "curves.png")
    content = (tmp_path / "curves.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert abs(width - 506 * across) <= 1
    assert abs(height - 385 * down) <= 1


def test_plot_of_nothing_and_without_matplotlib(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no epoch to draw"):
        History().plot(tmp_path / "curves.png")
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'tinytensor\[train\]'"):
        history().plot(tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []
