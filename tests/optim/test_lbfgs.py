"""L-BFGS on functions whose minimum is known, against the two-loop formula, its state and its errors."""

import copy

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import optim

WOLFE = {"line_search_fn": "strong_wolfe"}


def leaf(values, dtype=np.float64, order="C"):
    return tt.from_numpy(np.array(values, dtype, order=order)).requires_grad_()


def closure_of(optimizer, loss):
    calls = []

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        calls.append(value.item())
        return value

    return closure, calls


def rosenbrock(p):
    x, y = p[:-1], p[1:]
    return (100 * (y - x * x) ** 2 + (1 - x) ** 2).sum()


def test_rosenbrock_to_its_minimum():
    p = leaf([-1.2, 1.0, -0.5, 2.0])
    optimizer = optim.LBFGS([p], max_iter=200, tolerance_grad=1e-10, tolerance_change=0, **WOLFE)
    closure, calls = closure_of(optimizer, lambda: rosenbrock(p))
    first = optimizer.step(closure)
    assert first.item() == calls[0]
    np.testing.assert_allclose(p.detach().numpy(), np.ones(4), rtol=1e-9)
    assert optimizer.state[p]["func_evals"] == len(calls) < 150


def quadratic(matrix, start, steps, lr, history):
    """The two loops of Nocedal (1980), as published, with steps of lr (the first cut by the gradient's size)."""
    x, moves, points = np.array(start), [], []
    g = matrix @ x
    for k in range(steps):
        q, shares = g.copy(), []
        for s, y in reversed(moves):
            shares.append((s @ q) / (y @ s))
            q = q - shares[-1] * y
        if moves:
            s, y = moves[-1]
            q = q * ((s @ y) / (y @ y))
        for (s, y), share in zip(moves, reversed(shares), strict=True):
            q = q + (share - (y @ q) / (y @ s)) * s
        t = lr * min(1.0, 1.0 / np.abs(g).sum()) if k == 0 else lr
        x_new = x - t * q
        g_new = matrix @ x_new
        moves = [*moves, (x_new - x, g_new - g)][-history:]
        x, g = x_new, g_new
        points.append(x)
    return points


@pytest.mark.parametrize("history", [2, 3, 100])
@pytest.mark.parametrize("lr", [1, 0.3])
def test_steps_follow_the_two_loops(history, lr):
    rng = np.random.default_rng(0)
    half = rng.normal(size=(6, 6))
    matrix = half @ half.T + np.eye(6)
    p = leaf(rng.normal(size=6))
    wanted = quadratic(matrix, p.detach().numpy(), 8, lr, history)
    optimizer = optim.LBFGS([p], lr=lr, max_iter=1, history_size=history, tolerance_grad=0, tolerance_change=0)
    a = tt.from_numpy(matrix)
    closure, _ = closure_of(optimizer, lambda: (p * (a @ p)).sum() / 2)
    for point in wanted:
        optimizer.step(closure)
        np.testing.assert_allclose(p.detach().numpy(), point, rtol=1e-9, atol=1e-12)
    assert len(optimizer.state[p]["ro"]) == min(7, history)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_of_any_shape(dtype):
    params = [
        leaf(np.arange(6.0).reshape(2, 3), dtype, "F"), leaf(3.0, dtype), leaf(np.zeros((0, 2)), dtype),
        leaf([1.0, -1.0], dtype), leaf([5.0], dtype),
    ]  # fmt: skip
    optimizer = optim.LBFGS(params, tolerance_change=0, **WOLFE)

    def loss():
        return ((params[0] - 2) ** 2).sum() + (params[1] + 1) ** 2 + params[2].sum() + ((params[3] * 3 - 1) ** 2).sum()

    closure, _ = closure_of(optimizer, loss)
    for _ in range(3):
        optimizer.step(closure)
    tolerance = 1e-6 if dtype is np.float64 else 1e-4
    for p, wanted in zip(params, [2, -1, 0, 1 / 3, 5], strict=True):
        assert p.dtype == dtype
        np.testing.assert_allclose(p.detach().numpy(), np.full(p.shape, wanted), atol=tolerance)
    assert params[0]._data.flags.f_contiguous


def arrays_of(state):
    """The state with arrays for Tensors and for numbers, as a file may give it."""
    if isinstance(state, (dict, list)):
        return {k: arrays_of(v) for k, v in state.items()} if isinstance(state, dict) else [arrays_of(v) for v in state]
    return state.numpy() if isinstance(state, tt.Tensor) else np.asarray(state) if type(state) is float else state


