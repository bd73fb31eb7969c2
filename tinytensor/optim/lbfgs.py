"""L-BFGS: a quasi-Newton method for losses without noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinytensor.ops import pointwise, reduction
from tinytensor.ops.product import dot
from tinytensor.optim.optimizer import Optimizer, Params, check_ranges
from tinytensor.tape import enable_grad, no_grad
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["LBFGS"]

Vector: TypeAlias = "npt.NDArray[Any]"


class LBFGS(Optimizer):
    """Limited-memory BFGS over one group of parameters; `step` needs a closure and may call it many times.

    A step makes up to `max_iter` iterations, each along d = -H * gradient, where H comes from the last
    `history_size` pairs of moves and changes of the gradient (two loops of Nocedal 1980). Its length is lr (in
    the first iteration at most lr / sum |gradient|), or with line_search_fn="strong_wolfe" found by cubic
    interpolation until the strong Wolfe conditions hold (c1 = 1e-4, c2 = 0.9). It ends early after `max_eval`
    calls of the closure (1.25 * max_iter if None), at a gradient with no entry above `tolerance_grad`, or when
    loss or parameters change by no more than `tolerance_change`.

    Parameters without a gradient stay where they are. Raises ValueError for a negative lr, tolerance, or a
    count below 1, for another line search, and for more than one parameter group. State, kept with the first
    parameter: "func_evals", "n_iter", "d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad",
    "prev_loss". Source: Nocedal & Wright 2006, algorithms 7.4 and 3.5, in PyTorch's form.
    """

    _tells = True

    def __init__(
        self,
        params: Params,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        check_ranges(options)
        for key in ("tolerance_grad", "tolerance_change"):
            if not options[key] >= 0:
                raise ValueError(f"Invalid {key} value: {options[key]}")
        for key in ("max_iter", "max_eval", "history_size"):
            if options[key] < 1:
                raise ValueError(f"Expected {key} >= 1, but got {options[key]}")
        if options["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f"only 'strong_wolfe' is supported as line_search_fn, got {options['line_search_fn']!r}")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take the one group of parameters; ValueError when there is one already."""
        if self.param_groups:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make up to `max_iter` iterations; returns what the first call of the closure returned.

        `closure` clears the gradients, computes the loss, calls backward and returns the loss; TypeError
        without one. When the closure raises, parameters and state are what they were before.
        """
        if closure is None:
            raise TypeError(
                "LBFGS: step needs a closure that clears the gradients, calls backward and returns the loss"
            )
        params = self.param_groups[0]["params"]
        with no_grad():
            before, earlier = [p._data.copy(order="K") for p in params], self.state.get(params[0])
            try:
                loss = self._iterate(closure)
            except BaseException:
                if self.state.get(params[0]) is earlier:  # else Ctrl-C came when all was done
                    _put(params, before)
                raise
        if self._opt_called is False:
            self._opt_called = True
        return loss

    def _iterate(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        params: list[Tensor] = group["params"]
        state = self.state.get(params[0], {})
        evals = 0

        def evaluate() -> tuple[Any, Vector]:
            nonlocal evals
            with enable_grad():
                value = closure()
            evals += 1
            return value, _flat_gradient(params)

        first, g = evaluate()
        loss = float(first)
        if _largest(g) <= group["tolerance_grad"]:
            self.state[params[0]] = {"n_iter": 0, **state, "func_evals": state.get("func_evals", 0) + evals}
            return first

        moves: list[tuple[Vector, Vector, float]] = [
            (y._data, s._data, ro)
            for y, s, ro in zip(state.get("old_dirs", ()), state.get("old_stps", ()), state.get("ro", ()), strict=True)
        ]
        n_iter, scale, t = state.get("n_iter", 0), state.get("H_diag", 1.0), state.get("t", 0.0)
        d, before = (state[key]._data if key in state else g for key in ("d", "prev_flat_grad"))
        loss_before = state.get("prev_loss", loss)
        for count in range(1, group["max_iter"] + 1):
            n_iter += 1
            if n_iter == 1:
                d = _times(g, -1.0)
            else:
                y, s = _plus(g, -1.0, before), _times(d, t)
                ys, yy = _dot(y, s), _dot(y, y)
                if ys > 1e-10 and yy > 0:
                    moves = [*moves[max(0, len(moves) + 1 - group["history_size"]) :], (y, s, 1.0 / ys)]
                    scale = ys / yy
                d = _direction(g, moves, scale)
            before, loss_before = g, loss
            t = min(1.0, 1.0 / float(reduction.sum(pointwise.abs(g)))) * group["lr"] if n_iter == 1 else group["lr"]
            slope = _dot(g, d)
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is not None:
                start = [p._data.copy(order="K") for p in params]

                def at(t: float, d: Vector = d, start: list[Vector] = start) -> tuple[float, Vector]:
                    _move(params, start, d, t)
                    try:
                        value, gradient = evaluate()
                    finally:
                        _put(params, start)
                    return float(value), gradient

                loss, g, t = _strong_wolfe(at, t, _largest(d), loss, g, d, slope, group["max_eval"] - evals)
                _move(params, start, d, t)
            else:
                _move(params, [p._data for p in params], d, t)
                if count != group["max_iter"]:
                    value, g = evaluate()
                    loss = float(value)
            if (
                count == group["max_iter"]
                or evals >= group["max_eval"]
                or _largest(g) <= group["tolerance_grad"]
                or _largest(d) * abs(t) <= group["tolerance_change"]
                or abs(loss - loss_before) < group["tolerance_change"]
            ):
                break
        self.state[params[0]] = {
            "func_evals": state.get("func_evals", 0) + evals,
            "n_iter": n_iter,
            "d": Tensor(d),
            "t": t,
            "old_dirs": [Tensor(y) for y, _, _ in moves],
            "old_stps": [Tensor(s) for _, s, _ in moves],
            "ro": [ro for _, _, ro in moves],
            "H_diag": scale,
            "prev_flat_grad": Tensor(before),
            "prev_loss": loss_before,
        }
        return first

    def _restored(self, key: str, value: Any, p: Tensor, number: Any) -> Any:
        """Return a copy of one saved entry of state; its vectors run over all parameters."""
        if isinstance(value, (list, tuple)):
            return [self._restored(key, entry, p, number) for entry in value]
        if not isinstance(value, (Tensor, np.ndarray)) or value.ndim == 0:
            return float(value) if isinstance(value, (Tensor, np.ndarray)) else value
        params = self.param_groups[0]["params"]
        count = sum(q._data.size for q in params)
        if tuple(value.shape) != (count,):
            raise ValueError(
                f"loaded state dict has {key} of shape {tuple(value.shape)} for parameters of {count} numbers in all"
            )
        array = value._data if isinstance(value, Tensor) else value
        return Tensor(np.array(array, np.result_type(*(q._data for q in params))))


def _flat_gradient(params: list[Tensor]) -> Vector:
    """All gradients in one vector, zeros for those that are missing."""
    parts = [np.zeros(p._data.size, p._data.dtype) if p._grad is None else p._grad._data.reshape(-1) for p in params]
    return np.concatenate(parts)


def _put(params: list[Tensor], values: list[Vector]) -> None:
    for p, value in zip(params, values, strict=True):
        p.copy_(value)


def _move(params: list[Tensor], start: list[Vector], d: Vector, t: float) -> None:
    """Set the parameters to start + t * d."""
    begin = 0
    for p, a in zip(params, start, strict=True):
        p.copy_(_plus(a, t, d[begin : begin + a.size].reshape(a.shape)))
        begin += a.size


def _direction(g: Vector, moves: list[tuple[Vector, Vector, float]], scale: float) -> Vector:
    """-H * g, by the two loops over the history."""
    q = _times(g, -1.0)
    shares = []
    for y, s, ro in reversed(moves):
        shares.append(_dot(s, q) * ro)
        q = _plus(q, -shares[-1], y)
    q = _times(q, scale)
    for (y, s, ro), share in zip(moves, reversed(shares), strict=True):
        q = _plus(q, share - _dot(y, q) * ro, s)
    return q


# Sums, products and the like of arrays are those of the ops: the same bits on every processor.


def _times(x: Vector, t: float) -> Vector:
    y: Any = pointwise.mul(x, t)
    return np.asarray(y)


def _plus(x: Vector, t: float, y: Vector) -> Vector:
    """x + t * y."""
    z: Any = pointwise.add(x, pointwise.mul(y, t))
    return np.asarray(z)


def _dot(x: Vector, y: Vector) -> float:
    return float(dot(x, y))


def _largest(x: Vector) -> float:
    """The largest absolute value, 0 of an empty vector."""
    return float(reduction.amax(pointwise.abs(x))) if x.size else 0.0


def _cubic(x1: float, f1: float, g1: float, x2: float, f2: float, g2: float, low: float, high: float) -> float:
    """The minimum between low and high of the cubic with these values and slopes; their middle where it has none."""
    if x1 != x2:
        if x1 > x2:
            x1, f1, g1, x2, f2, g2 = x2, f2, g2, x1, f1, g1
        d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
        square = d1 * d1 - g1 * g2
        if square >= 0:
            d2 = math.sqrt(square)
            below = g2 - g1 + 2 * d2
            if below != 0:
                return min(max(x2 - (x2 - x1) * ((g2 + d2 - d1) / below), low), high)
    return (low + high) / 2


def _strong_wolfe(
    at: Callable[[float], tuple[float, Vector]],
    t: float,
    d_norm: float,
    f: float,
    g: Vector,
    d: Vector,
    slope: float,
    max_ls: int,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
) -> tuple[float, Vector, float]:
    """A length along d for which the strong Wolfe conditions hold, with loss and gradient there.

    `at(t)` gives both at t, f and g are those at 0; after `max_ls` more calls the best length so far counts.
    """
    f_new, g_new = at(t)
    slope_new = _dot(g_new, d)
    # Each point: length, loss, gradient, slope. First go out until two points enclose a minimum.
    start = (0.0, f, g, slope)
    last, point = start, (t, f_new, g_new, slope_new)
    calls, done = 0, False
    bracket = [start, point]
    while calls < max_ls:
        t, f_new, _, slope_new = point
        if f_new > f + c1 * t * slope or (calls > 1 and f_new >= last[1]):
            bracket = [last, point]
            break
        if abs(slope_new) <= -c2 * slope:
            return f_new, point[2], t
        if slope_new >= 0:
            bracket = [last, point]
            break
        longer = _cubic(last[0], last[1], last[3], t, f_new, slope_new, t + 0.01 * (t - last[0]), t * 10)
        f_new, g_new = at(longer)
        last, point = point, (longer, f_new, g_new, _dot(g_new, d))
        calls += 1
    else:
        bracket = [start, point]
    # Then narrow them.
    low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
    stuck = False
    while not done and calls < max_ls:
        (x1, f1, _, s1), (x2, f2, _, s2) = bracket
        if abs(x2 - x1) * d_norm < tolerance_change:
            break
        left, right = min(x1, x2), max(x1, x2)
        t = _cubic(x1, f1, s1, x2, f2, s2, left, right)
        # Too close to an end twice in a row, or on it: a tenth of the way in.
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        f_new, g_new = at(t)
        calls += 1
        point = (t, f_new, g_new, _dot(g_new, d))
        if f_new > f + c1 * t * slope or f_new >= bracket[low][1]:
            bracket[high] = point
            low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
        else:
            if abs(point[3]) <= -c2 * slope:
                done = True
            elif point[3] * (bracket[high][0] - bracket[low][0]) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = point
    t, f_new, g_new, _ = bracket[low]
    return f_new, g_new, t
