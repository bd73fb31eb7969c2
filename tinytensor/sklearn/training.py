"""What trains the estimators' networks, without scikit-learn: layers, losses, rows of X, and steps of an optimizer.

`own` is the estimator: its parameters are read at each step, as a user may set them between two calls of partial_fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import issparse

from tinytensor import _kernels
from tinytensor.creation import from_numpy
from tinytensor.ops import activation as activations
from tinytensor.ops.activation import dropout as drop
from tinytensor.ops.likelihood import binary_cross_entropy_with_logits
from tinytensor.ops.loss import cross_entropy
from tinytensor.ops.pointwise import div, exp, log, mul, sigmoid, square, sub, tanh
from tinytensor.ops.product import ACTIVATIONS as FUSED
from tinytensor.ops.product import linear, linear_activation
from tinytensor.ops.reduction import sum as total_of
from tinytensor.optim import LBFGS, SGD, Adam, AdamW, NAdam, Optimizer, RAdam
from tinytensor.random import Generator
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACTIVATIONS: dict[str, tuple[Any, ...] | None] = {
    "identity": None,
    "logistic": (FUSED["sigmoid"],),
    **{name: (FUSED[name],) for name in ("tanh", "relu", "gelu", "silu", "selu")},
    "elu": (FUSED["elu"], 1.0),
    "leaky_relu": (FUSED["leaky_relu"], 0.01),
    "softplus": (FUSED["softplus"], 1.0, 20.0),
}
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "logistic": sigmoid,
    **{name: getattr(activations, name) for name in ("relu", "gelu", "silu", "selu", "elu", "leaky_relu", "softplus")},
    "tanh": tanh,
}
_ADAMS: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "adamw": AdamW, "nadam": NAdam, "radam": RAdam}
_FEW = 0.3  # of the entries of X not zero: worth skipping the others


def forward(
    x: Any,
    weights: Sequence[Any],
    biases: Sequence[Any],
    activation: str,
    dropout: float = 0.0,
    generator: Generator | None = None,
    first: Any = None,
) -> Any:
    """The last layer's sums (B, outputs) of x (B, inputs), weights (out, in); an array of arrays, a Tensor of Tensors. first: the
    first layer's sums, where they are known."""
    act = ACTIVATIONS[activation]
    for i, (w, b) in enumerate(zip(weights[:-1], biases[:-1])):
        if i == 0 and first is not None:
            x = _FUNCTIONS[activation](first)
        else:
            x = linear(x, w, b) if act is None else linear_activation(x, w, b, *act)
        if dropout:
            x = drop(x, dropout, generator=generator)
    return first if first is not None and len(weights) == 1 else linear(x, weights[-1], biases[-1])


def data_loss(out_activation: str, z: Any, target: Any, weight: Any, total: float) -> Tensor:
    """Loss of a batch: each sample's, summed over its outputs, times its weight; their sum over `total`, that of the weights.

    softmax: cross entropy, target (B,) of class numbers; logistic: binary cross entropy; identity: half the square; exp: half
    Poisson's deviance but for what depends on the target alone. Those take targets (B, outputs).
    """
    if out_activation == "softmax":
        if weight is None:
            return cross_entropy(z, target)
        losses: Any = cross_entropy(z, target, reduction="none")
    else:
        if out_activation == "logistic":
            losses = binary_cross_entropy_with_logits(z, target, reduction="none")
        elif out_activation == "identity":
            losses = mul(square(sub(z, target)), 0.5)
        else:
            losses = sub(exp(z), mul(target, z))
        weight = None if weight is None else weight[:, None]
    return div(total_of(losses if weight is None else mul(losses, weight)), total)


def poisson_constants(target: Any) -> NDArray[Any]:
    """t log t - t of each sample, summed over its outputs: what Poisson's deviance has besides."""
    positive = np.where(target > 0, target, 1.0).astype(target.dtype)
    return np.asarray(total_of(sub(mul(target, log(positive)), target), 1))


class Batch(NamedTuple):
    """Some rows of X: dense (B, D), or where their entries begin and end in compressed rows (columns, values)."""

    dense: Any
    begin: Any = None
    end: Any = None
    columns: Any = None
    values: Any = None