@pytest.mark.parametrize("read", [copy.deepcopy, arrays_of])
@pytest.mark.parametrize("options", [{}, WOLFE])
def test_state_dict_continues_the_run(options, read):
    def run(carry):
        p, q = leaf([-1.2, 1.0]), leaf([0.5])
        params = [p, q]
        optimizer = optim.LBFGS(params, lr=0.1 if not options else 1, max_iter=4, **options)
        for step in range(6):
            if step == 3 and carry:
                saved = optimizer.state_dict()
                saved = {**saved, "state": read(saved["state"])}
                optimizer = optim.LBFGS(params)
                optimizer.load_state_dict(saved)
            closure, _ = closure_of(optimizer, lambda: rosenbrock(p) + (q * q).sum())
            optimizer.step(closure)
        return p.tolist() + q.tolist()

    assert run(True) == run(False)


def test_state_of_other_parameters_is_refused():
    p, q = leaf([1.0, 2.0]), leaf([1.0, 2.0, 3.0])
    optimizer = optim.LBFGS([p])
    optimizer.step(closure_of(optimizer, lambda: (p * p).sum())[0])
    with pytest.raises(ValueError, match=r"d of shape \(2,\) for parameters of 3 numbers in all"):
        optim.LBFGS([q]).load_state_dict(optimizer.state_dict())


def test_a_gradient_within_tolerance_ends_at_once():
    p = leaf([0.0, 0.0])
    optimizer = optim.LBFGS([p])
    closure, calls = closure_of(optimizer, lambda: (p * p).sum())
    assert optimizer.step(closure).item() == 0
    assert len(calls) == 1
    assert optimizer.state[p] == {"func_evals": 1, "n_iter": 0}


def test_max_eval_bounds_the_calls():
    p = leaf([-1.2, 1.0])
    optimizer = optim.LBFGS([p], max_iter=100, max_eval=7, **WOLFE)
    closure, calls = closure_of(optimizer, lambda: rosenbrock(p))
    optimizer.step(closure)
    assert 2 <= len(calls) <= 8  # as PyTorch's, one more where the search has no call left
    with pytest.raises(ValueError, match="Expected max_eval >= 1, but got 0"):
        optim.LBFGS([p], max_eval=0)


@pytest.mark.parametrize("fail_at", [1, 2, 5])
@pytest.mark.parametrize("options", [{}, WOLFE])
def test_a_closure_that_raises_leaves_all_as_it_was(fail_at, options):
    p = leaf([-1.2, 1.0])
    optimizer = optim.LBFGS([p], lr=0.001, **options)
    closure, calls = closure_of(optimizer, lambda: rosenbrock(p))

    def failing():
        if len(calls) + 1 == fail_at:
            raise ZeroDivisionError("in the closure")
        return closure()

    with pytest.raises(ZeroDivisionError, match="in the closure"):
        optimizer.step(failing)
    assert p.tolist() == [-1.2, 1.0]
    assert not optimizer.state


def test_a_loss_of_nan_ends_the_search():
    p = leaf([1.0, 2.0])
    optimizer = optim.LBFGS([p], lr=1e6, **WOLFE)
    closure, calls = closure_of(optimizer, lambda: (p - 5).log().sum() * 0 + (p * p).sum())
    optimizer.step(closure)
    assert len(calls) <= 26


def test_options_are_checked():
    p = leaf([1.0])
    for options, message in [
        ({"lr": -1}, "Invalid learning rate: -1"),
        ({"max_iter": 0}, "Expected max_iter >= 1, but got 0"),
        ({"history_size": 0}, "Expected history_size >= 1, but got 0"),
        ({"tolerance_grad": -1}, "Invalid tolerance_grad value: -1"),
        ({"line_search_fn": "armijo"}, "only 'strong_wolfe' is supported as line_search_fn, got 'armijo'"),
    ]:
        with pytest.raises(ValueError, match=message):
            optim.LBFGS([p], **options)
    with pytest.raises(ValueError, match="doesn't support per-parameter options"):
        optim.LBFGS([{"params": [p]}, {"params": [leaf([2.0])]}])
    with pytest.raises(TypeError, match="step needs a closure"):
        optim.LBFGS([p]).step()
    assert optim.LBFGS([p]).defaults == {
        "lr": 1, "max_iter": 20, "max_eval": 25, "tolerance_grad": 1e-7, "tolerance_change": 1e-9,
        "history_size": 100, "line_search_fn": None,
    }  # fmt: skip
