"""The pictures: drawn for any run, of the size they should have, and refused clearly without matplotlib."""

import struct
import sys

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.train import History
from tinytensor.viz import jacobian, plot_digits, plot_histories


def size(path):
    """Width and height from a PNG's header."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def history(epochs, *columns):
    return History(
        [{"epoch": e, **{name: 1 / (e + i) for i, name in enumerate(columns)}} for e in range(1, epochs + 1)]
    )


@pytest.mark.parametrize("runs, height", [(2, 423), (4, 451), (12, 479)])
def test_histories_of_several_runs(tmp_path, runs, height):
    pytest.importorskip("matplotlib")
    made = {f"run {i}": history(i + 1, "train_loss", "train_accuracy", "val_loss") for i in range(runs)}
    plot_histories(made, tmp_path / "curves.png")
    width, found = size(tmp_path / "curves.png")
    assert width == 1056 and abs(found - height) <= 1


@pytest.mark.parametrize("name", ["run", "a rather long name of a run, number"])
def test_the_legend_of_one_panel_is_not_cut_off(monkeypatch, name):
    pytest.importorskip("matplotlib")
    seen = []
    monkeypatch.setattr("tinytensor.viz.plots._write", lambda figure, path: seen.append(figure))
    plot_histories({f"{name} {i}": history(2, "train_loss") for i in range(3)}, "x.png")
    seen[0].draw_without_rendering()
    box = seen[0].legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= seen[0].bbox.x1


def test_what_only_one_run_has_is_left_out(tmp_path):
    pytest.importorskip("matplotlib")
    plot_histories(
        {"a": history(3, "train_loss", "train_accuracy"), "b": history(3, "train_loss", "val_r2")}, tmp_path / "x.png"
    )
    assert size(tmp_path / "x.png")[0] == 528  # the loss alone


def test_several_are_labelled_as_one_is(monkeypatch):
    pytest.importorskip("matplotlib")
    figures = []
    monkeypatch.setattr("tinytensor.viz.plots._write", lambda figure, path: figures.append(figure))
    one = history(3, "train_loss", "val_mse", "val_r2", "val_top_5", "val_f1")
    plot_histories({"a": one, "b": one}, "x.png")
    panels = [(axes.get_title(), axes.get_ylabel()) for axes in figures[0].axes if axes.get_title()]
    assert panels == [
        ("Loss", "loss"), ("MSE", "MSE"), ("R²", "R²"), ("Top-5 accuracy", "top-5 accuracy (%)"), ("F1", "F1 (%)")
    ]  # fmt: skip


def test_one_history_is_drawn_as_it_draws_itself(tmp_path):
    pytest.importorskip("matplotlib")
    one = history(4, "train_loss", "val_loss")
    plot_histories({"a": one}, tmp_path / "a.png")
    one.plot(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_nothing_to_draw(tmp_path):
    for made in ({}, {"a": history(2, "train_loss"), "b": History()}):
        with pytest.raises(ValueError, match="no epoch to draw"):
            plot_histories(made, tmp_path / "x.png")


@pytest.mark.parametrize("count, wrong, rows", [(1, 0, 1), (7, 7, 2), (10, 0, 1), (100, 31, 6), (100, 11, 5)])
def test_digits_have_the_rows_they_need(tmp_path, count, wrong, rows):
    pytest.importorskip("matplotlib")
    labels = np.arange(count) % 10
    predictions = labels + (np.arange(count) < wrong)
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8)
    plot_digits(images, labels, predictions, tmp_path / "digits.png")
    halves = 1 if wrong == 0 else 2
    width, height = size(tmp_path / "digits.png")
    assert width == 1056
    assert abs(height - 110 * (0.3 + 0.5 * halves + 1.16 * rows)) <= 1  # matplotlib's versions round differently


def test_names_of_classes_are_written_in_place_of_numbers(tmp_path):
    pytest.importorskip("matplotlib")
    labels = np.arange(10)
    images = np.zeros((10, 28, 28), np.uint8)
    plot_digits(images, labels, labels[::-1].copy(), tmp_path / "numbers.png")
    plot_digits(images, labels, labels[::-1].copy(), tmp_path / "names.png", ["trousers"] * 10)
    assert (tmp_path / "numbers.png").read_bytes() != (tmp_path / "names.png").read_bytes()


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install tinytensor\[train\]"):
        plot_histories({"a": history(2, "train_loss"), "b": history(2, "train_loss")}, tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_png_is_not_called_otherwise(tmp_path):
    pytest.importorskip("matplotlib")
    run = history(2, "train_loss")
    for draw in (run.plot, lambda path: plot_histories({"a": run, "b": run}, path), jacobian(tt.tanh, tt.ones(2)).save):
        with pytest.raises(ValueError, match=r"'.*curves\.svg' should end in \.png"):
            draw(tmp_path / "curves.svg")
    assert not list(tmp_path.iterdir())
