"""Loss and metrics over a whole data set."""

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import metrics as measures
from tinytensor import nn
from tinytensor.data import DataLoader, TensorDataset
from tinytensor.nn import functional as F
from tinytensor.train import evaluate
from tinytensor.train.evaluation import LOSSES, resolve_loss


def data(count=70, classes=7):
    x = tt.randn(count, 4, generator=tt.Generator(1))
    return x, tt.randint(0, classes, (count,), generator=tt.Generator(2))


def test_all_metrics_of_a_classification():
    x, y = data()
    model = nn.Linear(4, 7)
    names = ("accuracy", "top_3", "precision", "recall", "f1")
    scores = evaluate(model, (x, y), "cross_entropy", names, batch_size=16)
    with tt.no_grad():
        out = model(x)
    assert list(scores) == ["loss", *names]
    assert scores["loss"] == pytest.approx(F.cross_entropy(out, y).item(), rel=1e-6)
    for name, function in zip(names, (measures.accuracy, None, measures.precision, measures.recall, measures.f1_score)):
        assert scores[name] == (function(out, y) if function else measures.top_k_accuracy(out, y, 3))
    np.testing.assert_array_equal(scores.confusion_matrix(), measures.confusion_matrix(out, y))
    np.testing.assert_array_equal(scores.outputs.numpy(), out.numpy())
    np.testing.assert_array_equal(scores.targets.numpy(), y.numpy())


def test_all_metrics_of_a_regression():
    x, _ = data()
    y = x.sum(1, keepdim=True)
    model = nn.Linear(4, 1)
    scores = evaluate(model, (x, y), nn.MSELoss(), ["mse", "mae", "r2"])
    assert scores["loss"] == pytest.approx(scores["mse"], rel=1e-6)
    with tt.no_grad():
        assert scores["r2"] == measures.r2_score(model(x), y)
    assert set(evaluate(model, (x, y), "mse")) == {"loss"}
    with pytest.raises(ValueError, match="confusion_matrix: expected outputs"):
        scores.confusion_matrix()


def test_no_metrics_keep_no_outputs():
    scores = evaluate(nn.Linear(4, 7), data(), "cross_entropy", None)
    assert set(scores) == {"loss"} and scores.outputs is None
    with pytest.raises(ValueError, match="expected outputs"):
        scores.confusion_matrix()


def test_a_shorter_batch_weighs_less():
    x, y = data(70)
    one, many = (evaluate(nn.Identity(), (x, y % 4), "cross_entropy", batch_size=size)["loss"] for size in (70, 32))
    assert one == pytest.approx(many, rel=1e-6)


def test_eval_mode_without_gradients_and_back_again():
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append((self.training, tt.is_grad_enabled()))
            return x

    model = nn.Sequential(Spy(), nn.Dropout(0.5), nn.Linear(4, 7))
    model[1].eval()
    evaluate(model, data(), nn.CrossEntropyLoss())
    assert seen == [(False, False)]
    assert [m.training for m in model.modules()] == [True, True, False, True]
    with pytest.raises(ValueError, match="expected"):
        evaluate(model, (tt.zeros(3, 5), tt.zeros(3, dtype=tt.int64)), "cross_entropy")
    assert model.training


def test_loaders_and_their_last_batch():
    x, y = data(50)
    scores = evaluate(nn.Linear(4, 7), DataLoader(TensorDataset(x, y), batch_size=20, drop_last=True), "cross_entropy")
    assert len(scores.targets) == 40


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_name_are_those_of_functional(name):
    full = {"bce": "binary_cross_entropy", "bce_with_logits": "binary_cross_entropy_with_logits"}.get(name)
    function = getattr(F, full or (name if name == "cross_entropy" else f"{name}_loss"))
    assert resolve_loss(name) is function
    assert resolve_loss(function.__name__) is function
    assert resolve_loss(function) is function


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((data(), "mse3"), ValueError, "got 'mse3'"),
        ((data(), "cross_entropy", ("top_0",)), ValueError, "got 'top_0'"),
        ((data(), "cross_entropy", ("top_9",)), ValueError, "k=9"),
        ((data(), "cross_entropy", {"loss": len}), ValueError, "names other than 'loss'"),
        ((data(), "cross_entropy", {"own": 3}), ValueError, "to functions, got own"),
        ((data(0), "cross_entropy"), ValueError, "evaluate: no samples"),
        ((iter([]), "cross_entropy"), ValueError, "evaluate: the data gave no batches"),
        ((tt.zeros(3, 4), "cross_entropy"), TypeError, "evaluate: expected"),
    ],
)
def test_what_does_not_fit_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        evaluate(nn.Linear(4, 7), *arguments)


def test_evaluate_names_a_wrong_model_and_batch_size():
    with pytest.raises(TypeError, match="evaluate: model must be a Module, got NoneType"):
        evaluate(None, data(), "cross_entropy")
    for batch_size in (0, 2.0, True):
        with pytest.raises(ValueError, match="evaluate: batch_size must be a whole number >= 1"):
            evaluate(nn.Linear(4, 7), data(), "cross_entropy", batch_size=batch_size)
