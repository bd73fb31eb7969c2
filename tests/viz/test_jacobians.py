"""jacobian: the matrix is the function's, flattened as its picture says."""

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.viz import jacobian


def test_of_an_elementwise_function_it_is_a_diagonal():
    x = tt.tensor([-2.0, -1.0, 0.5, 3.0])
    picture = jacobian(tt.relu, x)
    np.testing.assert_array_equal(picture.matrix, np.diag([0, 0, 1, 1]))


def test_of_a_product_with_respect_to_the_matrix_it_has_blocks():
    x = np.array([1.0, -2.0, 3.0])
    picture = jacobian(lambda w: w @ tt.tensor(x), np.zeros((4, 3)))
    assert (picture.out_shape, picture.in_shape) == ((4,), (4, 3))
    np.testing.assert_array_equal(picture.matrix, np.kron(np.eye(4), x))


def test_of_a_matrix_and_of_a_scalar():
    a = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(jacobian(lambda x: tt.tensor(a) @ x, np.zeros(3)).matrix, a)
    np.testing.assert_array_equal(jacobian(lambda x: (x * x).sum(), np.array([[1.0, 2.0]])).matrix, [[2, 4]])


def test_blocks_are_parted_and_small_ones_have_numbers(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    seen = []
    saved = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (seen.append(self), saved(self, *a, **k))[1])
    picture = jacobian(lambda w: w @ tt.tensor([1.0, -2.0, 3.0]), tt.zeros(4, 3))
    picture.save(tmp_path / "blocks.png")
    assert (tmp_path / "blocks.png").read_bytes() == picture._repr_png_()
    axes = seen[0].axes[0]
    assert [line.get_xdata()[0] for line in axes.get_lines()] == [2.5, 5.5, 8.5]
    assert [t.get_text() for t in axes.texts][:4] == ["1", "-2", "3", "0"]
    assert axes.get_xlabel() == "inputs (4, 3)" and axes.get_ylabel() == "outputs (4,)"
    low, high = axes.images[0].get_clim()
    assert (low, high) == (-3, 3)  # zero is white
    jacobian(tt.relu, tt.zeros(20)).save(tmp_path / "zeros.png")
    assert not seen[-1].axes[0].texts


def test_what_it_refuses():
    with pytest.raises(TypeError, match="f must return one Tensor, got tuple"):
        jacobian(lambda x: (x, x), tt.ones(2))
    with pytest.raises(ValueError, match="nothing to draw"):
        jacobian(tt.relu, tt.ones(0))
