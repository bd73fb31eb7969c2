"""Linear, Sequential, activations, Dropout, losses: values, gradients, reprs, errors."""

import collections
import inspect
import math

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.nn import functional as F
from tinytensor.tape import Node


def f64(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# --- Linear ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (1,), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_value_and_gradient(lead, bias):
    layer = nn.Linear(4, 3, bias=bias, dtype=tt.float64)
    w = layer.weight.detach().numpy()
    b = layer.bias.detach().numpy() if bias else np.zeros(3)
    data, g = f64(*lead, 4), f64(*lead, 3, seed=1)
    x = tt.tensor(data, requires_grad=True)
    y = layer(x)
    assert y.shape == (*lead, 3)
    np.testing.assert_allclose(y.detach().numpy(), data @ w.T + b, rtol=1e-12, atol=1e-14)
    y.backward(tt.tensor(g))
    np.testing.assert_allclose(x.grad.numpy(), g @ w, rtol=1e-12, atol=1e-14)
    rows, grads = data.reshape(-1, 4), g.reshape(-1, 3)
    np.testing.assert_allclose(layer.weight.grad.numpy(), grads.T @ rows, rtol=1e-12, atol=1e-14)
    if bias:
        np.testing.assert_allclose(layer.bias.grad.numpy(), grads.sum(0), rtol=1e-12, atol=1e-14)
    else:
        assert layer.bias is None


def test_linear_weight_is_stored_transposed_and_stays_so():
    layer = nn.Linear(5, 3)
    assert layer.weight.shape == (3, 5)

    def transposed():
        return layer.weight._data.T.flags.c_contiguous and not layer.weight._data.flags.c_contiguous

    assert transposed()
    memory = layer.weight._data
    layer.load_state_dict({"weight": tt.ones(3, 5), "bias": tt.ones(3)})
    layer.reset_parameters()
    with tt.no_grad():
        layer.weight.copy_(tt.zeros(3, 5))
    assert layer.weight._data is memory
    layer.double()
    assert transposed()
    assert layer.state_dict()["weight"]._data.T.flags.c_contiguous


def test_linear_default_init():
    tt.manual_seed(3)
    layer = nn.Linear(400, 300)
    for p in (layer.weight, layer.bias):
        values = p.detach().numpy()
        assert abs(values).max() <= 1 / 20
        assert abs(values).max() > 0.98 / 20
        assert abs(values.mean()) < 0.2 / 20
    assert layer.weight.detach().numpy().std() == pytest.approx(1 / 20 / math.sqrt(3), rel=0.01)


def test_linear_init_depends_on_the_seed_alone():
    tt.manual_seed(3)
    first, second = nn.Linear(6, 5), nn.Linear(6, 5)
    tt.manual_seed(3)
    again = nn.Linear(6, 5)
    assert first.weight.tolist() == again.weight.tolist()
    assert first.bias.tolist() == again.bias.tolist()
    assert first.weight.tolist() != second.weight.tolist()
    own = [nn.Linear(6, 5, generator=tt.Generator(9)) for _ in range(2)]
    assert own[0].weight.tolist() == own[1].weight.tolist() != first.weight.tolist()
    assert own[0].bias.tolist() == own[1].bias.tolist()
    # The values are drawn in logical order, whatever the layout.
    plain = tt.rand(5, 6, generator=tt.Generator(9))
    np.testing.assert_allclose(
        own[0].weight.detach().numpy(), (plain.numpy() * 2 - 1) / math.sqrt(6), rtol=1e-5, atol=1e-7
    )


def test_linear_own_generator_leaves_the_default_alone():
    tt.manual_seed(3)
    expected = tt.rand(4).tolist()
    tt.manual_seed(3)
    nn.Linear(6, 5, generator=tt.Generator(9))
    assert tt.rand(4).tolist() == expected


def test_linear_errors():
    with pytest.raises(ValueError, match=r"^Linear 784 -> 128: expected \(\*, 784\), got \(64, 100\)"):
        nn.Linear(784, 128)(tt.ones(64, 100))
    with pytest.raises(ValueError, match=r"expected \(\*, 784\), got \(\)"):
        nn.Linear(784, 128)(tt.tensor(1.0))
    with pytest.raises(ValueError, match=r"expected \(\*, 784\), got \(784, 100\)"):
        nn.Linear(784, 128)(tt.ones(784, 100))
    for sizes in ((-1, 3), (3, -1), (2.5, 3), ("3", 3), (True, 3), (None, 3)):
        with pytest.raises(ValueError, match=r"Linear: (in|out)_features must be a whole number >= 0"):
            nn.Linear(*sizes)


def test_other_errors_of_linear_stay_what_they_are():
    layer = nn.Linear(3, 2)
    layer.bias = nn.Parameter(tt.zeros(5))
    with pytest.raises(ValueError, match=r"^Linear 3 -> 2: linear: .*bias \(5,\)"):
        layer(tt.ones(4, 3))


def test_linear_with_one_input_has_a_random_bias():
    assert len(set(nn.Linear(1, 8, generator=tt.Generator(1)).bias.tolist())) == 8


def test_linear_without_inputs_or_outputs():
    assert nn.Linear(3, 0)(tt.ones(2, 3)).shape == (2, 0)
    layer = nn.Linear(0, 3)
    assert layer(tt.ones(2, 0)).tolist() == [[0, 0, 0]] * 2


# --- Sequential -----------------------------------------------------------------------------------


def test_sequential_runs_in_order():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x = tt.ones(5, 3)
    by_hand = net[2](F.tanh(net[0](x)))
    assert net(x).tolist() == by_hand.tolist()
    assert nn.Sequential()(x) is x


def test_sequential_indexing():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    net = nn.Sequential(a, b, c)
    assert len(net) == 3
    assert list(net) == [a, b, c]
    assert net[0] is a and net[-1] is c
    assert list(net[1:]) == [b, c]
    assert list(net[::-1]) == [c, b, a]
    assert type(net[:2]) is nn.Sequential
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"index {index} is out of range for a Sequential of 3 modules"):
            net[index]
    net[1] = c
    assert list(net) == [a, c, c]
    with pytest.raises(TypeError, match="cannot assign 'int' as child module '1'"):
        net[1] = 3


