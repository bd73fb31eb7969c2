"""The estimators: scikit-learn's parameters, attributes, random numbers and stopping."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

try:
    from scipy.sparse import issparse
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import accuracy_score, r2_score
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state, column_or_1d
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as e:
    raise ImportError(
        f"tinytensor.sklearn needs scikit-learn 1.6 or later ({e}): pip install 'tinytensor[sklearn]'"
    ) from e

from tinytensor import _kernels
from tinytensor.ops.activation import softmax
from tinytensor.ops.pointwise import add, exp, log, mul, sigmoid, square
from tinytensor.ops.reduction import sum as total_of
from tinytensor.random import Generator
from tinytensor.sklearn.training import ACTIVATIONS, Rows, Trainer, data_loss, forward, poisson_constants
from tinytensor.tape import enable_grad, no_grad
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MLPClassifier", "MLPRegressor"]

Self = TypeVar("Self", bound="_Perceptron")
Method = TypeVar("Method", bound=Callable[..., Any])

_SOLVERS = ("adam", "sgd", "lbfgs", "adamw", "nadam", "radam")
_RATES = ("constant", "invscaling", "adaptive")
_INPUTS = [np.float64, np.float32, np.uint8]  # dtypes of X that stay as they are; a batch is cast when it is gathered
_CHUNK = 2048  # rows of a prediction at a time: a row's bits depend on no other row


def _stochastic_only(method: Method) -> Method:
    """The method is not there with lbfgs: hasattr says False, as scikit-learn's rules have it."""

    def available(own: _Perceptron) -> bool:
        if own.solver == "lbfgs":
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    conditional: Method = available_if(available)(method)
    return conditional


def _number(low: float, high: float = math.inf, *, above: bool = False, below: bool = False) -> tuple[Any, str]:
    """A check of real numbers from low (`above`: greater) to high (`below`: smaller), and its words."""
    words = f"a number {'>' if above else '>='} {low:g}"
    if high < math.inf:
        words += f" and {'<' if below else '<='} {high:g}"

    def holds(v: Any) -> bool:
        number: Any = math.nan if isinstance(v, (bool, np.bool_)) or not isinstance(v, Real) else v
        less = number < high if below or high == math.inf else number <= high
        return bool((number > low if above else number >= low) and less)

    return holds, words


def _whole(v: Any) -> bool:
    return isinstance(v, Integral) and not isinstance(v, bool) and int(v) >= 1


def _one_of(*names: Any) -> tuple[Any, str]:
    return lambda v: any(
        v is n or (isinstance(v, str) and v == n) for n in names
    ), f"one of {', '.join(map(repr, names))}"


_FLAG = (lambda v: isinstance(v, (bool, np.bool_)), "True or False")
_COUNT = (_whole, "a whole number >= 1")
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "activation": _one_of(*ACTIVATIONS),
    "solver": _one_of(*_SOLVERS),
    "alpha": _number(0),
    "batch_size": (lambda v: v == "auto" if isinstance(v, str) else _whole(v), "'auto' or a whole number >= 1"),
    "learning_rate": _one_of(*_RATES),
    "learning_rate_init": _number(0, above=True),
    "power_t": _number(0),
    "max_iter": _COUNT,
    "shuffle": _FLAG,
    "tol": _number(0),
    "warm_start": _FLAG,
    "momentum": _number(0, 1),
    "nesterovs_momentum": _FLAG,
    "early_stopping": _FLAG,
    "validation_fraction": _number(0, 1, below=True),
    "beta_1": _number(0, 1, below=True),
    "beta_2": _number(0, 1, below=True),
    "epsilon": _number(0, above=True),
    "n_iter_no_change": (lambda v: _whole(v) or v == math.inf, "a whole number >= 1, or infinity"),
    "max_fun": _COUNT,
    "verbose": (
        lambda v: isinstance(v, (bool, np.bool_)) or (isinstance(v, Integral) and int(v) >= 0),
        "a bool or int >= 0",
    ),
    "dropout": _number(0, 1, below=True),
    "dtype": (
        lambda v: v is None or v in ("float32", "float64", np.float32, np.float64),
        "None, 'float32' or 'float64'",
    ),
}


