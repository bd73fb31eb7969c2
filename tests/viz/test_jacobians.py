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


def test_a_thin_diagonal_stays_visible(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    seen = []
    saved = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (seen.append(self), saved(self, *a, **k))[1])
    x = tt.ones(1000)
    x[300:600] = -1
    picture = jacobian(lambda x: x * x, x)
    picture.save(tmp_path / "diagonal.png")
    axes = seen[0].axes[0]
    cells = np.asarray(axes.images[0].get_array())
    assert cells.shape == (167, 167)  # 6 x 6 numbers each, the last 4 x 4
    np.testing.assert_array_equal(cells, np.diag([2] * 50 + [-2] * 50 + [2] * 67))
    assert axes.images[0].get_extent() == [-0.5, 999.5, 999.5, -0.5] and "furthest from 0 of 6 x 6" in axes.get_title()
    from matplotlib.image import imread

    pixels = imread(tmp_path / "diagonal.png")[..., :3]
    positive, negative = pixels[..., 0] - pixels[..., 2] > 0.2, pixels[..., 2] - pixels[..., 0] > 0.2
    left = np.s_[:, : pixels.shape[1] * 3 // 4]  # without the scale of colours
    assert positive[left].any(1).sum() > 350 and negative[left].any(1).sum() > 150


def test_what_is_no_number_looks_unlike_zero(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    picture = jacobian(tt.sqrt, tt.tensor(np.linspace(-1, 1, 301)))
    assert np.isnan(picture.matrix[0, 0]) and picture.matrix[0, 1] == 0
    picture.save(tmp_path / "x.png")
    pixels = imread(tmp_path / "x.png")[..., :3]
    assert (np.abs(pixels - 0xBB / 255).max(-1) < 0.01).sum() > 300


def test_a_long_matrix_is_stretched(monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    seen = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: seen.append(self))
    jacobian(lambda w: w @ tt.ones(50), tt.zeros(4, 50)).save(tmp_path / "long.png")
    jacobian(lambda w: w @ tt.ones(3), tt.zeros(4, 3)).save(tmp_path / "square.png")
    assert [figure.axes[0].get_aspect() for figure in seen] == ["auto", 1]
    assert len(seen[0].axes[0].get_lines()) == 3


def test_what_it_refuses():
    with pytest.raises(TypeError, match="f must return one Tensor, got tuple"):
        jacobian(lambda x: (x, x), tt.ones(2))
    with pytest.raises(ValueError, match="nothing to draw"):
        jacobian(tt.relu, tt.ones(0))