def test_sequential_append_and_delete():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    net = nn.Sequential(a)
    assert net.append(b).append(c) is net
    assert [name for name, _ in net.named_children()] == ["0", "1", "2"]
    del net[0]
    assert [name for name, _ in net.named_children()] == ["0", "1"]
    net.append(a)
    assert list(net) == [b, c, a]
    del net[:2]
    assert list(net) == [a]
    with pytest.raises(TypeError, match="str is not a Module subclass"):
        net.append("x")


def test_sequential_of_names():
    net = nn.Sequential(collections.OrderedDict([("first", nn.Linear(2, 3)), ("act", nn.ReLU())]))
    assert list(net.state_dict()) == ["first.weight", "first.bias"]
    assert net.first is net[0]
    assert [name for name, _ in net[1:].named_children()] == ["act"]
    part = net[:1]
    assert part.first is net.first


# --- Identity, Flatten, Dropout -------------------------------------------------------------------


def test_identity():
    x = tt.ones(2)
    assert nn.Identity(54, unused=True)(x) is x
    assert repr(nn.Identity(54)) == "Identity()"


def test_flatten():
    assert repr(nn.Flatten(0, 1)) == "Flatten(start_dim=0, end_dim=1)"
    x = tt.ones(2, 3, 4)
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Flatten(0)(x).shape == (24,)
    assert nn.Flatten(0, 1)(x).shape == (6, 4)


def test_dropout():
    tt.manual_seed(0)
    layer = nn.Dropout(0.25)
    x = tt.ones(100, 100, requires_grad=True)
    y = layer(x)
    values = y.detach().numpy()
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (values == 0).mean() == pytest.approx(0.25, abs=0.02)
    y.sum().backward()
    assert x.grad.tolist() == values.tolist()
    assert layer.eval()(x).tolist() == x.tolist()
    assert nn.Dropout().p == 0.5
    assert nn.Dropout(0)(x).tolist() == x.tolist()
    assert nn.Dropout(1)(x).tolist() == tt.zeros(100, 100).tolist()
    tt.manual_seed(0)
    assert nn.Dropout(0.25)(x).tolist() == values.tolist()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_dropout_probability_is_checked(p):
    with pytest.raises(ValueError, match=f"dropout probability has to be between 0 and 1, but got {p}"):
        nn.Dropout(p)


# --- activations ----------------------------------------------------------------------------------

X = np.linspace(-4, 4, 41)


def reference_softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


ERF = np.vectorize(math.erf)
ACTIVATIONS = [
    (nn.ReLU(), "ReLU()", lambda x: np.maximum(x, 0)),
    (nn.Sigmoid(), "Sigmoid()", lambda x: 1 / (1 + np.exp(-x))),
    (nn.Tanh(), "Tanh()", np.tanh),
    (nn.GELU(), "GELU(approximate='none')", lambda x: x * 0.5 * (1 + ERF(x / math.sqrt(2)))),
    (
        nn.GELU("tanh"),
        "GELU(approximate='tanh')",
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    (nn.LeakyReLU(), "LeakyReLU(negative_slope=0.01)", lambda x: np.where(x > 0, x, 0.01 * x)),
    (nn.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)", lambda x: np.where(x > 0, x, 0.2 * x)),
    (nn.ELU(), "ELU(alpha=1.0)", lambda x: np.where(x > 0, x, np.expm1(x))),
    (nn.ELU(0.5), "ELU(alpha=0.5)", lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    (
        nn.SELU(),
        "SELU()",
        lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    ),
    (nn.SiLU(), "SiLU()", lambda x: x / (1 + np.exp(-x))),
    (nn.Softplus(), "Softplus(beta=1.0, threshold=20.0)", lambda x: np.log1p(np.exp(x))),
    (
        nn.Softplus(2.0, 3.0),
        "Softplus(beta=2.0, threshold=3.0)",
        lambda x: np.where(2 * x > 3, x, np.log1p(np.exp(2 * x)) / 2),
    ),
    (nn.Softmax(dim=-1), "Softmax(dim=-1)", reference_softmax),
    (nn.LogSoftmax(dim=-1), "LogSoftmax(dim=-1)", lambda x: np.log(reference_softmax(x))),
    (nn.Softmin(dim=-1), "Softmin(dim=-1)", lambda x: reference_softmax(-x)),
    (nn.ReLU6(), "ReLU6()", lambda x: np.clip(x, 0, 6)),
    (nn.Hardtanh(-0.75, 1.25), "Hardtanh(min_val=-0.75, max_val=1.25)", lambda x: np.clip(x, -0.75, 1.25)),
    (nn.Hardsigmoid(), "Hardsigmoid()", lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    (nn.Hardswish(), "Hardswish()", lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    (nn.CELU(0.5), "CELU(alpha=0.5)", lambda x: np.where(x > 0, x, 0.5 * np.expm1(x / 0.5))),
    (nn.Mish(), "Mish()", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    (nn.Softsign(), "Softsign()", lambda x: x / (1 + np.abs(x))),
    (nn.Tanhshrink(), "Tanhshrink()", lambda x: x - np.tanh(x)),
    (nn.Softshrink(0.33), "Softshrink(0.33)", lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.33, 0)),
    (nn.Hardshrink(0.33), "Hardshrink(0.33)", lambda x: np.where(np.abs(x) > 0.33, x, 0)),
    (nn.Threshold(0.33, -2.0), "Threshold(threshold=0.33, value=-2.0)", lambda x: np.where(x > 0.33, x, -2.0)),
    (nn.LogSigmoid(), "LogSigmoid()", lambda x: -np.log1p(np.exp(-x))),
]


@pytest.mark.parametrize(("module", "text", "formula"), ACTIVATIONS, ids=[text for _, text, _ in ACTIVATIONS])
def test_activation(module, text, formula):
    assert repr(module) == text
    x = tt.tensor(X, requires_grad=True)
    y = module(x)
    np.testing.assert_allclose(y.detach().numpy(), formula(X), rtol=1e-11, atol=1e-13)
    y.backward(tt.tensor(np.arange(41.0)))
    h = 1e-6
    away = np.abs(X) > 0.1  # the kinks at 0 have no central difference
    for i in np.flatnonzero(away)[::7]:
        step = np.zeros(41)
        step[i] = h
        slope = (np.arange(41.0) * (formula(X + step) - formula(X - step))).sum() / (2 * h)
        assert x.grad[int(i)].item() == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_softmax_along_another_axis():
    x = tt.tensor(f64(3, 4))
    np.testing.assert_allclose(nn.Softmax(dim=0)(x).numpy().sum(0), 1, rtol=1e-12)
    np.testing.assert_allclose(np.exp(nn.LogSoftmax(dim=0)(x).numpy()).sum(0), 1, rtol=1e-12)


def test_every_activation_has_a_row():
    from tinytensor.nn import activation

    others = {"GLU", "PReLU", "RReLU"}  # test_more_layers.py
    assert {type(module).__name__ for module, _, _ in ACTIVATIONS} == set(activation.__all__) - others


# --- losses ---------------------------------------------------------------------------------------


def reference_nll(logp, target, weight=None, ignore_index=-100, reduction="mean"):
    w = np.ones(logp.shape[1]) if weight is None else weight
    each = np.array([0.0 if t == ignore_index else -w[t] * row[t] for row, t in zip(logp, target, strict=True)])
    total = sum(0.0 if t == ignore_index else w[t] for t in target)
    return {"none": each, "sum": each.sum(), "mean": each.sum() / total}[reduction]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore_index", [-100, 2])
def test_cross_entropy_and_nll(reduction, weighted, ignore_index):
    logits, target = f64(6, 4), np.array([0, 3, 2, 1, 2, 0])
    weight = np.array([0.5, 1.0, 2.0, 0.25]) if weighted else None
    options = {
        "weight": tt.tensor(weight) if weighted else None,
        "ignore_index": ignore_index,
        "reduction": reduction,
    }
    logp = np.log(reference_softmax(logits))
    wanted = reference_nll(logp, target, weight, ignore_index, reduction)
    both = nn.CrossEntropyLoss(**options)(tt.tensor(logits), tt.tensor(target))
    np.testing.assert_allclose(both.numpy(), wanted, rtol=1e-12)
    parts = nn.NLLLoss(**options)(nn.LogSoftmax(dim=1)(tt.tensor(logits)), tt.tensor(target))
    np.testing.assert_allclose(parts.numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss])
def test_targets_of_minus_100_do_not_count_by_default(kind):
    x = tt.tensor(f64(3, 4))
    wanted = kind()(x[:2], tt.tensor([1, 2])).item()
    assert kind()(x, tt.tensor([1, 2, -100])).item() == pytest.approx(wanted, rel=1e-12)


def test_cross_entropy_of_probabilities_and_smoothing():
    logits, target = f64(6, 4), np.array([0, 3, 2, 1, 2, 0])
    logp = np.log(reference_softmax(logits))
    soft = 0.8 * np.eye(4)[target] + 0.2 / 4
    wanted = -(soft * logp).sum(1).mean()
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.2)(tt.tensor(logits), tt.tensor(target))
    assert smoothed.item() == pytest.approx(wanted, rel=1e-12)
    direct = nn.CrossEntropyLoss()(tt.tensor(logits), tt.tensor(soft))
    assert direct.item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse(reduction):
    a, b = f64(5, 3), f64(5, 3, seed=1)
    each = (a - b) ** 2
    wanted = {"mean": each.mean(), "sum": each.sum(), "none": each}[reduction]
    np.testing.assert_allclose(nn.MSELoss(reduction)(tt.tensor(a), tt.tensor(b)).numpy(), wanted, rtol=1e-12)


def test_mse_refuses_to_broadcast():
    with pytest.raises((ValueError, RuntimeError), match=r"\(64, 1\)"):
        nn.MSELoss()(tt.ones(64, 1), tt.ones(64))


def test_loss_weight_is_a_buffer():
    loss = nn.CrossEntropyLoss(weight=tt.ones(3))
    assert list(loss.state_dict()) == ["weight"]
    assert loss.double().weight.dtype == tt.float64
    assert list(nn.CrossEntropyLoss().state_dict()) == []


@pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss])
def test_loss_repr_and_reduction(kind):
    assert repr(kind()) == f"{kind.__name__}()"
    with pytest.raises(ValueError, match="'average' is not a valid value for reduction"):
        kind(reduction="average")


# --- the room's table of contents -----------------------------------------------------------------


def test_public_names_exist():
    for module in (nn, F, nn.init):
        assert len(set(module.__all__)) == len(module.__all__)
        for name in module.__all__:
            assert hasattr(module, name), name


def test_every_public_module_and_function_says_what_it_does():
    for room in (nn, F, nn.init):
        for name in room.__all__:
            entry = getattr(room, name)
            if inspect.ismodule(entry):
                continue
            assert entry.__doc__, name


# --- fusion -----------------------------------------------------------------------------------------


def nodes(t):
    """How many nodes a tensor's graph has."""
    seen, open_ = set(), [t.grad_fn]
    while open_:
        node = open_.pop()
        if isinstance(node, Node) and node not in seen:
            seen.add(node)
            open_ += node.parents
    return len(seen)


def test_linear_relu_linear_and_cross_entropy_are_three_nodes():
    model = nn.Sequential(nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))
    assert nodes(F.cross_entropy(model(tt.randn(4, 7)), tt.tensor([0, 1, 2, 0]))) == 3


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.Sigmoid(), nn.Tanh(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.LeakyReLU(0.1), nn.ELU(0.7), nn.SELU(), nn.Softplus(2, 3)],
    ids=repr,
)  # fmt: skip
def test_sequential_fuses_with_the_same_bits(activation):
    tt.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 5), activation, nn.Linear(5, 3), activation)
    x = tt.randn(4, 7)
    together = model(x)
    apart = x
    for module in model:
        apart = module(apart)
    assert nodes(together) == 2 and nodes(apart) == 4
    assert together.detach().numpy().tobytes() == apart.detach().numpy().tobytes()
    grads = []
    for y in (together, apart):
        model.zero_grad()
        y.sum().backward()
        grads.append([p.grad.numpy().tobytes() for p in model.parameters()])
    assert grads[0] == grads[1]


def test_only_exact_types_fuse():
    class MyLinear(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    class MyReLU(nn.ReLU):
        def forward(self, x):
            return super().forward(x) + 1

    x = tt.randn(4, 7)
    for first, second in ((MyLinear(7, 5), nn.ReLU()), (nn.Linear(7, 5), MyReLU()), (nn.Linear(7, 5), nn.Softmax(1))):
        got, want = nn.Sequential(first, second)(x), second(first(x))
        np.testing.assert_array_equal(got.detach().numpy(), want.detach().numpy())
        assert nodes(got) == nodes(want)
    with pytest.raises(ValueError, match="approximate"):
        nn.Sequential(nn.Linear(7, 5), nn.GELU("sharp"))(x)


def test_an_instance_with_a_forward_of_its_own_is_not_fused():
    x, seen = tt.randn(4, 7), []
    model = nn.Sequential(nn.Linear(7, 5), nn.ReLU())
    model[1].forward = lambda z: seen.append(z) or z
    np.testing.assert_array_equal(model(x).detach().numpy(), model[0](x).detach().numpy())
    assert len(seen) == 1
    model = nn.Sequential(nn.Linear(7, 5), nn.ReLU())
    model[0].forward = lambda z: z * 2
    np.testing.assert_array_equal(model(x).numpy(), np.maximum(x.numpy() * 2, 0))
