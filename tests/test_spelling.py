"""Calls as PyTorch's and NumPy's users write them mean what the plain calls mean, or fail as the plain ones do."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt

F = tt.nn.functional
X = tt.arange(12).float().reshape(3, 4)
T = tt.tensor([0, 3, 1])

CALLS: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
    (lambda: tt.sum(input=X, dim=0, keepdim=True), lambda: tt.sum(X, 0, True)),
    (lambda: X.sum(axis=1, keepdims=True), lambda: X.sum(1, True)),
    (lambda: X.mean(axis=(0, 1)), lambda: X.mean()),
    (lambda: tt.argmax(X, axis=1), lambda: tt.argmax(X, 1)),
    (lambda: tt.exp(input=X), lambda: tt.exp(X)),
    (lambda: tt.mul(input=X, other=2), lambda: X * 2),
    (lambda: X.add(other=X, alpha=3), lambda: X + 3 * X),
    (lambda: tt.pow(input=X, exponent=2), lambda: X**2),
    (lambda: tt.atan2(input=X, other=X + 1), lambda: tt.atan2(X, X + 1)),
    (lambda: tt.mm(X, mat2=X.T), lambda: X @ X.T),
    (lambda: tt.where(X > 3, input=X, other=0.0), lambda: tt.where(X > 3, X, 0.0)),
    (lambda: tt.max(X, other=5 - X), lambda: tt.maximum(X, 5 - X)),
    (lambda: tt.reshape(input=X, shape=(4, 3)), lambda: X.reshape(4, 3)),
    (lambda: X.view(size=(4, 3)), lambda: X.view(4, 3)),
    (lambda: X.repeat(repeats=(2, 1)), lambda: X.repeat(2, 1)),
    (lambda: X.permute(dims=(1, 0)), lambda: X.T),
    (lambda: tt.flip(X, dims=(0,)), lambda: tt.flip(X, (0,))),
    (lambda: tt.cat([X, X], axis=1), lambda: tt.cat([X, X], 1)),
    (lambda: tt.tensordot(a=X, b=X.T, dims=1), lambda: X @ X.T),
    (lambda: F.cross_entropy(input=X, target=T, label_smoothing=0.1), lambda: F.cross_entropy(X, T, label_smoothing=0.1)),
    (lambda: F.linear(input=X, weight=X), lambda: X @ X.T),
    (lambda: F.softmax(input=X, dim=0), lambda: F.softmax(X, 0)),
    (lambda: F.relu(X - 5, inplace=False), lambda: F.relu(X - 5)),
    (lambda: F.relu(X - 5, True), lambda: F.relu(X - 5)),
    (lambda: F.leaky_relu(input=X - 5, negative_slope=0.1, inplace=True), lambda: F.leaky_relu(X - 5, 0.1)),
    (lambda: F.leaky_relu(X - 5, 0.1, True), lambda: F.leaky_relu(X - 5, 0.1)),
    (lambda: F.elu(X - 5, 1.0, False), lambda: F.elu(X - 5)),
    (lambda: F.hardtanh(X - 5, -1.0, 1.0, True), lambda: F.hardtanh(X - 5)),
    (lambda: F.rrelu(X - 5, 0.1, 0.3, False, True), lambda: F.rrelu(X - 5, 0.1, 0.3)),
    (lambda: F.threshold(X, 3.0, 7.0, True), lambda: F.threshold(X, 3.0, 7.0)),
    (lambda: X.clone().add_(other=2), lambda: X + 2),
    (lambda: X.clone().sub_(other=X, alpha=2), lambda: X - 2 * X),
    (lambda: tt.zeros(size=(2, 3)), lambda: tt.zeros(2, 3)),
    (lambda: tt.zeros_like(input=X), lambda: tt.zeros(3, 4)),
    (lambda: tt.full_like(input=X, fill_value=2), lambda: tt.full((3, 4), 2.0)),
    (lambda: tt.rand(size=(2, 3), generator=tt.Generator(1)), lambda: tt.rand(2, 3, generator=tt.Generator(1))),
    (lambda: tt.randint(high=5, size=(3,), generator=tt.Generator(1)), lambda: tt.randint(0, 5, (3,), generator=tt.Generator(1))),
    (lambda: tt.linalg.norm(X, axis=1), lambda: tt.linalg.norm(X, dim=1)),
]  # fmt: skip


@pytest.mark.parametrize(("call", "plain"), CALLS, ids=range(len(CALLS)))
def test_it_means_the_same(call: Callable[[], Any], plain: Callable[[], Any]) -> None:
    got, want = call(), plain()
    assert got.dtype == want.dtype and np.array_equal(got.numpy(), want.numpy())


def test_arrays_and_gradients_too() -> None:
    assert np.array_equal(tt.sum(input=X.numpy(), axis=0), X.numpy().sum(0))
    x = X.clone().requires_grad_()
    tt.mul(input=x, other=x).sum(axis=0).sum().backward()
    assert np.array_equal(x.grad.numpy(), 2 * X.numpy())


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: tt.exp(X, input=X), r"exp\(\) got an unexpected keyword argument 'input'|multiple values"),
    (lambda: tt.sum(X, dim=0, axis=0), r"sum\(\) got an unexpected keyword argument 'axis'"),
    (lambda: tt.exp(X, inplace=True), r"exp\(\) got an unexpected keyword argument 'inplace'"),
    (lambda: F.relu(X, slope=1), r"relu\(\) got an unexpected keyword argument 'slope'"),
    (lambda: F.leaky_relu(X, 0.1, 3), r"leaky_relu\(\) takes from 1 to 2 positional arguments but 3 were given"),
    (lambda: F.normalize(X, 2.0, 1, 1e-12, True, 6), r"normalize\(\) takes from 1 to 4 positional"),
    (lambda: tt.zeros(2, shape=(3,)), r"zeros\(\) got an unexpected keyword argument 'shape'"),
    (lambda: F.relu(X, 3), r"relu\(\) takes 1 positional argument but 2 were given"),
    (lambda: tt.add(X), r"add\(\) missing 1 required positional argument"),
    (lambda: F.normalize([1.0, 2.0]), r"normalize: expected input as a Tensor or an ndarray, got list; use tt.tensor"),
    (lambda: F.mse_loss([1.0], X), r"mse_loss: expected input as a tensor, got list"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_stays_wrong(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("f", [F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout])
def test_dropout_takes_inplace_by_position(f: Any) -> None:
    x = tt.ones(2, 3, 4, 4) if f is F.dropout2d else tt.ones(2, 3, 4)
    tt.manual_seed(1)
    want = f(x, 0.5, True)
    tt.manual_seed(1)
    assert f(x, 0.5, True, True) is x and x.tolist() == want.tolist()


def test_what_is_no_tensor_is_not_changed_in_place() -> None:
    with pytest.raises(TypeError, match="relu_: expected a Tensor to change in place, got ndarray"):
        F.relu(X.numpy(), inplace=True)


def test_an_error_from_within_keeps_its_kind() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        tt.spelling.public(_asks_for_nothing)(X)


def _asks_for_nothing(x: Any) -> Any:
    return x.nothing


@pytest.mark.parametrize("f", [tt.exp, tt.sum, tt.cat, tt.inverse, F.unfold, tt.linalg.svd, F.cross_entropy])
def test_functions_are_copied_and_pickled_as_functions_are(f: Any) -> None:
    assert copy.deepcopy(f) is f and copy.copy(f) is f and pickle.loads(pickle.dumps(f)) is f
