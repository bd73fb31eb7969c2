"""Diagnose, the callback: what it sees when, what it reports once, and that training does not feel it."""

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.train import fit
from tinytensor.viz import Diagnose


def data():
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 320)
    return (2 * np.eye(3)[y] + random.normal(size=(320, 3))).astype(np.float32), y


def trained(*callbacks, epochs=3, left_out=False):
    tt.manual_seed(0)
    model = nn.MLP([3, 16, 3], norm=nn.BatchNorm1d, dropout=0.2)
    parameters = list(model.parameters())
    optimizer = optim.SGD(parameters[:-2] if left_out else parameters, lr=0.05, momentum=0.9)
    fit(model, data(), "cross_entropy", optimizer, epochs, callbacks=callbacks, progress=False)
    return [p.detach().numpy().tobytes() for p in parameters]


@pytest.mark.parametrize("every, epochs", [(1, [0, 1, 2, 3]), (2, [0, 2, 3]), (5, [0, 3])])
def test_when_it_looks(every, epochs):
    seen = Diagnose(data(), every)
    assert trained(seen) == trained()
    assert [epoch for epoch, _ in seen.diagnoses] == epochs
    losses = [found.loss for _, found in seen.diagnoses]
    assert losses == sorted(losses, reverse=True)
    assert all(found.findings == [] for _, found in seen.diagnoses)


def test_each_finding_is_reported_once(capsys):
    reported = []
    trained(Diagnose(data(), report=lambda epoch, finding: reported.append((epoch, finding.name))), left_out=True)
    assert reported == [(0, "not_in_optimizer")]
    trained(Diagnose(data()), left_out=True, epochs=1)
    line = capsys.readouterr().err
    assert line.startswith("epoch 0: not_in_optimizer in 4: ") and line.count("\n") == 1


def test_every_is_a_number_of_epochs():
    with pytest.raises(ValueError, match="whole number of epochs"):
        Diagnose(data(), 0)


@pytest.mark.parametrize("patience, names", [(None, ["overfitting"]), (40, [])])
def test_it_sees_the_history(patience, names):
    random = np.random.default_rng(0)
    y = random.integers(0, 10, 300)
    x = (random.normal(size=(10, 20))[y] + random.normal(size=(300, 20))).astype(np.float32)
    y[:30] = random.integers(0, 10, 30)
    reported = []
    seen = Diagnose((x[:100], y[:100]), 50, report=lambda epoch, finding: reported.append(finding.name))
    model = nn.MLP([20, 128, 10])
    fit(
        model, (x[:100], y[:100]), "cross_entropy", optim.Adam(model.parameters(), lr=0.003), 50, validation=(x[100:], y[100:]),
        early_stopping=patience, callbacks=[seen], progress=False,
    )  # fmt: skip
    assert reported == names
