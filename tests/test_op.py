"""Op: arguments as a Python function takes them, what it tells of itself, arrays and Tensors, kernels named beside a value."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.op import Array, Op, op


def plain(x: Array, y: Array | None, by: float = 2.0, *, shift: float, name: str = "n") -> Any:
    """What an op is made of."""
    return np.concatenate([x, np.zeros(0) if y is None else y]) * by + shift + len(name)


def wrapped() -> Any:
    def plain(x: Array, y: Array | None, by: float = 2.0, *, shift: float, name: str = "n") -> Any:
        """What an op is made of."""
        return np.concatenate([x, np.zeros(0) if y is None else y]) * by + shift + len(name)

    return op(plain)


X = np.arange(3.0)
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((X, X), {"shift": 1.0}),
    ((X, None, 3.0), {"shift": 1.0}),
    ((X,), {"y": X, "shift": 1.0, "name": "long"}),
    ((), {"shift": 1.0, "by": 5.0, "y": X, "x": X}),
    ((X, X), {}),
    ((X,), {"shift": 1.0}),
    ((), {}),
    ((X, X, 1.0, 2.0), {}),
    ((X, X, 1.0, 2.0), {"shift": 1.0}),
    ((X, X), {"shift": 1.0, "x": X}),
    ((X, X), {"shift": 1.0, "z": 1}),
    ((X, X, 1.0), {"shift": 1.0, "by": 1.0}),
]


@pytest.mark.parametrize(("args", "kwargs"), CALLS, ids=[f"{len(a)} {' '.join(k)}" for a, k in CALLS])
def test_arguments_are_a_functions(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The same values, or the same TypeError; on arrays and on Tensors."""
    tensors = [tt.from_numpy(a) if isinstance(a, np.ndarray) else a for a in args]
    named = {k: tt.from_numpy(a) if isinstance(a, np.ndarray) else a for k, a in kwargs.items()}
    try:
        want = plain(*args, **kwargs)
    except TypeError as e:
        for a, k in ((args, kwargs), (tensors, named)):
            with pytest.raises(TypeError) as got:
                wrapped()(*a, **k)
            assert str(got.value) == str(e)
        return
    assert wrapped()(*args, **kwargs).tolist() == want.tolist()
    assert wrapped()(*tensors, **named).tolist() == want.tolist()


def test_a_parameter_by_position_alone() -> None:
    @op
    def double(x: Array, /) -> Any:
        return x * 2

    assert double(X).tolist() == [0, 2, 4]
    with pytest.raises(TypeError, match="positional-only"):
        double(x=X)


def test_what_it_tells_of_itself() -> None:
    assert isinstance(tt.relu, Op)
    f = wrapped()
    assert (f.__name__, f.__qualname__, f.__doc__, f.__module__) == ("plain", "plain", plain.__doc__, __name__)
    assert inspect.signature(f) == inspect.signature(f.__wrapped__)
    assert list(inspect.signature(f).parameters) == ["x", "y", "by", "shift", "name"]
    assert repr(tt.mul) == "<op mul>"
    assert "Gradient: g where x > 0" in pydoc.render_doc(tt.relu)
    assert tt.sum.__name__ == "sum"


def test_it_is_a_method() -> None:
    x = tt.tensor([-1.0, 2.0])
    assert x.relu().tolist() == tt.Tensor.relu(x).tolist() == [0, 2]
    bound = x.mul
    assert bound(3).tolist() == [-3, 6]
    assert x.mul(y=4).tolist() == [-4, 8]
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        x.mul()


def test_arrays_give_arrays_without_auxiliaries() -> None:
    @op(aux=("rest",))
    def halves(x: Array) -> Any:
        return x[:2], x[2:]

    @halves.rule
    def _(g: Any, rest: Any) -> Any:
        return np.concatenate([g, rest])

    a = np.arange(4, dtype=np.float32)
    assert halves(a).tolist() == [0, 1]
    t = tt.tensor(a, requires_grad=True)
    h = halves(t)
    assert (h.tolist(), h.grad_fn.kept[0].tolist()) == ([0, 1], [2, 3])
    h.sum().backward()
    assert t.grad.tolist() == [1, 1, 2, 3]


