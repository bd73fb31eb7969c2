"""Pictures of classifiers: what they show is what was given, in the order that they claim."""

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.viz import plot_boundaries, plot_confusion, plot_mistakes, plot_weights


@pytest.fixture
def figures(monkeypatch):
    pytest.importorskip("matplotlib")
    made = []
    monkeypatch.setattr("tinytensor.viz.classifiers._write", lambda figure, path: made.append(figure))
    return made


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_confusion(figures):
    plot_confusion([[8, 2], [0, 10]], "x.png", ["cat", "dog"])
    axes = figures[0].axes[0]
    assert axes.get_title() == "90.00 % of 20 right"
    assert [(t.get_position(), t.get_text()) for t in axes.texts] == [((0, 0), "8"), ((1, 0), "2"), ((1, 1), "10")]
    np.testing.assert_array_equal(
        axes.images[0].get_array(), [[0, 20], [0, 0]]
    )  # mistakes alone, in percent of the row
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog"]


def test_the_worst_mistakes_come_first(figures):
    images = np.zeros((4, 5, 5), np.uint8)
    scores = np.log([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.99, 0.01]])
    plot_mistakes(images, np.array([1, 1, 1, 1]), tt.tensor(scores), "x.png", ["no", "yes"])
    assert titles(figures[0]) == [
        "said no (99 %)\nis yes (1 %)",
        "said no (90 %)\nis yes (10 %)",
        "said no (60 %)\nis yes (40 %)",
    ]
    plot_mistakes(images, np.array([1, 1, 1, 1]), scores, "x.png", count=2)
    assert titles(figures[1]) == ["said 0 (99 %)\nis 1 (1 %)", "said 0 (90 %)\nis 1 (10 %)"]
    with pytest.raises(ValueError, match="all 4 samples are right"):
        plot_mistakes(images, scores.argmax(1), scores, "x.png")


def test_weights_are_rows_as_images(figures):
    layer = nn.Linear(6, 12)
    plot_weights(layer.weight, (2, 3), "x.png", count=11)
    shown = [axes.images[0] for axes in figures[0].axes if axes.images]
    assert len(shown) == 11 and titles(figures[0]) == [str(i) for i in range(11)]
    weight = layer.weight.detach().numpy()
    for image, row in zip(shown, weight):
        np.testing.assert_array_equal(image.get_array(), row.reshape(2, 3))
        assert image.get_clim() == (-np.abs(row).max(), np.abs(row).max())


def test_boundaries_show_what_each_model_says(figures):
    points = np.array([[-1.0, 0.0], [1.0, 0.0], [0.5, 1.0]])
    labels = np.array([0, 1, 1])
    models = {
        "right": lambda x: tt.stack([-x[:, 0], x[:, 0]], 1),
        "wrong": lambda x: tt.stack([x[:, 0], -x[:, 0]], 1),
    }
    plot_boundaries(models, points, labels, "x.png")
    assert titles(figures[0]) == ["right\n100.0 % right", "wrong\n0.0 % right"]
    for axes, classes in zip(figures[0].axes, ((0, 1), (1, 0))):
        said = np.asarray(axes.collections[0].get_array()).reshape(160, 160)
        assert (said[:, :60] == classes[0]).all() and (said[:, 100:] == classes[1]).all()
        assert [len(line.get_xdata()) for line in axes.get_lines()] == [1, 2]


def test_a_module_is_asked_in_eval_mode_and_put_back(figures):
    model = nn.MLP([2, 8, 2], dropout=0.9, dtype=tt.float64)
    points = np.random.default_rng(0).normal(size=(20, 2))
    said = model.eval()(tt.tensor(points)).argmax(1).numpy()
    model.train()
    plot_boundaries({"a": model}, points, said, "x.png")
    assert titles(figures[0]) == ["a\n100.0 % right"] and model.training


def test_files_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    plot_confusion(np.eye(3, dtype=int), tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_what_they_refuse():
    with pytest.raises(ValueError, match=r"expected a matrix \(C, C\), got shape \(2, 3\)"):
        plot_confusion(np.zeros((2, 3)), "x.png")
    with pytest.raises(ValueError, match="expected 2 classes"):
        plot_confusion(np.eye(2), "x.png", ["a"])
    with pytest.raises(ValueError, match=r"expected images \(N, H, W\)"):
        plot_mistakes(np.zeros((3, 4)), np.zeros(3, int), np.zeros((3, 2)), "x.png")
    with pytest.raises(ValueError, match=r"expected a weight \(units, 9\) and count >= 1, got \(4, 8\)"):
        plot_weights(np.zeros((4, 8)), (3, 3), "x.png")
    with pytest.raises(ValueError, match=r"inputs \(N, 2\)"):
        plot_boundaries({}, np.zeros((3, 2)), np.zeros(3, int), "x.png")
    with pytest.raises(ValueError, match="classes from 0 to 7, got 8 to 8"):
        plot_boundaries({"a": lambda x: x}, np.zeros((1, 2)), np.array([8]), "x.png")
    with pytest.raises(ValueError, match="classes from 0 to 7, got -1 to 0"):
        plot_boundaries({"a": lambda x: x}, np.zeros((2, 2)), np.array([-1, 0]), "x.png")
    with pytest.raises(ValueError, match="NaN"):
        plot_boundaries({"a": lambda x: x}, np.full((1, 2), np.nan), np.array([0]), "x.png")
    with pytest.raises(ValueError, match="at least one model and point"):
        plot_boundaries({"a": lambda x: x}, np.zeros((0, 2)), np.zeros(0, int), "x.png")
    with pytest.raises(ValueError, match="expected counts"):
        plot_confusion(np.eye(3) / 3, "x.png")
    with pytest.raises(ValueError, match=r"labels from 0 to 1 .* got labels -1 to 2 \(int64\)"):
        plot_mistakes(np.zeros((3, 4, 4)), np.array([0, -1, 2]), np.eye(3, 2), "x.png")
    with pytest.raises(ValueError, match="count >= 1"):
        plot_weights(np.zeros((4, 9)), (3, 3), "x.png", count=0)


def test_tensors_serve_as_arrays(figures):
    labels = tt.tensor([0, 1, 1])
    plot_confusion(tt.tensor([[1, 0], [0, 2]]), "x.png")
    plot_mistakes(tt.zeros(3, 4, 4), labels, tt.tensor([[1.0, 0.0]] * 3), "x.png")
    plot_boundaries({"a": lambda x: x}, tt.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 3.0]]), labels, "x.png")
    assert [titles(figure)[0] for figure in figures] == [
        "100.00 % of 3 right",
        "said 0 (73 %)\nis 1 (27 %)",
        "a\n100.0 % right",
    ]
