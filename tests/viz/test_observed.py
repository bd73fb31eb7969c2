"""Activations and weights are seen whether they are modules or ops, and lost units are told from those that the draw loses."""

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F
from tinytensor import nn, optim
from tinytensor.viz import diagnose
from tinytensor.viz.observed import Observed


def blobs(seed=0, width=20, samples=320):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, samples)
    return (random.normal(size=(10, width))[labels] + random.normal(size=(samples, width))).astype(np.float32), labels


def moons(seed):
    random = np.random.default_rng(seed)
    y, t = random.integers(0, 2, 400), random.uniform(0, np.pi, 400)
    x = np.stack([np.where(y, 1 - np.cos(t), np.cos(t)), np.where(y, 0.5 - np.sin(t), np.sin(t))], 1)
    x += random.normal(0, 0.1, x.shape)
    return ((x - x.mean(0)) / x.std(0)).astype(np.float32), y


class Net(nn.Module):
    """As a PyTorch user writes it: activations in forward."""

    def __init__(self, rectify, width=64):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(20, width), nn.Linear(width, 32), nn.Linear(32, 10)
        self.rectify = rectify

    def forward(self, x):
        return self.fc3(self.fc2(self.rectify(self.fc1(x))).tanh())


RECTIFIERS = {
    "relu": F.relu,
    "hardtanh": F.relu6,
    "clamp": lambda x: x.clamp(min=0),
    "maximum": lambda x: tt.maximum(tt.tensor(0.0), x),
}


@pytest.mark.parametrize(
    "op, width", [("relu", 32), ("relu", 64), ("relu", 100), ("hardtanh", 64), ("clamp", 64), ("maximum", 64)]
)
def test_dead_units_of_a_function(op, width):
    model = Net(RECTIFIERS[op], width)
    with tt.no_grad():
        model.fc1.bias[:7] = -100.0
    found = diagnose(model, blobs(), optimizer=optim.SGD(model.parameters(), lr=0.1))
    assert [(f.name, f.layer) for f in found.findings] == [("dead_units", f"{op}(fc1)")]
    assert [layer.layer for layer in found.layers] == ["fc1", f"{op}(fc1)", "fc2", "tanh(fc2)", "fc3"]
    assert [layer.kind for layer in found.layers] == ["Linear", op, "Linear", "tanh", "Linear"]
    assert (found.layers[1].dead, found.layers[1].units, found.layers[3].saturated) == (7, width, 0)


def test_functions_are_measured_as_modules_are():
    tt.manual_seed(0)
    plain = Net(F.relu)
    modular = nn.Sequential(plain.fc1, nn.ReLU(), plain.fc2, nn.Tanh(), plain.fc3)
    x, y = blobs()
    one, other = (diagnose(m, (x, y), data=(x[:300], y[:300])) for m in (plain, modular))
    for a, b in zip(one.rows(), other.rows(), strict=True):
        assert {**a, "layer": "", "kind": ""} == {**b, "layer": "", "kind": ""}


def test_a_bounded_function_of_no_zero_is_no_relu():
    model = Net(lambda x: tt.maximum(x, tt.tensor(-1.0)))
    assert [layer.layer for layer in diagnose(model, blobs()).layers] == ["fc1", "fc2", "tanh(fc2)", "fc3"]


def test_saturated_units_of_a_function():
    model = Net(F.relu)
    with tt.no_grad():
        model.fc2.bias[:5] = 50.0
    found = diagnose(model, blobs())
    assert [(f.name, f.layer) for f in found.findings] == [("saturated_units", "tanh(fc2)")]


def by_hand():
    w1, b1 = tt.randn(20, 64) * (2 / 20) ** 0.5, tt.zeros(64)
    w2, b2 = tt.randn(64, 10) * 0.05, tt.zeros(10)
    return [p.requires_grad_() for p in (w1, b1, w2, b2)]


@pytest.mark.parametrize("seed", range(2))
def test_a_network_without_modules(seed):
    tt.manual_seed(seed)
    w1, b1, w2, b2 = parameters = by_hand()

    def network(x):
        return tt.relu(x @ w1 + b1) @ w2 + b2

    optimizer = optim.Adam(parameters)
    network(tt.tensor(blobs()[0])).sum().backward()
    optimizer.step()
    before = [(p._data, p._data.tobytes(), p.grad, p.grad.numpy().tobytes()) for p in parameters]
    states = [v.numpy().tobytes() for p in parameters for v in optimizer.state[p].values() if isinstance(v, tt.Tensor)]
    found = diagnose(network, blobs(), optimizer=optimizer)
    assert found.findings == []
    assert [(layer.layer, layer.kind) for layer in found.layers] == [
        ("w1", "matmul"),
        ("relu(w1)", "relu"),
        ("w2", "matmul"),
    ]
    assert all(layer.update_ratio > 0 and layer.grad_norm > 0 for layer in (found.layers[0], found.layers[2]))
    for p, (array, bits, gradient, its_bits) in zip(parameters, before):
        assert (
            p._data is array
            and array.tobytes() == bits
            and p.grad is gradient
            and gradient.numpy().tobytes() == its_bits
        )
    assert [
        v.numpy().tobytes() for p in parameters for v in optimizer.state[p].values() if isinstance(v, tt.Tensor)
    ] == states

    with tt.no_grad():
        b1[:7] = -100.0
    assert [(f.name, f.layer) for f in diagnose(network, blobs(), optimizer=optimizer).findings] == [
        ("dead_units", "relu(w1)")
    ]
    with tt.no_grad():
        b1[:7] = 0.0
    left_out = diagnose(network, blobs(), optimizer=optim.SGD([w1, b1], lr=0.1), parameters={"first": w1, "last": w2})
    assert [(f.name, f.layer) for f in left_out.findings] == [("not_in_optimizer", "last")]
    assert [layer.layer for layer in left_out.layers] == ["first", "relu(first)", "last"]