def test_a_value_that_is_a_number_of_numpy() -> None:
    @op
    def largest(x: Array) -> Any:
        return x.max()

    assert largest(tt.tensor([1.0, 3.0])).shape == ()
    assert largest(tt.tensor([1.0, 3.0])).item() == 3


def test_a_sequence_of_inputs() -> None:
    @op
    def total(tensors: Sequence[Array], scale: float = 1.0) -> Any:
        return sum(tensors) * np.float32(scale)

    @total.rule
    def _(g: Any, tensors_shape: Any, scale: float, needs: Any) -> Any:
        assert tensors_shape == ((2,), (2,), (2,))
        return [g * np.float32(scale) if n else None for n in needs]

    a, b = tt.ones(2, requires_grad=True), tt.ones(2, requires_grad=True)
    one = np.ones(2, np.float32)
    y = total([a, one, b * 1], scale=3.0)
    assert y.tolist() == [9, 9]
    y.sum().backward()
    assert (a.grad.tolist(), b.grad.tolist()) == ([3, 3], [3, 3])
    assert isinstance(total([one, one]), np.ndarray)
    with pytest.raises(TypeError, match="unexpected keyword argument 'by'"):
        total([one], by=1)


def test_what_an_op_cannot_be() -> None:
    def three(x: Array, y: Array, z: Array) -> Any:
        return x

    for kernel, arrays in (("relu", 1), ("mul", 2)):
        with pytest.raises(
            TypeError, match=rf"op three: kernel {kernel} takes {arrays} arrays, the op has \('x', 'y', 'z'\)"
        ):
            op(kernel=kernel)(three)
    assert op(kernel="where")(three)(np.array([True, False]), np.ones(2), 2.0).tolist() == [1, 2]
    with pytest.raises(TypeError, match=r"kernel relu takes 1 arrays, the op has \('x', 'slope'\)"):

        @op(kernel="relu")
        def sloped(x: Array, slope: float) -> Any:
            return x

    names = ", ".join(f"a{i}" for i in range(17))
    with pytest.raises(TypeError, match="at most 16 parameters, got 17"):
        op(eval(f"lambda {names}: a0"))
    nine = eval(f"lambda {names[:34]}: a0")
    nine.__annotations__ = dict.fromkeys(nine.__code__.co_varnames, "Array")
    with pytest.raises(TypeError, match="names too much"):
        op(nine).rule(eval(f"lambda g, {names[:34]}: g"))


def test_a_kernel_takes_what_it_can_and_the_function_the_rest() -> None:
    seen = []

    @op(kernel="mul")
    def product(x: Array, y: Array) -> Any:
        seen.append((x, y))
        return np.asarray(x * y)

    one, two = np.ones(2, np.float32), np.full(2, 2.0)
    for x, y in ((one, one), (two, 3.0), (4, two), (np.ones((3, 1)), two), (one[::-1], one)):
        assert (product(x, y) == x * y).all()
    assert seen == []
    for x, y in ((one, two), (2, 3), (np.arange(2), two)):
        assert (product(tt.as_tensor(x) if isinstance(x, np.ndarray) else x, y) == x * y).all()
    assert len(seen) == 3
    with pytest.raises(ValueError, match=r"mul: shapes \(2,\) and \(3,\)"):
        product(two, np.ones(3))


# ------------------------------------------------------------------------------------------------------------ docstrings
@pytest.mark.parametrize(
    "room", [tt, tt.nn, tt.nn.functional, tt.optim, tt.linalg, tt.data, tt.train, tt.viz, tt.func, tt.Tensor]
)
def test_everything_public_says_what_it_does(room: Any) -> None:
    public = [n for n in getattr(room, "__all__", dir(room)) if not n.startswith("_")]
    silent = [n for n in public if callable(getattr(room, n)) and not (getattr(room, n).__doc__ or "").strip()]
    assert len(public) > 5
    assert not silent
