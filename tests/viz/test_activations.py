"""The figure of activation functions: curves that are the functions', and names that are known."""

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.viz import ACTIVATIONS, plot_activations
from tinytensor.viz.activations import curve


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_derivative_drawn_is_that_of_the_function_drawn(name):
    x, y, slope = curve(ACTIVATIONS[name])
    between = np.diff(y) / np.diff(x)
    middle = (slope[1:] + slope[:-1]) / 2
    off = np.abs(between - middle) > 1e-3
    assert off.sum() <= 2  # where a kink lies between two places
    assert y.dtype == np.float64 and x[0] == -4 and x[-1] == 4


def test_maxout_is_the_larger_of_its_lines():
    assert ACTIVATIONS["Maxout (-x/2 - 1/2, x)"](tt.tensor([-4.0, 2.0])).tolist() == [1.5, 2.0]


def test_chosen_names_and_unknown_ones(tmp_path):
    pytest.importorskip("matplotlib")
    plot_activations(tmp_path / "two.png", ["ReLU", "GELU"])
    assert (tmp_path / "two.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with pytest.raises(ValueError, match=r"expected names among Sigmoid, .*, got 'Swash'"):
        plot_activations(tmp_path / "x.png", ["ReLU", "Swash"])


def test_all_are_in_one_figure(monkeypatch):
    pytest.importorskip("matplotlib")
    figures = []
    monkeypatch.setattr("tinytensor.viz.activations._write", lambda figure, path: figures.append(figure))
    plot_activations("x.png")
    assert [axes.get_title() for axes in figures[0].axes if axes.get_title()] == list(ACTIVATIONS)