class Rows:
    """The rows of X, dense or CSR, as floats of one dtype.

    For training (`often`) they are compressed where few are not zero: the first layer then skips zeros, which costs as little as
    there are others, and changes no bit.
    """

    def __init__(self, X: Any, dtype: np.dtype[Any], often: bool = False) -> None:
        self.X: Any = X if issparse(X) else np.ascontiguousarray(X)
        self.dtype, self.width = dtype, X.shape[1]
        self.compressed: tuple[Any, Any, Any] | None = None
        if not often:
            return
        if issparse(X):
            if X.nnz < _FEW * math.prod(X.shape):
                X = X.sorted_indices()
                X.sum_duplicates()
                columns = X.indices.astype(np.int32, copy=False)
                if columns.size and not 0 <= columns.min() <= columns.max() < self.width:
                    raise ValueError(f"X: a sparse matrix of {self.width} columns has entries in others")
                self.compressed = X.indptr.astype(np.int64), columns, X.data.astype(dtype, copy=False)
        elif self.X.size and np.count_nonzero(part := self.X[:: -(-len(self.X) // 200)]) < _FEW * part.size:
            self.compressed = _kernels.to_sparse(self.X, dtype)

    def take(self, index: NDArray[np.int64]) -> Batch:
        """The rows at index, in order."""
        if self.compressed is not None:
            starts, columns, values = self.compressed
            return Batch(None, starts.take(index), starts.take(index + 1), columns, values)
        return Batch(self.at(index))

    def at(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at index, dense."""
        if issparse(self.X):
            return _kernels.owned(self.X[index].toarray().astype(self.dtype, copy=False))
        return _kernels.gather_rows(self.X, index, self.dtype)

    def between(self, start: int, end: int) -> NDArray[Any]:
        """The rows from start to end, dense, without a copy where they are what is asked for."""
        part = self.X[start:end]
        return np.asarray((part.toarray() if issparse(self.X) else part).astype(self.dtype, copy=False))


class Trainer:
    """Weights and biases as Tensors over the memory of `coefs` (in, out) and `intercepts`, and the optimizer that changes them."""

    def __init__(self, own: Any, coefs: Sequence[Any], intercepts: Sequence[Any]) -> None:
        self.coefs, self.intercepts = [_copied(c) for c in coefs], [_copied(b) for b in intercepts]
        # (out, in) over memory in the order of coefs: as Linear keeps its weight
        self.weights = [from_numpy(c.T).requires_grad_() for c in self.coefs]
        self.biases = [from_numpy(b).requires_grad_() for b in self.intercepts]
        self.optimizer = _make_optimizer(own, self.weights, self.biases)
        self.solver, self.steps = own.solver, 0

    def state(self) -> dict[str, Any]:
        """What `load` takes: of arrays and numbers, to be pickled."""
        whole = self.optimizer.state_dict()
        state = {
            i: {k: v.numpy().copy("K") if isinstance(v, Tensor) else v for k, v in entries.items()}
            for i, entries in whole["state"].items()
        }
        return {"solver": self.solver, "steps": self.steps, "optimizer": {**whole, "state": state}}

    def load(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]

    def set_rate(self, rate: float) -> None:
        """A new learning rate. SGD's buffers are rescaled so that the velocity, rate times buffer, goes on as it was."""
        for group in self.optimizer.param_groups:
            ratio = group["lr"] / rate
            group["lr"] = rate
            for p in group["params"]:
                buffer = self.optimizer.state.get(p, {}).get("momentum_buffer")
                if buffer is not None:
                    with no_grad():
                        buffer.mul_(ratio)

    def step(self, own: Any, batch: Batch, target: Any, weight: Any, total: float) -> float:
        """Learn one batch of weight `total`; returns its loss before that, without the penalty. ValueError if not finite."""
        x, first = None, None
        if batch.dense is not None:
            x = Tensor._new(batch.dense)
        else:
            first = Tensor._new(_kernels.sparse_product(*batch[1:], self.coefs[0], self.intercepts[0])).requires_grad_()
        z = forward(x, self.weights, self.biases, own.activation, own.dropout, own._generator, first)
        loss = data_loss(own.out_activation_, z, target, weight, total)
        value = float(loss.item())
        if not math.isfinite(value):
            raise ValueError(
                f"Solver produced a loss of {value} in iteration {own.n_iter_ + 1}: scale the input data (StandardScaler), or "
                f"lower learning_rate_init (it is {own.learning_rate_init})"
            )
        self.optimizer.zero_grad()  # here: an interrupted step may have left some
        loss.backward()
        if first is not None:
            g: Any = first.grad
            width = len(self.coefs[0])
            self.weights[0].grad = Tensor._new(_kernels.sparse_product(*batch[1:], g.numpy(), width=width).T)
            self.biases[0].grad = total_of(g, 0)
        self.steps += 1
        decayed, rest = self.optimizer.param_groups
        if own.solver != "adamw":
            decayed["weight_decay"] = own.alpha / total
        if own.solver == "adam":  # scikit-learn adds epsilon to the root before its bias is corrected
            decayed["eps"] = rest["eps"] = own.epsilon / math.sqrt(1 - own.beta_2**self.steps)
        self.optimizer.step()
        return value

    def penalty(self, own: Any, total: float) -> float:
        """alpha / 2 times the squares of all weights, over `total`; 0 where the weights shrink by themselves (adamw)."""
        if not own.alpha or own.solver == "adamw":
            return 0.0
        squares = [float(_kernels.reduce(_kernels.SUMSQ, c)) for c in self.coefs]
        return 0.5 * float(own.alpha) * math.fsum(squares) / total


def _copied(a: Any) -> NDArray[Any]:
    source = np.asarray(a)
    copy = _kernels.empty(source.shape, source.dtype)
    copy[...] = source
    return copy


def _make_optimizer(own: Any, weights: list[Tensor], biases: list[Tensor]) -> Optimizer:
    """That of the solver; of two groups, as only weights decay."""
    decay = own.alpha if own.solver == "adamw" else 0.0
    groups = [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]
    if own.solver == "sgd":
        nesterov = own.nesterovs_momentum and own.momentum > 0
        return SGD(groups, lr=own.learning_rate_init, momentum=own.momentum, nesterov=nesterov)
    if own.solver == "lbfgs":
        return LBFGS(
            [*weights, *biases],
            max_iter=own.max_iter,
            max_eval=own.max_fun,
            tolerance_grad=own.tol,
            history_size=10,
            line_search_fn="strong_wolfe",
        )
    betas = (own.beta_1, own.beta_2)
    return _ADAMS[own.solver](groups, lr=own.learning_rate_init, betas=betas, eps=own.epsilon)
