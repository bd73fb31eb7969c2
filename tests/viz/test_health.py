"""diagnose: nothing is found in healthy networks, each planted fault exactly, and the patient is left as he was."""

import csv
import math

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.viz import FINDINGS, diagnose

SIZES = [(20, [64]), (50, [64, 32]), (200, [128, 64])]


def blobs(seed, width, classes=10, samples=320):
    """Ten clouds: standardized features, classes alike in number."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, width))
    labels = random.integers(0, classes, samples)
    return (centres[labels] + random.normal(size=(samples, width))).astype(np.float32), labels


def network(width, hidden, activation=nn.ReLU, seed=0):
    tt.manual_seed(seed)
    return nn.MLP([width, *hidden, 10], activation)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("trained", [0, 40])
def test_nothing_is_found_in_a_healthy_network(seed, trained):
    width, hidden = SIZES[seed % 3]
    x, y = blobs(seed, width)
    model = network(width, hidden, seed=seed)
    optimizer = optim.SGD(model.parameters(), lr=0.1) if seed % 2 else optim.Adam(model.parameters())
    for _ in range(trained):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(tt.tensor(x)), tt.tensor(y)).backward()
        optimizer.step()
    found = diagnose(model, (x, y), optimizer=optimizer)
    assert found.findings == []
    assert str(found).endswith("no findings")


@pytest.mark.parametrize("width, hidden", [(20, [64]), (50, [64, 32]), (200, [64, 64])])
def test_seven_dead_units(width, hidden):
    model = network(width, hidden)
    with tt.no_grad():
        model[0].bias[:7] = -100.0
    found = diagnose(model, blobs(0, width), optimizer=optim.SGD(model.parameters(), lr=0.1))
    assert [(f.name, f.layer) for f in found.findings] == [("dead_units", "1")]
    assert "7 of 64 units" in found.findings[0].detail
    assert [layer.dead for layer in found.layers if layer.kind == "ReLU"] == [7] + [0] * (len(hidden) - 1)


@pytest.mark.parametrize("units", [32, 64, 128])
def test_ten_layers_of_sigmoids_let_the_gradient_vanish(units):
    model = network(20, [units] * 9, nn.Sigmoid)
    found = diagnose(model, blobs(0, 20), optimizer=optim.SGD(model.parameters(), lr=0.1))
    assert [(f.name, f.layer) for f in found.findings] == [("vanishing_gradient", "0")]
    gradients = [layer.relative_gradient for layer in found.layers if layer.kind == "Linear"]
    assert len(gradients) == 10 and gradients == sorted(gradients)


@pytest.mark.parametrize("kind, rate", [(optim.SGD, 0.1), (optim.Adam, 1e-3)])
@pytest.mark.parametrize("width, hidden", SIZES)
def test_a_learning_rate_that_is_100_times_too_large(width, hidden, kind, rate):
    model = network(width, hidden)
    for factor, names in ((1, []), (100, ["learning_rate_too_large"])):
        optimizer = kind(model.parameters(), lr=factor * rate)
        assert diagnose(model, blobs(0, width), optimizer=optimizer).names == names


def test_a_learning_rate_that_is_too_small():
    model = network(20, [64])
    found = diagnose(model, blobs(0, 20), optimizer=optim.SGD(model.parameters(), lr=1e-6))
    assert found.names == ["learning_rate_too_small"]


def test_a_learning_rate_that_a_schedule_has_lowered_is_not_too_small():
    model = network(20, [64])
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 2)
    for _ in range(2):
        optimizer.step()
        schedule.step()
    found = diagnose(model, blobs(0, 20), optimizer=optimizer)
    assert optimizer.param_groups[0]["lr"] < 1e-6 and found.findings == []


@pytest.mark.parametrize("width, hidden", SIZES)
def test_shuffled_labels(width, hidden):
    model = network(width, hidden)
    x, y = blobs(0, width)
    y = np.random.default_rng(1).permutation(y)
    found = diagnose(model, (x, y), optimizer=optim.SGD(model.parameters(), lr=0.1))
    assert found.names == ["labels_unrelated"]


@pytest.mark.parametrize("width, hidden", SIZES)
def test_a_layer_that_the_optimizer_does_not_hold(width, hidden):
    model = network(width, hidden)
    last = str(2 * len(hidden))
    optimizer = optim.SGD([p for n, p in model.named_parameters() if not n.startswith(last)], lr=0.1)
    found = diagnose(model, blobs(0, width), optimizer=optimizer)
    assert [(f.name, f.layer) for f in found.findings] == [("not_in_optimizer", last)]
    model[2 * len(hidden)].requires_grad_(False)  # frozen, as is anyone's right
    assert diagnose(model, blobs(0, width), optimizer=optimizer).findings == []


@pytest.mark.parametrize("factor, names", [(1, []), (1e4, ["exploding_gradient"])])
def test_a_gradient_that_explodes(factor, names):
    model = nn.Sequential(nn.Linear(20, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 10))
    with tt.no_grad():
        model[0].weight.div_(factor)  # the same outputs, as the norm scales them up again
        model[0].bias.div_(factor)
        model[1].eps = 1e-20
    assert diagnose(model, blobs(0, 20)).names == names


def test_saturated_units():
    model = network(20, [64], nn.Tanh)
    with tt.no_grad():
        model[0].bias[:5] = 50.0
    found = diagnose(model, blobs(0, 20))
    assert [(f.name, f.layer) for f in found.findings] == [("saturated_units", "1")]
    assert found.layers[1].saturated == 5 and found.layers[1].dead is None


def test_scores_that_are_too_large_at_the_start():
    model = network(20, [64])
    with tt.no_grad():
        model[2].weight.mul_(20)
    found = diagnose(model, blobs(0, 20))
    assert found.names == ["loss_above_chance"]
    assert found.chance == math.log(10)


def test_rare_classes():
    x, y = blobs(0, 20)
    keep = (y != 3) | (np.arange(len(y)) < 12)
    found = diagnose(network(20, [64]), (x[keep], y[keep]))
    assert [(f.name, f.layer) for f in found.findings] == [("class_imbalance", "")]
    assert found.class_counts == np.bincount(y[keep]).tolist()


@pytest.mark.parametrize("where", ["weight", "loss"])
def test_what_is_not_finite_is_named_alone(where):
    x, y = blobs(0, 20)
    model = network(20, [64])
    loss = "cross_entropy"
    if where == "weight":
        model[2].weight.data[0, 0] = np.inf
    else:
        loss = lambda out, y: nn.functional.cross_entropy(out, y) * math.inf  # noqa: E731
    found = diagnose(model, (x, y), loss)
    assert [(f.name, f.layer) for f in found.findings] == [("not_finite", {"weight": "2", "loss": ""}[where])]


def test_few_samples_call_no_unit_dead():
    model = network(20, [64])
    with tt.no_grad():
        model[0].bias[:7] = -100.0
    x, y = blobs(0, 20)
    found = diagnose(model, (x[:50], y[:50]))
    assert found.findings == [] and found.layers[1].dead >= 7
    assert diagnose(model, (x[:50], y[:50]), data=(x, y)).names == ["dead_units"]
    assert diagnose(model, (x[:50], y[:50]), data=[(x[i : i + 64], y[i : i + 64]) for i in range(0, 320, 64)]).layers[1].dead == 7  # fmt: skip


def test_a_regression_is_looked_at_without_its_chance():
    x = blobs(0, 20)[0]
    model = nn.MLP([20, 32, 1])
    targets = x[:, :1] * 2
    found = diagnose(model, (x, targets), "mse", optim.SGD(model.parameters(), lr=0.01))
    assert found.findings == [] and found.chance is None and found.class_counts == []
    order = np.random.default_rng(0).permutation(len(x))
    assert diagnose(model, (x, targets[order]), "mse").names == ["labels_unrelated"]


def test_words_have_no_neighbours():
    random = np.random.default_rng(0)
    words = random.integers(0, 50, (320, 4))
    model = nn.Sequential(nn.Embedding(50, 8), nn.Flatten(), nn.Linear(32, 2))
    assert diagnose(model, (words, random.integers(0, 2, 320))).findings == []


def test_the_tape_of_the_inputs_and_the_weights_of_the_loss_stay_out():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(tt.ones(1))

        def forward(self, outputs, targets):
            return nn.functional.cross_entropy(outputs * self.scale, targets)

    x, y = (tt.tensor(a) for a in blobs(0, 20))
    x.requires_grad_()
    loss = Scaled()
    assert diagnose(network(20, [64]), (x, y), loss).findings == []
    assert x.grad is None and loss.scale.grad is None


def test_images_and_channels():
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 320)
    x = (random.normal(size=(320, 1, 6, 6)) + 2 * y[:, None, None, None] - 1).astype(np.float32)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(128, 2)
    )
    with tt.no_grad():
        model[1].weight[2] = 0.0
        model[1].bias[2] = -1.0
    found = diagnose(model, (x, y), optimizer=optim.Adam(model.parameters()))
    assert [(f.name, f.layer) for f in found.findings] == [("dead_units", "2")]
    assert (found.layers[1].units, found.layers[1].dead) == (8, 1)


def test_model_optimizer_and_random_numbers_stay_as_they_are():
    x, y = blobs(0, 20)
    model = nn.MLP([20, 16, 10], norm=nn.BatchNorm1d, dropout=0.5)
    optimizer = optim.Adam(model.parameters())
    model.eval()
    model(tt.tensor(x)).sum().backward()
    optimizer.step()
    calls = []
    model[0].register_forward_hook(lambda *a: calls.append(1))

    def everything():
        state = [t.numpy().tobytes() for t in model.state_dict().values()]
        state += [p.grad.numpy().tobytes() for p in model.parameters()]
        state += [v.numpy().tobytes() for p in model.parameters() for v in optimizer.state[p].values() if isinstance(v, tt.Tensor)]  # fmt: skip
        return state, tt.random.default_generator.get_state(), [m.training for m in model.modules()]

    before = everything()
    diagnose(model, (x, y), optimizer=optimizer)
    assert everything() == before and not calls


def test_the_numbers_are_those_of_the_network(tmp_path):
    x, y = blobs(0, 20)
    model = network(20, [64])
    found = diagnose(model, (x, y), optimizer=optim.SGD(model.parameters(), lr=0.5))
    loss = nn.functional.cross_entropy(model(tt.tensor(x)), tt.tensor(y))
    loss.backward()
    weight = model[0].weight
    assert found.loss == loss.item()
    first = found.layers[0]
    assert first.grad_norm == pytest.approx(np.linalg.norm(weight.grad.numpy()), rel=1e-6)
    assert first.update_ratio == pytest.approx(0.5 * first.relative_gradient, rel=1e-3)
    hidden = model[0](tt.tensor(x)).detach().numpy()
    assert first.mean == pytest.approx(hidden.mean(), abs=1e-6) and first.std == pytest.approx(hidden.std(), rel=1e-5)
    assert sum(first.histogram) == hidden.size and len(first.histogram) == 16

    found.save_csv(tmp_path / "layers.csv")
    with open(tmp_path / "layers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == ["0", "1", "2"]
    assert float(rows[0]["grad_norm"]) == first.grad_norm and rows[1]["dead"] == "0" and rows[0]["dead"] == ""
    assert [int(n) for n in rows[0]["histogram"].split()] == first.histogram


def test_the_table_says_where_what_and_what_to_do():
    model = network(20, [64])
    with tt.no_grad():
        model[0].bias[:7] = -100.0
    lines = str(diagnose(model, blobs(0, 20))).splitlines()
    assert lines[0].split() == [
        "layer", "kind", "mean", "std", "dead", "saturated", "gradient", "gradient/weight", "update/weight",
    ]  # fmt: skip
    assert lines[2].split()[:2] == ["1", "ReLU"] and "7/64" in lines[2]
    assert lines[-1] == f"- dead_units in 1: 7 of 64 units are never positive on 320 samples; {FINDINGS['dead_units']}"


def test_the_figure(tmp_path):
    pytest.importorskip("matplotlib")
    model = network(20, [64])
    for name, optimizer in (("a.png", None), ("b.png", optim.SGD(model.parameters(), lr=0.1))):
        diagnose(model, blobs(0, 20), optimizer=optimizer).plot(tmp_path / name)
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_it_is_one_of_the_public_names():
    assert tt.diagnose is diagnose


def test_wrong_arguments():
    model = network(20, [64])
    with pytest.raises(TypeError, match="model must be a Module or a function"):
        diagnose(None, blobs(0, 20))
    with pytest.raises(ValueError, match="needs parameters="):
        diagnose(lambda x: x, blobs(0, 20))
    with pytest.raises(TypeError, match="parameters must be Tensors that no op made, got double"):
        diagnose(lambda x: x, blobs(0, 20), parameters={"double": tt.ones(3, requires_grad=True) * 2})
    with pytest.raises(TypeError, match="history must be a History"):
        diagnose(model, blobs(0, 20), history=[])
    with pytest.raises(TypeError, match="optimizer must be an Optimizer"):
        diagnose(model, blobs(0, 20), optimizer="sgd")
    with pytest.raises(TypeError, match=r"expected batches \(inputs, targets\)"):
        diagnose(model, np.zeros((4, 20)))
    with pytest.raises(ValueError, match="scalar"):
        diagnose(model, blobs(0, 20), lambda out, y: out)
    model.unknown = model[0](tt.ones(1, 20))
    with pytest.raises(TypeError, match=r"MLP, its optimizer or the loss cannot be copied \(deepcopy: only leaves"):
        diagnose(model, blobs(0, 20))
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="none of the model's 4 parameters requires grad"):
        diagnose(model, blobs(0, 20))
    with pytest.raises(ValueError, match="none of the model's 0 parameters"):
        diagnose(nn.ReLU(), blobs(0, 20))


def test_numbers_missing_in_the_batch_are_no_fault_of_a_layer():
    inputs, targets = blobs(0, 20)
    spoiled = np.array(inputs)
    spoiled[3, 2] = np.nan
    (found,) = diagnose(network(20, [64]), (spoiled, targets)).findings
    assert (found.name, found.layer, found.detail) == (
        "not_finite",
        "",
        "the batch's inputs have NaN or infinite values",
    )
    (found,) = diagnose(nn.Linear(20, 20), (inputs, spoiled), "mse").findings
    assert found.detail == "the batch's targets have NaN or infinite values"


def test_an_optimizer_of_another_network_is_not_too_slow():
    model, other = network(20, [64]), network(20, [64])
    found = diagnose(model, blobs(0, 20), optimizer=optim.SGD(other.parameters(), lr=0.1))
    assert [(f.name, f.layer) for f in found.findings] == [("not_in_optimizer", "0"), ("not_in_optimizer", "2")]
    assert found.update_ratio is None
    assert repr(found) == str(found)  # what an interactive session shows
