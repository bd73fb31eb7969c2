"""The pictures: drawn for any run, of the size they should have, and refused clearly without matplotlib."""

import struct
import sys

import numpy as np
import pytest

from tinytensor.train import EpochRecord
from tinytensor.viz import plot_curves, plot_digits
from tinytensor.viz.plots import _running_mean


def size(path):
    """Width and height from a PNG's header."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def record(epoch, held):
    return EpochRecord(epoch, 1 / epoch, 0.9, 1e-3, 0.5, 1000.0, *((0.3, 0.8) if held else ()))


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("epochs, steps", [(1, 1), (2, 2), (3, 300)])
def test_curves_of_any_length(tmp_path, epochs, steps, held):
    pytest.importorskip("matplotlib")
    history = [record(epoch, held) for epoch in range(1, epochs + 1)]
    plot_curves(history, np.linspace(2, 0.1, steps), tmp_path / "curves.png", None if held else 0.9)
    assert size(tmp_path / "curves.png") == (990, 396)


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


def test_running_mean_uses_the_last_values():
    values = np.array([4.0, 2.0, 6.0, 1.0, 1.0])
    np.testing.assert_allclose(_running_mean(values, 3), [4, 3, 4, 3, 8 / 3])
    np.testing.assert_array_equal(_running_mean(values, 1), values)


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install tinytensor\[train\]"):
        plot_curves([record(1, False)], [1.0], tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []
