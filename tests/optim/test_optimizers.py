"""Optimizers, step by step, against float64 NumPy implementations of PyTorch's formulas; groups and state."""

import copy
import pickle

import numpy as np
import pytest
from formulas import CASES, IDS, sgd

import tinytensor as tt
from tinytensor import nn, optim

SHAPES = [(5, 3), (7,), (), (2, 3, 4), (0, 3)]
STEPS = 50


def start(shape, layout="C", seed=0, dtype=np.float64):
    return np.asarray(np.random.default_rng(seed).normal(size=shape), dtype, order=layout)


def gradients(shape, seed=1, dtype=np.float64):
    # The scale varies, so that amsgrad's maximum and the running means do different things.
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.normal(size=shape) * 10.0 ** rng.integers(-3, 2), dtype) for _ in range(STEPS)]


def parameter(array):
    return tt.from_numpy(array.copy(order="K")).requires_grad_()


def last(formula, p, *arguments, **options):
    """The parameter after the last step."""
    return [p, *formula(p, *arguments, **options)][-1]


def take_steps(optimizer, params, grads):
    """Step once per entry of the gradients: one list per parameter, None for no gradient."""
    for now in zip(*grads, strict=True):
        for p, g in zip(params, now, strict=True):
            p.grad = None if g is None else tt.from_numpy(g.copy())
        optimizer.step()


@pytest.mark.parametrize(("kind", "reference", "options"), CASES, ids=IDS)
@pytest.mark.parametrize("layout", ["C", "F"])
def test_steps_follow_the_formula(kind, reference, options, layout):
    arrays = [start(shape, layout, i) for i, shape in enumerate(SHAPES)]
    grads = [gradients(shape, 10 + i) for i, shape in enumerate(SHAPES)]
    params = [parameter(array) for array in arrays]
    memory = [p._data for p in params]
    optimizer = kind(params, lr=0.01, **options)
    formulas = [reference(array, g, 0.01, **options) for array, g in zip(arrays, grads, strict=True)]
    for step in range(STEPS):
        take_steps(optimizer, params, [g[step : step + 1] for g in grads])
        for p, formula in zip(params, formulas, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), next(formula), rtol=1e-12, atol=1e-14)
    for p, array in zip(params, memory, strict=True):
        assert p._data is array


@pytest.mark.parametrize(("kind", "reference", "options"), CASES, ids=IDS)
def test_float32_follows_the_formula(kind, reference, options):
    array, grads = start((33, 17), dtype=np.float32), gradients((33, 17), dtype=np.float32)
    p = parameter(array)
    take_steps(kind([p], lr=0.01, **options), [p], [grads])
    wanted = last(reference, array.astype(np.float64), [g.astype(np.float64) for g in grads], 0.01, **options)
    assert p.dtype == tt.float32
    np.testing.assert_allclose(p.detach().numpy(), wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("kind", "reference", "options"), CASES, ids=IDS)
def test_gradient_in_another_layout(kind, reference, options):
    array, grads = start((6, 4), "F"), gradients((6, 4))
    p = parameter(array)
    optimizer = kind([p], lr=0.01, **options)
    for i, g in enumerate(grads):
        strided = np.repeat(g, 2, axis=1)[:, ::2] if i % 2 else np.asfortranarray(g)
        p.grad = tt.from_numpy(strided)
        optimizer.step()
    np.testing.assert_allclose(
        p.detach().numpy(), last(reference, array, grads, 0.01, **options), rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize(("kind", "reference", "options"), CASES, ids=IDS)
def test_state_and_parameter_in_other_layouts(kind, reference, options):
    array, grads = start((6, 4)), gradients((6, 4))
    p = tt.from_numpy(np.repeat(array, 2, axis=1)[:, ::2]).requires_grad_()
    optimizer = kind([p], lr=0.01, **options)
    take_steps(optimizer, [p], [grads[:3]])
    state = optimizer.state.get(p, {})
    held = {key: value for key, value in state.items() if isinstance(value, tt.Tensor) and value.ndim == 2}
    for i, (key, value) in enumerate(held.items()):
        other = np.repeat(value.numpy(), 2, axis=0)[::2] if i % 2 else np.asfortranarray(value.numpy())
        state[key] = held[key] = tt.from_numpy(other)
    take_steps(optimizer, [p], [grads[3:]])
    wanted = last(reference, array, grads, 0.01, **options)
    np.testing.assert_allclose(p.detach().numpy(), wanted, rtol=1e-12, atol=1e-14)
    assert all(state[key] is value for key, value in held.items())


STATES = [
    (optim.SGD, {"momentum": 0.9}, ["momentum_buffer"]),
    (optim.Adam, {"amsgrad": True}, ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]),
    (optim.NAdam, {}, ["exp_avg", "exp_avg_sq"]),
    (optim.RAdam, {}, ["exp_avg", "exp_avg_sq"]),
    (optim.Adamax, {}, ["exp_avg", "exp_inf"]),
    (optim.RMSprop, {"momentum": 0.9, "centered": True}, ["grad_avg", "momentum_buffer", "square_avg"]),
    (optim.RMSprop, {}, ["square_avg"]),
    (optim.Adagrad, {"lr_decay": 0.1}, ["sum"]),
    (optim.Adadelta, {}, ["acc_delta", "square_avg"]),
    (optim.Lion, {}, ["exp_avg"]),
]


@pytest.mark.parametrize(("kind", "options", "names"), STATES)
def test_state_lies_as_its_parameter(kind, options, names):
    p = parameter(start((6, 4), "F"))
    optimizer = kind([p], lr=0.01, **options)
    take_steps(optimizer, [p], [gradients((6, 4))])
    kept = {key: value for key, value in optimizer.state[p].items() if isinstance(value, tt.Tensor)}
    assert sorted(kept) == names
    assert all(value._data.strides == p._data.strides for value in kept.values())
    other = kind([parameter(start((6, 4), "F"))], lr=0.01, **options)
    other.load_state_dict(optimizer.state_dict())
    (state,) = other.state.values()
    assert all(v._data.strides == p._data.strides for v in state.values() if isinstance(v, tt.Tensor))


@pytest.mark.parametrize(
    ("kind", "reference", "options"),
    [case for case in CASES if case[0] in (optim.SGD, optim.Adam, optim.NAdam, optim.RAdam, optim.Adagrad)],
)
def test_parameter_without_gradient_is_skipped(kind, reference, options):
    arrays = [start((4,), seed=i) for i in range(3)]
    grads = [gradients((4,), seed=5 + i) for i in range(3)]
    grads[1] = [g if i % 3 == 2 else None for i, g in enumerate(grads[1])]
    grads[2] = [None] * STEPS
    params = [parameter(array) for array in arrays]
    optimizer = kind(params, lr=0.01, **options)
    take_steps(optimizer, params, grads)
    for p, array, g in zip(params, arrays, grads, strict=True):
        # Each counts its own steps: momentum and bias correction start at its first gradient.
        wanted = last(reference, array, [x for x in g if x is not None], 0.01, **options)
        np.testing.assert_allclose(p.detach().numpy(), wanted, rtol=1e-12, atol=1e-14)
    assert params[2] not in optimizer.state


def test_one_kernel_call_per_group(monkeypatch):
    from tinytensor.optim import adagrad, adam, lion, sgd

    calls = []

    class Counting:
        def __init__(self, real):
            self.real = real

        def __getattr__(self, name):
            calls.append(name)
            return getattr(self.real, name)

    for module in (sgd, adam, adagrad, lion):
        monkeypatch.setattr(module, "_tape", Counting(module._tape))
    for kind, options, _ in STATES:
        name = f"{kind.__name__.lower()}_step"
        params = [parameter(start((3, 2), seed=i)) for i in range(5)]
        optimizer = kind([{"params": params[:3]}, {"params": params[3:]}], lr=0.1, **options)
        calls.clear()
        take_steps(optimizer, params, [gradients((3, 2))[:4]] * 5)
        assert calls == [name] * 8


def test_groups_have_their_own_options():
    a, b = parameter(start((3,), seed=1)), parameter(start((3,), seed=2))
    first, second = a.detach().numpy().copy(), b.detach().numpy().copy()
    optimizer = optim.SGD([{"params": a}, {"params": [b], "lr": 0.5, "momentum": 0.9}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0, 0]
    grads = gradients((3,))
    take_steps(optimizer, [a, b], [grads, grads])
    np.testing.assert_allclose(a.detach().numpy(), last(sgd, first, grads, 0.1), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(b.detach().numpy(), last(sgd, second, grads, 0.5, momentum=0.9), rtol=1e-12, atol=1e-14)


def test_group_options_may_change_between_steps():
    array, grads = start((3,)), gradients((3,))
    p = parameter(array)
    optimizer = optim.SGD([p], lr=0.1)
    take_steps(optimizer, [p], [grads[:2]])
    optimizer.param_groups[0].update(lr=0.01, momentum=0.9)
    take_steps(optimizer, [p], [grads[2:]])
    wanted = last(sgd, last(sgd, array, grads[:2], 0.1), grads[2:], 0.01, momentum=0.9)
    np.testing.assert_allclose(p.detach().numpy(), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("kind", "options", "names"), STATES)
@pytest.mark.parametrize("carry", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_state_dict_continues_the_run(kind, options, names, carry):
    arrays = [start((4, 2), seed=i) for i in range(2)]
    grads = [gradients((4, 2), seed=7 + i) for i in range(2)]
    whole = [parameter(array) for array in arrays]
    take_steps(kind(whole, lr=0.01, **options), whole, grads)
    parts = [parameter(array) for array in arrays]
    first = kind(parts, lr=0.01, **options)
    take_steps(first, parts, [g[:5] for g in grads])
    second = kind(parts, lr=99.0)
    second.load_state_dict(carry(first.state_dict()))
    assert second.param_groups[0]["lr"] == 0.01
    take_steps(second, parts, [g[5:] for g in grads])
    for p, q in zip(parts, whole, strict=True):
        assert p.detach().numpy().tobytes() == q.detach().numpy().tobytes()


def test_state_dict_form():
    params = [parameter(start((2,), seed=i)) for i in range(3)]
    optimizer = optim.Adam([{"params": params[:2]}, {"params": params[2:], "lr": 0.5}], lr=0.1)
    take_steps(optimizer, params, [gradients((2,))[:1], [None], gradients((2,))[:1]])
    saved = optimizer.state_dict()
    assert sorted(saved) == ["param_groups", "state"]
    assert [group["params"] for group in saved["param_groups"]] == [[0, 1], [2]]
    assert [group["lr"] for group in saved["param_groups"]] == [0.1, 0.5]
    assert sorted(saved["state"]) == [0, 2]
    assert saved["state"][2]["step"] == 1
    assert set(saved["state"][0]) == {"step", "exp_avg", "exp_avg_sq"}


def test_loaded_state_is_a_copy_in_the_parameters_dtype():
    p = parameter(start((3,)))
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    take_steps(optimizer, [p], [gradients((3,))])
    q = parameter(start((3,), dtype=np.float32))
    other = optim.SGD([q], lr=0.1, momentum=0.9)
    other.load_state_dict(optimizer.state_dict())
    buffer = other.state[q]["momentum_buffer"]
    assert buffer.dtype == tt.float32
    kept = optimizer.state[p]["momentum_buffer"]
    np.testing.assert_array_equal(buffer.numpy(), kept.numpy().astype(np.float32))
    same = optim.SGD([p], lr=0.1, momentum=0.9)
    same.load_state_dict(optimizer.state_dict())
    assert not np.shares_memory(same.state[p]["momentum_buffer"].numpy(), kept.numpy())


@pytest.mark.parametrize("read", [np.asarray, tt.tensor])
def test_numbers_of_a_state_may_be_arrays_or_tensors(read):
    p = parameter(start((3,)))
    optimizer = optim.NAdam([p], lr=0.1)
    take_steps(optimizer, [p], [gradients((3,))])
    saved = optimizer.state_dict()
    kept = saved["state"][0]
    saved["state"] = {0: {key: v if isinstance(v, tt.Tensor) else read(v) for key, v in kept.items()}}
    other = optim.NAdam([p], lr=0.1)
    other.load_state_dict(saved)
    loaded = other.state[p]
    assert (type(loaded["step"]), loaded["step"]) == (int, kept["step"])
    assert type(loaded["mu_product"]) is float
    assert loaded["mu_product"] == pytest.approx(kept["mu_product"], rel=1e-6)
    saved["state"] = {0: {key: np.asarray(v) for key, v in kept.items()}}
    other.load_state_dict(saved)
    for key in ("exp_avg", "exp_avg_sq"):
        assert isinstance(other.state[p][key], tt.Tensor)
        np.testing.assert_array_equal(other.state[p][key].numpy(), kept[key].numpy())


def test_load_state_dict_refuses_misfits_and_changes_nothing():
    a, b = parameter(start((3,))), parameter(start((4,)))
    source = optim.SGD([a, b], lr=0.1, momentum=0.9)
    take_steps(source, [a, b], [gradients((3,)), gradients((4,))])
    saved = source.state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups: 1 instead of 2"):
        optim.SGD([{"params": [a]}, {"params": [b]}]).load_state_dict(saved)
    with pytest.raises(ValueError, match="group 0 has 2 parameters instead of 1"):
        optim.SGD([a]).load_state_dict(saved)
    target = optim.SGD([b, a], lr=0.7)
    with pytest.raises(ValueError, match=r"momentum_buffer of shape \(3,\) for parameter 0 of shape \(4,\)"):
        target.load_state_dict(saved)
    assert target.param_groups[0]["lr"] == 0.7
    assert not target.state
    saved["state"][7] = saved["state"].pop(0)
    with pytest.raises(ValueError, match="state for parameter 7, which is in none of its groups"):
        source.load_state_dict(saved)


@pytest.mark.parametrize("carry", [copy.deepcopy, lambda d: pickle.loads(pickle.dumps(d))])
def test_model_and_optimizer_carried_together_go_on(carry):
    p = parameter(start((3,)))
    optimizer = optim.Adam([p], lr=0.1)
    grads = gradients((3,))
    take_steps(optimizer, [p], [grads[:4]])
    q, other = carry((p, optimizer))
    assert other.param_groups[0]["params"][0] is q
    take_steps(optimizer, [p], [grads[4:]])
    take_steps(other, [q], [grads[4:]])
    assert p.detach().numpy().tobytes() == q.detach().numpy().tobytes()


def test_zero_grad():
    p, q = parameter(start((3,))), parameter(start((2,)))
    optimizer = optim.SGD([p, q])
    p.grad = tt.ones(3, dtype=tt.float64)
    kept = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert np.shares_memory(p.grad._data, kept._data)
    assert kept.tolist() == [0, 0, 0]
    assert q.grad is None
    optimizer.zero_grad()
    assert p.grad is None


def test_zero_grad_of_a_gradient_on_the_tape():
    p = parameter(start((3,)))
    (p * p * p).sum().backward(create_graph=True)
    assert p.grad.requires_grad
    optim.SGD([p]).zero_grad(set_to_none=False)
    assert not p.grad.requires_grad
    assert p.grad.tolist() == [0, 0, 0]


def test_closure_runs_with_gradients_and_is_returned():
    p = parameter(np.array([3.0]))
    optimizer = optim.SGD([p], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with tt.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 9.0
    assert p.tolist() == [1.5]
    assert optimizer.step() is None


def test_step_is_not_recorded():
    p = parameter(np.array([3.0]))
    (p * p).sum().backward()
    optim.SGD([p], lr=0.1).step()
    assert p.is_leaf
    assert p.requires_grad


def misfit(optimizer, p):
    p._grad = tt.ones(7, dtype=tt.float64)


def misfit_dtype(optimizer, p):
    p._grad = tt.ones(4, 2, dtype=tt.float32)


def read_only(optimizer, p):
    p._data.flags.writeable = False


def wrong_state(optimizer, p):
    for key, value in optimizer.state[p].items():
        if isinstance(value, tt.Tensor):
            optimizer.state[p][key] = tt.ones(3, dtype=tt.float64)


def no_state(optimizer, p):
    for key, value in optimizer.state[p].items():
        if isinstance(value, tt.Tensor):
            optimizer.state[p][key] = "lost"


@pytest.mark.parametrize(("kind", "options", "names"), STATES)
@pytest.mark.parametrize(
    ("harm", "kind_of_error", "message"),
    [
        (misfit, ValueError, r"expected a gradient of its dtype and shape, got float64 \(7,\)"),
        (misfit_dtype, ValueError, r"expected a gradient of its dtype and shape, got float32 \(4, 2\)"),
        (read_only, TypeError, "expected a writable float32 or float64 parameter"),
        (wrong_state, ValueError, r"expected a \w+ of its dtype and shape, got float64 \(3,\)"),
        (no_state, TypeError, r"expected a Tensor as \w+, got str"),
    ],
)
@pytest.mark.parametrize("groups", [1, 2])
def test_a_step_that_raises_has_changed_nothing(kind, options, names, harm, kind_of_error, message, groups):
    params = [parameter(start((4, 2), seed=i)) for i in range(4)]
    split = [{"params": params}] if groups == 1 else [{"params": params[:1]}, {"params": params[1:]}]
    optimizer = kind(split, lr=0.01, **options)
    # the last parameter has no state yet when the step fails
    take_steps(optimizer, params, [gradients((4, 2))[:3]] * 3 + [[None] * 3])
    for p in params:
        p.grad = tt.ones(4, 2, dtype=tt.float64)
    harm(optimizer, params[2])
    values = [p.detach().numpy().copy() for p in params]
    before = copy.deepcopy(optimizer.state_dict()["state"])
    with pytest.raises(kind_of_error, match=rf"^{kind.__name__}: parameter {3 - groups} of its group, .*{message}"):
        optimizer.step()
    assert all(np.array_equal(p.detach().numpy(), value) for p, value in zip(params, values, strict=True))
    after = optimizer.state_dict()["state"]
    assert list(after) == list(before) == [0, 1, 2]
    for i, state in before.items():
        assert after[i].keys() == state.keys()
        for key, value in state.items():
            same = np.array_equal(after[i][key].numpy(), value.numpy()) if isinstance(value, tt.Tensor) else None
            assert same is True or after[i][key] == value


@pytest.mark.parametrize(("kind", "reference", "options"), CASES, ids=IDS)
def test_a_nan_in_a_gradient_reaches_its_element_alone(kind, reference, options):
    p = parameter(start((5,)))
    first = gradients((5,))[:2]
    first[0][2] = np.nan
    take_steps(kind([p], lr=0.01, **options), [p], [first])
    assert np.isnan(p.detach().numpy()).tolist() == [False, False, True, False, False]


def test_constant_gradients_never_make_a_centered_variance_negative():
    p = parameter(np.zeros(1000, np.float32))
    p.grad = tt.from_numpy(np.linspace(0.1, 3, 1000, dtype=np.float32))
    optimizer = optim.RMSprop([p], lr=1e-6, alpha=0.5, centered=True)
    for _ in range(100):
        optimizer.step()
    assert np.isfinite(p.detach().numpy()).all()


def test_adamw_stays_decoupled_whatever_is_loaded():
    p = parameter(start((3,)))
    optimizer = optim.AdamW([p], lr=0.1)
    optimizer.load_state_dict(optim.Adam([p], lr=0.2).state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.2
    assert optimizer.param_groups[0]["decoupled_weight_decay"] is True


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.Adagrad, optim.LBFGS])
@pytest.mark.parametrize("option", ["foreach", "capturable", "fused", "differentiable"])
def test_options_of_other_devices_are_refused(kind, option):
    with pytest.raises(TypeError, match=option):
        kind([parameter(start((2,)))], **{option: True})


def test_backward_through_values_that_a_step_changed_is_refused():
    p = parameter(np.array([3.0]))
    loss = (p * p).sum()
    loss.backward(retain_graph=True)
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match=r"in.?place"):
        loss.backward()


def test_training_a_module():
    tt.manual_seed(0)
    x = tt.rand(64, 2)
    y = (x[:, 0] > x[:, 1]).to(tt.int64)
    for kind, lr in ((optim.SGD, 0.5), (optim.Adam, 0.05), (optim.AdamW, 0.05)):
        model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
        optimizer = kind(model.parameters(), lr=lr)
        criterion = nn.CrossEntropyLoss()
        losses = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0], kind


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (optim.SGD, {"lr": -0.1}, "Invalid learning rate: -0.1"),
        (optim.SGD, {"lr": float("nan")}, "Invalid learning rate: nan"),
        (optim.SGD, {"momentum": -0.1}, "Invalid momentum value: -0.1"),
        (optim.SGD, {"weight_decay": -0.1}, "Invalid weight_decay value: -0.1"),
        (optim.SGD, {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
        (optim.SGD, {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "Nesterov momentum requires"),
        (optim.Adam, {"lr": -0.1}, "Invalid learning rate: -0.1"),
        (optim.Adam, {"eps": -1e-8}, "Invalid epsilon value: -1e-08"),
        (optim.Adam, {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
        (optim.Adam, {"betas": (0.9, -0.5)}, "Invalid beta parameter at index 1: -0.5"),
        (optim.AdamW, {"weight_decay": -0.1}, "Invalid weight_decay value: -0.1"),
        (optim.NAdam, {"momentum_decay": -0.1}, "Invalid momentum_decay value: -0.1"),
        (optim.RAdam, {"betas": (0.9, 1.0)}, "Invalid beta parameter at index 1: 1.0"),
        (optim.Adamax, {"eps": -1.0}, "Invalid epsilon value: -1.0"),
        (optim.RMSprop, {"alpha": -0.1}, "Invalid alpha value: -0.1"),
        (optim.RMSprop, {"momentum": -0.1}, "Invalid momentum value: -0.1"),
        (optim.Adagrad, {"lr_decay": -0.1}, "Invalid lr_decay value: -0.1"),
        (optim.Adagrad, {"initial_accumulator_value": -0.1}, "Invalid initial_accumulator_value value: -0.1"),
        (optim.Adadelta, {"rho": 1.1}, "Invalid rho value: 1.1"),
        (optim.Lion, {"betas": (1.0, 0.9)}, "Invalid beta parameter at index 0: 1.0"),
    ],
)
def test_options_are_checked(kind, options, message):
    p = parameter(start((2,)))
    with pytest.raises(ValueError, match=message):
        kind([p], **options)
    with pytest.raises(ValueError, match=message):
        kind([{"params": [p], **options}])
    with pytest.raises(ValueError, match=message):
        kind([{"params": [p], **kind([p]).defaults}], **options)
    optimizer = kind([p])
    saved = optimizer.state_dict()
    saved["param_groups"][0].update(options)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0] == {**optimizer.defaults, "params": optimizer.param_groups[0]["params"]}


def test_defaults_are_pytorchs():
    p = [parameter(start((2,)))]
    assert optim.SGD(p).defaults == {
        "lr": 1e-3, "momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False, "maximize": False,
    }  # fmt: skip
    adam = {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0,
        "amsgrad": False,
        "maximize": False,
        "decoupled_weight_decay": False,
    }
    assert optim.Adam(p).defaults == adam
    assert optim.AdamW(p).defaults == {**adam, "weight_decay": 1e-2, "decoupled_weight_decay": True}
    plain = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "maximize": False}
    assert optim.NAdam(p).defaults == {**plain, "lr": 2e-3, "momentum_decay": 4e-3, "decoupled_weight_decay": False}
    assert optim.RAdam(p).defaults == {**plain, "lr": 1e-3, "decoupled_weight_decay": False}
    assert optim.Adamax(p).defaults == {**plain, "lr": 2e-3}
    assert optim.RMSprop(p).defaults == {
        "lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0, "momentum": 0, "centered": False, "maximize": False,
    }  # fmt: skip
    assert optim.Adagrad(p).defaults == {
        "lr": 1e-2, "lr_decay": 0, "weight_decay": 0, "initial_accumulator_value": 0, "eps": 1e-10, "maximize": False,
    }  # fmt: skip
    assert optim.Adadelta(p).defaults == {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0, "maximize": False}
    assert optim.Lion(p).defaults == {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0, "maximize": False}


def test_parameters_are_checked():
    p = parameter(start((2,)))
    with pytest.raises(TypeError, match="should be an iterable of Tensors or dicts, but got Tensor"):
        optim.SGD(p)
    with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
        optim.SGD([])
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        optim.SGD([p * 2])
    with pytest.raises(TypeError, match="can only optimize Tensors, but one of the params is float"):
        optim.SGD([1.5])
    with pytest.raises(TypeError, match="ordered collections"):
        optim.SGD([{"params": {p}}])
    with pytest.raises(ValueError, match="more than one parameter group"):
        optim.SGD([{"params": [p]}, {"params": [p]}])
    with pytest.raises(ValueError, match="twice in one"):
        optim.SGD([p, p])
    with pytest.raises(ValueError, match="dtype int64"):
        optim.SGD([tt.tensor([1, 2])])
    with pytest.raises(TypeError, match="param_group must be a dict"):
        optim.SGD([p]).add_param_group([p])


def test_add_param_group():
    p, q = parameter(start((2,))), parameter(start((2,), seed=3))
    optimizer = optim.SGD([p], lr=0.1)
    optimizer.add_param_group({"params": q, "lr": 0.2})
    before = q.detach().numpy().copy()
    q.grad = tt.ones(2, dtype=tt.float64)
    optimizer.step()
    np.testing.assert_allclose(q.detach().numpy(), before - 0.2, rtol=1e-12, atol=1e-14)


def test_repr():
    optimizer = optim.SGD([parameter(start((2,)))], lr=0.1)
    assert repr(optimizer) == (
        "SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.1\n    maximize: False\n    momentum: 0\n"
        "    nesterov: False\n    weight_decay: 0\n)"
    )


def test_own_optimizer():
    class SignDescent(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def _update(self, group):
            for p in group["params"]:
                if p.grad is not None:
                    p.data -= group["lr"] * p.grad.sign()

    p = parameter(np.array([1.0, -1.0]))
    p.grad = tt.tensor([5.0, -0.1], dtype=tt.float64)
    SignDescent([p], 0.25).step()
    assert p.tolist() == [0.75, -0.75]
    q = parameter(np.array([2.0]))
    q.grad = tt.tensor([1.0], dtype=tt.float64)
    SignDescent([{"params": [p]}, {"params": [q], "lr": 0.5}], 0.25).step()
    assert p.tolist() == [0.5, -0.5] and q.tolist() == [1.5]


def test_base_class_does_not_step():
    with pytest.raises(NotImplementedError, match="Optimizer does not define _update"):
        optim.Optimizer([parameter(start((2,)))], {}).step()


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_an_l2_penalty_in_the_loss_is_sgds_weight_decay(options):
    """wd / 2 times the sum of squares has the gradient wd p, which weight_decay adds."""
    x, y, start = (
        tt.from_numpy(np.random.default_rng(i).normal(size=s)) for i, s in enumerate([(8, 3), (8, 2), (2, 3)])
    )
    found = []
    for penalty, decay in ((0.3, 0), (0, 0.3)):
        w = start.clone().requires_grad_()
        optimizer = optim.SGD([w], lr=0.1, weight_decay=decay, **options)
        for _ in range(5):
            optimizer.zero_grad()
            (((x @ w.T - y) ** 2).mean() + penalty / 2 * (w**2).sum()).backward()
            optimizer.step()
        found.append(w.detach().numpy())
    np.testing.assert_allclose(*found, rtol=1e-12)


def test_an_l1_penalty_in_the_loss_makes_weights_small_and_few():
    rng = np.random.default_rng(0)
    x = tt.from_numpy(rng.normal(size=(200, 10)))
    y = x[:, 0] * 3 - x[:, 1] * 2  # of ten features two matter
    w = tt.zeros(10, dtype=tt.float64, requires_grad=True)
    lam, optimizer = 0.5, optim.SGD([w], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (((x @ w - y) ** 2).mean() + lam * sum(p.abs().sum() for p in [w])).backward()
        optimizer.step()
    before = w.detach().clone()
    w.grad = None
    (lam * w.abs().sum()).backward()
    assert (w.grad == lam * before.sign()).all().item()
    size = w.detach().abs()
    assert (size[:2] > 1.4).all().item() and (size[2:] < 0.05).all().item()
    assert 2.6 < size[0].item() < 2.9  # drawn to 0 by lam / 2 over a variance of about 1


def test_a_class_beside_hears_of_subclasses():
    heard = []

    class Beside:
        def __init_subclass__(cls):
            super().__init_subclass__()
            heard.append(cls.__name__)

    class Mine(optim.SGD, Beside):
        pass

    assert heard == [Mine.__name__]