class _Perceptron(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators share: parameters, training, files."""

    _rules: ClassVar[dict[str, tuple[Callable[[Any], bool], str]]] = _RULES
    hidden_layer_sizes: int | Sequence[int]
    activation: str
    solver: str
    alpha: float
    batch_size: int | str
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: bool
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int
    dropout: float
    dtype: Any

    coefs_: list[NDArray[Any]]
    intercepts_: list[NDArray[Any]]
    n_iter_: int
    t_: int
    n_layers_: int
    n_outputs_: int
    out_activation_: str
    loss_: float
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    _generator: Generator | None
    _trainer: Trainer

    # What an estimator adds: targets as the loss takes them, and how good predictions are.

    def _encode(self, y: Any, reset: bool, incremental: bool, classes: Any) -> tuple[NDArray[Any], str, int]:
        """Targets, the output's activation, and the number of outputs."""
        raise NotImplementedError

    def _score_of(self, raw: NDArray[Any], y: Any, weight: Any) -> float:
        """The score of the last layer's sums, NaN where they are not finite."""
        raise NotImplementedError

    def fit(self: Self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train on X (n_samples, n_features), dense or sparse, and y (n_samples,) or (n_samples, n_outputs).

        sample_weight: (n_samples,), not negative; a weight of k counts as k copies of the sample do in a batch that holds them
        all. Returns self. ValueError for parameters out of range, data that does not fit, or a loss that is not finite;
        ConvergenceWarning when max_iter ends it.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _check(self) -> list[int]:
        """Parameters in their ranges, or ValueError; the sizes of the hidden layers."""
        for name, (holds, words) in self._rules.items():
            value = getattr(self, name)
            if not holds(value):
                raise ValueError(f"{type(self).__name__}: {name} must be {words}, got {value!r}")
        sizes = self.hidden_layer_sizes
        hidden = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if not all(_whole(size) for size in hidden):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        if self.dropout and self.solver == "lbfgs":
            raise ValueError(
                "dropout makes the loss random, and lbfgs needs it exact: use another solver, or dropout=0"
            )
        return [int(size) for size in hidden]

    def _fit(self: Self, X: Any, y: Any, sample_weight: Any, incremental: bool, classes: Any = None) -> Self:
        hidden = self._check()
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        reset = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, y = validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, dtype=_INPUTS, reset=reset, y_numeric=self._numeric
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        targets, self.out_activation_, outputs = self._encode(y, reset, incremental, classes)
        dtype = np.dtype(self.dtype or (np.float32 if X.dtype == np.float32 else np.float64))
        if not reset:
            dtype = np.asarray(self.coefs_[0]).dtype
        if self.out_activation_ != "softmax":
            targets = targets.astype(dtype, copy=False)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, X, dtype=dtype)
            if (weight < 0).any() or not (weight > 0).any():
                raise ValueError("sample_weight must not be negative, nor zero for all samples")

        if not incremental or not hasattr(self, "_random_state"):
            self._random_state = check_random_state(self.random_state)
            self._generator = None
        units = [X.shape[1], *hidden, outputs]
        if reset:
            self._initialize(units, dtype)
        shapes = [tuple(np.shape(c)) for c in self.coefs_]
        if shapes != list(pairwise(units)):
            raise ValueError(
                f"{type(self).__name__}: the weights of the previous call to fit have the shapes {shapes}, layers of "
                f"{units} need {list(pairwise(units))}; set warm_start=False to begin anew"
            )
        if self.dropout and self._generator is None:  # drawn only where it is needed: else the stream is scikit-learn's
            self._generator = Generator(int(self._random_state.randint(2**31 - 1)))
        self._prepare(incremental)
        rows = Rows(X, dtype, often=self.solver != "lbfgs")
        with _kernels.Flushing(), enable_grad():
            if self.solver == "lbfgs":
                self._fit_lbfgs(rows, targets, weight)
            else:
                self._fit_stochastic(rows, y, targets, weight, incremental)
        if not all(np.isfinite(w).all() for w in [*self.coefs_, *self.intercepts_]):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                "preprocessed."
            )
        return self

    def _initialize(self, units: list[int], dtype: np.dtype[Any]) -> None:
        """Weights and biases uniform within Glorot and Bengio's bound (2010), the very numbers that scikit-learn draws."""
        self.n_iter_ = self.t_ = 0
        self.n_outputs_, self.n_layers_ = units[-1], len(units)
        self.coefs_, self.intercepts_ = [], []
        factor = 2.0 if self.activation == "logistic" else 6.0
        for fan_in, fan_out in pairwise(units):
            bound = math.sqrt(factor / (fan_in + fan_out))
            self.coefs_.append(self._random_state.uniform(-bound, bound, (fan_in, fan_out)).astype(dtype))
            self.intercepts_.append(self._random_state.uniform(-bound, bound, fan_out).astype(dtype))
        for name in ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
            self.__dict__.pop(name, None)  # of a fit before

    def _begin_curves(self) -> None:
        """New records of the progress, unless those of a fit before go on."""
        if hasattr(self, "loss_curve_") and (self.validation_scores_ is not None) == self.early_stopping:
            return
        self._no_improvement_count = 0
        self.loss_curve_ = []
        self.best_loss_ = None if self.early_stopping else math.inf
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -math.inf if self.early_stopping else None

    def _prepare(self, incremental: bool) -> None:
        """A trainer for coefs_ and intercepts_; partial_fit goes on with the optimizer as it was left, fit with a new one."""
        before = getattr(self, "_trainer", None)
        saved = self.__dict__.pop("_optimizer_state", None)
        if before is not None and incremental and before.solver == self.solver:
            mine = [*before.coefs, *before.intercepts]
            if all(a is b for a, b in zip(mine, [*self.coefs_, *self.intercepts_], strict=True)):
                return
            saved = before.state()
        self._trainer = Trainer(self, self.coefs_, self.intercepts_)
        if saved is not None and incremental and saved["solver"] == self.solver:
            self._trainer.load(saved)
        self.coefs_, self.intercepts_ = list(self._trainer.coefs), list(self._trainer.intercepts)

    def _value(self, loss: float, target: Any, weight: Any, total: float) -> float:
        """A batch's loss as scikit-learn reports it: a square's mean over the outputs, the whole of Poisson's deviance."""
        if self.out_activation_ == "identity":
            return loss / self.n_outputs_
        if self.out_activation_ != "exp":
            return loss
        constants = poisson_constants(target).tolist()
        weights = [1.0] * len(constants) if weight is None else weight.tolist()
        return loss + math.fsum(w * c for w, c in zip(weights, constants)) / total

    def _fit_lbfgs(self, rows: Rows, targets: NDArray[Any], weight: Any) -> None:
        trainer = self._trainer
        count = len(targets)
        x = Tensor._new(_kernels.owned(np.ascontiguousarray(rows.between(0, count))))
        total = float(count) if weight is None else float(_kernels.reduce(_kernels.SUM, weight))
        optimizer = trainer.optimizer

        def closure() -> Tensor:
            optimizer.zero_grad()
            z = forward(x, trainer.weights, trainer.biases, self.activation)
            loss = data_loss(self.out_activation_, z, targets, weight, total)
            for w in trainer.weights if self.alpha else ():
                loss = add(loss, mul(total_of(square(w)), 0.5 * self.alpha / total))
            loss.backward()
            return loss.detach()

        optimizer.step(closure)
        self.n_iter_ = int(optimizer.state[trainer.weights[0]]["n_iter"])
        with no_grad():
            z = forward(x, trainer.weights, trainer.biases, self.activation)
            loss = float(data_loss(self.out_activation_, z, targets, weight, total).item())
        self.loss_ = self._value(loss, targets, weight, total) + trainer.penalty(self, total)
        if self.n_iter_ >= self.max_iter:
            warnings.warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s): max_iter reached; increase it, or scale the data",
                ConvergenceWarning,
                stacklevel=4,
            )
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")

    def _fit_stochastic(self, rows: Rows, y: Any, targets: NDArray[Any], weight: Any, incremental: bool) -> None:
        self._begin_curves()
        train = np.arange(len(targets))
        held = None
        if self.early_stopping:
            binary = self.out_activation_ == "logistic" and targets.shape[1] == 1
            train, held = train_test_split(
                train,
                random_state=self._random_state,
                test_size=self.validation_fraction,
                stratify=targets[:, 0] if binary else None,  # as scikit-learn does, which stratifies no more than that
            )
            if len(held) < 2:
                raise ValueError(
                    "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
                )
        count = len(train)
        size = min(200, count)
        if not isinstance(self.batch_size, str):
            if self.batch_size > count:
                warnings.warn(
                    f"Got `batch_size` of {self.batch_size}, larger than the {count} samples. It is going to be clipped",
                    stacklevel=4,
                )
            size = min(int(self.batch_size), count)
        best: list[list[NDArray[Any]]] | None = None
        before = self.__dict__.pop("_order", None)  # partial_fit goes on shuffling what it shuffled, as fit does
        order = before if incremental and before is not None and len(before) == count else np.arange(count)
        self.n_iter_ = 0
        try:
            for _ in range(1 if incremental else self.max_iter):
                if self.shuffle:
                    turned = np.arange(count)
                    self._random_state.shuffle(turned)
                    order = order[turned]
                self.loss_ = self._epoch(rows, targets, weight, train[order], size)
                self.n_iter_ += 1
                self.t_ += count
                self.loss_curve_.append(self.loss_)
                if self.verbose:
                    print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
                if self._note_progress(rows, y, weight, held):
                    best = [[a.copy() for a in arrays] for arrays in (self.coefs_, self.intercepts_)]
                if self.solver == "sgd" and self.learning_rate == "invscaling":
                    self._trainer.set_rate(self.learning_rate_init / (self.t_ + 1) ** self.power_t)
                if self._no_improvement_count > self.n_iter_no_change:
                    if self._stops():
                        break
                    self._no_improvement_count = 0
                if self.n_iter_ == self.max_iter and not incremental:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                        "converged yet.",
                        ConvergenceWarning,
                        stacklevel=4,
                    )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        if incremental and self.shuffle:
            self._order = order
        if best is not None:
            self.coefs_, self.intercepts_ = best

    def _epoch(self, rows: Rows, targets: NDArray[Any], weight: Any, order: NDArray[np.int64], size: int) -> float:
        """Learn every sample once; returns the mean loss, penalty included."""
        trainer = self._trainer
        terms = []
        for start in range(0, len(order), size):
            index = order[start : start + size]
            w = None if weight is None else weight.take(index)
            if w is not None and not w.any():
                continue  # nothing in it counts
            total = float(len(index)) if w is None else float(_kernels.reduce(_kernels.SUM, w))
            target = targets.take(index, 0)
            penalty = trainer.penalty(self, total)
            loss = trainer.step(self, rows.take(index), target, w, total)
            terms.append((self._value(loss, target, w, total) + penalty) * len(index))
        return math.fsum(terms) / len(order)

    def _note_progress(self, rows: Rows, y: Any, weight: Any, held: NDArray[np.int64] | None) -> bool:
        """Count the epochs without progress; whether these weights are the best on the samples held back."""
        if held is None:
            assert self.best_loss_ is not None
            self._no_improvement_count = (
                self._no_improvement_count + 1 if self.loss_ > self.best_loss_ - self.tol else 0
            )
            self.best_loss_ = min(self.best_loss_, self.loss_)
            return False
        assert self.validation_scores_ is not None and self.best_validation_score_ is not None
        with no_grad():
            raw = np.concatenate([self._sums(rows.at(held[i : i + _CHUNK])) for i in range(0, len(held), _CHUNK)])
        score = self._score_of(raw, y[held], None if weight is None else weight[held])
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        self._no_improvement_count = (
            self._no_improvement_count + 1 if score < self.best_validation_score_ + self.tol else 0
        )
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            return True
        return False

    def _stops(self) -> bool:
        """Whether no more progress ends the training; with an adaptive learning rate a lower one comes first."""
        what = "Validation score" if self.early_stopping else "Training loss"
        text = f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        rate = self._trainer.optimizer.param_groups[0]["lr"]
        stops = self.solver != "sgd" or self.learning_rate != "adaptive" or rate <= 1e-6
        if not stops:
            self._trainer.set_rate(rate / 5)
            text += f" Setting learning rate to {rate / 5:f}"
        elif self.solver == "sgd" and self.learning_rate == "adaptive":
            text += " Learning rate too small. Stopping."
        else:
            text += " Stopping."
        if self.verbose:
            print(text)
        return stops

    def _sums(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(forward(x, [np.asarray(c).T for c in self.coefs_], self.intercepts_, self.activation))

    def _raw(self, X: Any) -> NDArray[Any]:
        """The last layer's sums (n_samples, n_outputs) of what a user gave."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=_INPUTS, reset=False)
        rows = Rows(X, np.asarray(self.coefs_[0]).dtype)
        count = X.shape[0]
        parts = [self._sums(rows.between(i, min(i + _CHUNK, count))) for i in range(0, count, _CHUNK)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    _numeric = False

    def __getstate__(self) -> dict[str, Any]:
        """The optimizer as arrays: Tensors, and the memory they share with coefs_, belong to this process."""
        state: dict[str, Any] = dict(super().__getstate__())
        trainer = state.pop("_trainer", None)
        if trainer is not None and trainer.solver != "lbfgs":
            state["_optimizer_state"] = trainer.state()
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class MLPClassifier(ClassifierMixin, _Perceptron):  # type: ignore[misc]  # scikit-learn has no types
    """A multi-layer perceptron that classifies, with the parameters of sklearn.neural_network.MLPClassifier and their meaning.

    Given the same random_state it starts from the same weights and takes the same batches as scikit-learn's, so that with adam or
    sgd the two agree but for rounding; and its bits are the same on any number of threads.

    What it has besides: the activations gelu, silu, elu, selu, leaky_relu and softplus; the solvers adamw (alpha is its decoupled
    decay: weights shrink by learning_rate_init * alpha a step), nadam and radam; `dropout`, the probability with which a hidden
    unit is dropped in training; `dtype`, in which it computes: None for float32 where X is float32 and float64 otherwise, as
    scikit-learn does, or "float32" or "float64". float32 takes half the memory and about half the time, and is enough for most
    data. X of uint8 is kept as it is. Where fewer than 30 % of X are not zero (sparse X, pixels), the first layer skips the zeros,
    but for lbfgs, with the same bits as without; other sparse X is made dense batch by batch, and whole by lbfgs.

    What differs: `partial_fit` goes on in the stream of random_state, so that k calls on the same data are a fit of k iterations
    bit for bit, where scikit-learn begins the stream of an int anew in each; lbfgs is our own (strong Wolfe conditions) and makes other steps;
    a loss that is not finite ends the training at once. One class alone gives probabilities (n, 1).

    Threads: as many as the kernels use (OMP_NUM_THREADS, which joblib sets in its workers, tt.set_num_threads).

    Attributes: classes_, coefs_ [(n_in, n_out)], intercepts_ [(n_out,)], loss_, best_loss_, loss_curve_, validation_scores_,
    best_validation_score_, n_iter_, t_, n_features_in_, feature_names_in_, n_layers_, n_outputs_, out_activation_.
    """

    classes_: NDArray[Any]

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        dtype: Any = None,
    ) -> None:
        parameters = locals()
        for name in self._get_param_names():
            setattr(self, name, parameters[name])

    def _encode(self, y: Any, reset: bool, incremental: bool, classes: Any) -> tuple[NDArray[Any], str, int]:
        check_classification_targets(y)
        y = y.toarray() if issparse(y) else y
        kind = type_of_target(y, input_name="y")
        if kind == "multiclass-multioutput":
            raise ValueError(
                "MLPClassifier: y of several outputs must be a matrix of zeros and ones, one column a label; "
                "for several classes per output use sklearn.multioutput.MultiOutputClassifier"
            )
        found = unique_labels(y)
        if reset:
            self._multilabel = kind == "multilabel-indicator"
            self.classes_ = found if self._multilabel or classes is None else unique_labels(classes)
        if (kind == "multilabel-indicator") != self._multilabel:
            raise ValueError(f"MLPClassifier: y is {kind}, which is not what the previous call to fit got")
        if self.warm_start and not incremental and set(found) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously got "
                f"{self.classes_}, `y` has {found}"
            )
        if len(np.setdiff1d(found, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {found}."
            )
        if self._multilabel:
            return y, "logistic", y.shape[1]
        numbers = np.searchsorted(self.classes_, y).astype(np.int64)
        if len(self.classes_) <= 2:
            return numbers[:, None], "logistic", 1
        return numbers, "softmax", len(self.classes_)

    def _labels(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Labels of the last layer's sums: the largest, or of each column whether it is more likely than not."""
        if self._multilabel:
            return (raw > 0).astype(np.int64)
        if self.n_outputs_ > 1:
            return np.asarray(self.classes_[raw.argmax(axis=1)])
        return np.asarray(
            self.classes_[(raw[:, 0] > 0).astype(np.int64) if len(self.classes_) > 1 else np.zeros(len(raw), int)]
        )

    def _score_of(self, raw: NDArray[Any], y: Any, weight: Any) -> float:
        y = y.toarray() if issparse(y) else y
        return float(accuracy_score(y, self._labels(raw), sample_weight=weight)) if np.isfinite(raw).all() else math.nan

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Class labels (n_samples,), or zeros and ones (n_samples, n_labels) where y was that in fit."""
        return self._labels(self._raw(X))

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Probabilities (n_samples, n_classes) in the order of classes_; of several labels, that of each."""
        raw = self._raw(X)
        if self.out_activation_ == "softmax":
            return np.asarray(softmax(raw, 1))
        p = np.asarray(sigmoid(raw))
        if self._multilabel:
            return p
        return np.ones_like(p) if len(self.classes_) == 1 else np.hstack([sigmoid(-raw), p])

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Logarithms of predict_proba's, -inf where a probability is too small for its dtype."""
        return np.asarray(log(self.predict_proba(X)))

    @_stochastic_only
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> MLPClassifier:
        """One iteration over X, y. classes: all labels there will be, needed in the first call alone (of several labels a
        sample: ignored). Returns self; raises as fit does, and for labels not in classes. Not with lbfgs or early_stopping.
        """
        if not hasattr(self, "coefs_"):
            if classes is None:
                raise ValueError("classes must be passed on the first call to partial_fit.")
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
            )
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, _Perceptron):  # type: ignore[misc]  # scikit-learn has no types
    """A multi-layer perceptron that predicts numbers, with the parameters of sklearn.neural_network.MLPRegressor.

    loss: "squared_error" (half the square) or "poisson" (half the deviance, for y >= 0; the prediction is exp of the last layer).
    Everything else is as in `MLPClassifier`: same start and batches as scikit-learn's, `dropout` and `dtype` besides. y is
    (n_samples,) or (n_samples, n_outputs); scale it where its spread is far from 1.
    """

    _rules: ClassVar[dict[str, tuple[Callable[[Any], bool], str]]] = {
        "loss": _one_of("squared_error", "poisson"),
        **_RULES,
    }
    _numeric = True
    loss: str

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        dtype: Any = None,
    ) -> None:
        parameters = locals()
        for name in self._get_param_names():
            setattr(self, name, parameters[name])

    def _encode(self, y: Any, reset: bool, incremental: bool, classes: Any) -> tuple[NDArray[Any], str, int]:
        columns = y.reshape(len(y), -1)
        if self.loss == "squared_error":
            return columns, "identity", columns.shape[1]
        if (columns < 0).any():
            raise ValueError("MLPRegressor: some values of y are negative, which loss='poisson' cannot predict")
        return columns, "exp", columns.shape[1]

    def _values(self, raw: NDArray[Any]) -> NDArray[Any]:
        values = np.asarray(exp(raw)) if self.out_activation_ == "exp" else raw
        return values.ravel() if self.n_outputs_ == 1 else values

    def _score_of(self, raw: NDArray[Any], y: Any, weight: Any) -> float:
        values = self._values(raw)
        return float(r2_score(y, values, sample_weight=weight)) if np.isfinite(values).all() else math.nan

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predicted values (n_samples,) or (n_samples, n_outputs)."""
        return self._values(self._raw(X))

    @_stochastic_only
    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> MLPRegressor:
        """One iteration over X, y. Returns self; raises as fit does. Not with lbfgs or early_stopping."""
        return self._fit(X, y, sample_weight, incremental=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
