"""NumPy at its best: float32, into arrays that wait for it, nothing allocated. Several formulas were tried; the quickest is
here. `o` takes the result and may be an input where that is said; `row` and `t` are scratch, one value a row or one an
element."""

from __future__ import annotations

import numpy as np

A = np.ndarray
ZERO, HALF, ONE, THREE = (np.float32(v) for v in (0, 0.5, 1, 3))
C = np.float32(0.7978845608028654)  # sqrt(2 / pi)
D = np.float32(0.7978845608028654 * 0.044715)


def sigmoid(x: A, o: A) -> None:
    """1 / (1 + e^-x), quicker by tanh than by exp, add and divide; o may be x."""
    np.multiply(x, HALF, out=o)
    np.tanh(o, out=o)
    np.multiply(o, HALF, out=o)
    np.add(o, HALF, out=o)


def sigmoid_grad(g: A, y: A, o: A) -> None:
    np.subtract(ONE, y, out=o)
    np.multiply(o, y, out=o)
    np.multiply(o, g, out=o)


def relu_grad(g: A, y: A, o: A) -> None:
    np.greater(y, ZERO, out=o)
    np.multiply(o, g, out=o)


def tanh_grad(g: A, y: A, o: A) -> None:
    np.multiply(y, y, out=o)
    np.subtract(ONE, o, out=o)
    np.multiply(o, g, out=o)


def silu(x: A, o: A) -> None:
    sigmoid(x, o)
    np.multiply(o, x, out=o)


def silu_grad(g: A, x: A, o: A, t: A) -> None:
    """g s (1 + x (1 - s)), s = sigmoid(x)."""
    sigmoid(x, t)
    np.subtract(ONE, t, out=o)
    np.multiply(o, x, out=o)
    np.add(o, ONE, out=o)
    np.multiply(o, t, out=o)
    np.multiply(o, g, out=o)


def gelu(x: A, o: A) -> None:
    """The tanh form: NumPy has no erf."""
    np.multiply(x, x, out=o)
    np.multiply(o, D, out=o)
    np.add(o, C, out=o)
    np.multiply(o, x, out=o)
    np.tanh(o, out=o)
    np.add(o, ONE, out=o)
    np.multiply(o, x, out=o)
    np.multiply(o, HALF, out=o)


def gelu_grad(g: A, x: A, o: A, t: A, u: A) -> None:
    """g (h (1 + t) + h x (1 - t^2) (c + 3 d x^2)), h = 1/2, with the t of the tanh form."""
    np.multiply(x, x, out=u)
    np.multiply(u, D, out=u)
    np.add(u, C, out=t)
    np.multiply(t, x, out=t)
    np.tanh(t, out=t)
    np.multiply(u, THREE, out=u)
    np.add(u, C, out=u)
    np.multiply(u, x, out=u)
    np.subtract(ONE, t, out=o)
    np.multiply(u, o, out=u)
    np.add(u, ONE, out=u)
    np.add(t, ONE, out=t)
    np.multiply(u, t, out=u)
    np.multiply(u, HALF, out=u)
    np.multiply(u, g, out=o)


def softmax(x: A, o: A, row: A) -> None:
    """Of each row; o may be x."""
    np.maximum.reduce(x, axis=1, out=row, keepdims=True)
    np.subtract(x, row, out=o)
    np.exp(o, out=o)
    np.add.reduce(o, axis=1, out=row, keepdims=True)
    np.reciprocal(row, out=row)
    np.multiply(o, row, out=o)


def softmax_grad(g: A, y: A, o: A, row: A) -> None:
    np.multiply(g, y, out=o)
    np.add.reduce(o, axis=1, out=row, keepdims=True)
    np.subtract(g, row, out=o)
    np.multiply(o, y, out=o)


class Update:
    """A step of SGD or of Adam over all parameters in one array, in pieces that stay in the second-level cache."""

    def __init__(self, params: A, grads: A, adam: bool, lr: float) -> None:
        block = 1 << 15
        self.moments = np.zeros((2, params.size), np.float32) if adam else None
        self.pieces = []
        for i in range(0, params.size, block):
            span = slice(i, i + block)
            self.pieces.append(
                (params[span], grads[span], *(() if self.moments is None else (m[span] for m in self.moments)))
            )
        self.scratch = np.empty(block, np.float32)
        self.lr, self.steps = lr, 0

    def reset(self) -> None:
        """Forget the steps made."""
        self.steps = 0
        if self.moments is not None:
            self.moments.fill(0)

    def step(self) -> None:
        if self.moments is None:
            lr = np.float32(self.lr)
            for p, g in self.pieces:
                t = self.scratch[: p.size]
                np.multiply(g, lr, out=t)
                np.subtract(p, t, out=p)
        else:
            self._adam()

    def _adam(self) -> None:
        self.steps += 1
        correction = (1 - 0.999**self.steps) ** 0.5
        rate, eps = np.float32(self.lr * correction / (1 - 0.9**self.steps)), np.float32(1e-8 * correction)
        b1, b2, r1, r2 = np.float32(0.9), np.float32(0.999), np.float32(0.1), np.float32(0.001)
        for p, g, m, v in self.pieces:
            t = self.scratch[: p.size]
            np.multiply(g, g, out=t)
            np.multiply(t, r2, out=t)
            np.multiply(v, b2, out=v)
            np.add(v, t, out=v)
            np.multiply(g, r1, out=t)
            np.multiply(m, b1, out=m)
            np.add(m, t, out=m)
            np.sqrt(v, out=t)
            np.add(t, eps, out=t)
            np.divide(m, t, out=t)
            np.multiply(t, rate, out=t)
            np.subtract(p, t, out=p)