def test_a_function_that_calls_a_module():
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    with tt.no_grad():
        model[0].bias[:7] = -100.0
        model[2].bias[:5] = 50.0
    found = diagnose(lambda x: model(x), blobs(), parameters=dict(model.named_parameters()))
    assert [layer.layer for layer in found.layers] == [
        "0.weight", "relu(0.weight)", "2.weight", "tanh(2.weight)", "4.weight",
    ]  # fmt: skip
    assert (found.layers[1].dead, found.layers[3].saturated) == (7, 5)
    same = diagnose(model, blobs())
    assert [f.detail for f in found.findings] == [f.detail for f in same.findings]


def test_an_object_with_parameters_of_its_own():
    class TwoLayer:
        def __init__(self):
            self.w1, _, self.w2, _ = by_hand()

        def parameters(self):
            return [self.w1, self.w2]

        def __call__(self, x):
            return tt.sigmoid(x @ self.w1) @ self.w2

    found = diagnose(TwoLayer(), blobs())
    assert [layer.layer for layer in found.layers] == ["p0", "sigmoid(p0)", "p1"]


def test_matrices_in_one_module_are_layers_of_their_own():
    class TwoLayer(nn.Module):
        def __init__(self):
            super().__init__()
            self.W1, self.W2 = nn.Parameter(tt.randn(64, 20) * 0.3), nn.Parameter(tt.randn(10, 64) * 0.1)

        def forward(self, x):
            return F.relu(x @ self.W1.T) @ self.W2.T

    found = diagnose(TwoLayer(), blobs())
    assert [(layer.layer, layer.units) for layer in found.layers] == [("W1", 64), ("relu(W1)", 64), ("W2", 10)]


def test_an_activation_that_is_called_twice_is_two():
    class Shared(Net):
        def __init__(self):
            super().__init__(nn.ReLU())
            self.act = self.rectify

        def forward(self, x):
            return self.fc3(self.act(self.fc2(self.act(self.fc1(x)))))

    found = diagnose(Shared(), blobs())
    assert [layer.dead for layer in found.layers] == [None, 0, None, found.layers[3].dead, None]
    assert found.layers[3].layer == "relu(fc2)"


@pytest.mark.parametrize("seed, hidden", [(0, [16]), (1, [16]), (2, [32, 32]), (3, [32, 32]), (4, [100, 64])])
def test_units_that_the_draw_of_two_dimensional_weights_loses_are_no_finding(seed, hidden):
    tt.manual_seed(seed)
    model = nn.MLP([2, *hidden, 2])
    assert diagnose(model, moons(seed)).findings == []


def test_units_lost_for_inputs_that_are_not_centred_are_not_excused():
    x, y = blobs()
    model = nn.MLP([20, 64, 10])
    found = diagnose(model, (x + 10, y))
    assert [f.name for f in found.findings if f.name != "loss_above_chance"] == ["dead_units"]
    assert diagnose(model, (x, y)).findings == []


def test_the_whole_of_a_small_data_set_is_enough():
    x, y = blobs(samples=120)
    model = nn.MLP([20, 64, 10])
    with tt.no_grad():
        model[0].bias[:7] = -100.0
    assert diagnose(model, (x, y)).findings == []
    found = diagnose(model, (x, y), data=(x, y))
    assert found.names == ["dead_units"] and "on 120 samples" in found.findings[0].detail
    found = diagnose(model, (x[:50], y[:50]), data=(x, y))
    assert found.names == ["dead_units"] and "50 samples, units counted on 120" in str(found)


def test_watching_again_counts_on():
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU())
    with tt.no_grad():
        model[0].weight.copy_(tt.tensor([[1.0], [-1.0]]))
    seen = Observed(model, dict(model.named_parameters()))
    seen.watch((tt.tensor([[1.0], [2.0]]),))
    assert seen.lost() == {1: 1}
    seen.watch((tt.tensor([[-1.0]]),))
    assert seen.lost() == {1: 0} and len(seen.layers) == 2


@pytest.mark.parametrize("value", [1e20, 1e200, float("inf")])
def test_outputs_that_are_huge_and_equal(value):
    model = nn.Linear(2, 3).double()
    with tt.no_grad():
        model.weight.fill_(1.0)
        model.bias.zero_()
    found = diagnose(model, (np.full((20, 2), value), np.zeros(20, np.int64)))
    assert sum(found.layers[0].histogram) == (0 if value == float("inf") else 60)
    assert found.layers[0].mean == pytest.approx(2 * value)
