"""Every row of the table: values, strides, sizes, NaN and gradients of both orders; and that no op is without a row."""

from __future__ import annotations

import math
import pkgutil
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from check import (
    assert_close,
    call,
    cast,
    check_gradient,
    check_second,
    differentiable,
    expected,
    float_outputs,
    inputs_of,
    outputs,
    same_bits,
    seed_of,
    tensors,
)  # fmt: skip
from table import ROWS, Row

import tinytensor as tt
import tinytensor.ops
from tinytensor import _kernels, autograd
from tinytensor.op import Op
from tinytensor.ops import PUBLIC

each_row = pytest.mark.parametrize("r", ROWS, ids=lambda r: r.id)
with_gradient = pytest.mark.parametrize("r", [r for r in ROWS if differentiable(r)], ids=lambda r: r.id)
SIZES = (1, 7, 8, 9, 15, 16, 17, 31, 33, 1023, 1025)


# ------------------------------------------------------------------------------------------------------- completeness
def test_every_public_op_has_a_row() -> None:
    having = [PUBLIC[r.name] for r in ROWS if r.name in PUBLIC]
    assert [n for n, f in PUBLIC.items() if not any(f is h for h in having)] == []


def test_every_function_of_nn_and_linalg_has_a_row() -> None:
    tested = {r.name for r in ROWS} | {id(PUBLIC[r.name]) for r in ROWS if r.name in PUBLIC}
    for room, prefix in ((tinytensor.nn.functional, "F."), (tinytensor.linalg, "linalg.")):
        functions = {n: getattr(room, n) for n in room.__all__ if callable(getattr(room, n))}
        without = [n for n, f in functions.items() if not {n, prefix + n, id(f)} & tested]
        assert len(functions) > 15
        assert without == []


# those whose value is whole numbers or truth
NO_GRADIENT = {
    "all", "allclose", "any", "argmax", "argmin", "argsort", "argwhere", "bincount", "bitwise_and",
    "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "bucketize",
    "count_nonzero", "eq", "equal", "gcd", "ge", "gt", "heaviside", "isclose", "isfinite", "isin", "isinf", "isnan",
    "isneginf", "isposinf", "lcm", "le", "linalg.matrix_rank", "logical_and", "logical_not", "logical_or",
    "logical_xor", "lt", "ne", "nonzero", "one_hot", "searchsorted", "signbit",
}  # fmt: skip


def test_every_other_op_has_its_gradient_checked() -> None:
    checked = {r.name for r in ROWS if differentiable(r)}
    assert {r.name for r in ROWS} - checked == NO_GRADIENT


def test_rows_are_named_once() -> None:
    names = [r.id for r in ROWS]
    assert [n for n in set(names) if names.count(n) > 1] == []


def test_every_kernel_has_a_row_that_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: set[int] = set()

    def watched(name: str) -> Any:
        whole = getattr(_kernels, name)

        def run(code: int, *args: Any) -> Any:
            reached.add(code)
            return whole(code, *args)

        return run

    for name in ("map1", "map2", "map3"):
        monkeypatch.setattr(_kernels, name, watched(name))
    without_kernels(monkeypatch)
    having = set()
    for r in ROWS:
        reached.clear()
        if r.kernels:
            call(r, inputs_of(r, r.shapes[0]))
        missed = {k for k in r.kernels if _kernels.OPS[k] not in reached}
        assert missed == set(), f"row {r.id} says that it tests these kernels, but does not call them"
        having |= set(r.kernels) | ({r.name} & set(_kernels.OPS))
    assert set(_kernels.OPS) - having == set()


def ops() -> list[Op[...]]:
    """Every op there is."""
    rooms = [import_module(f"tinytensor.ops.{m.name}") for m in pkgutil.iter_modules(tinytensor.ops.__path__)]
    named = [v for room in rooms for v in vars(room).values()]
    named += [v for table in named if isinstance(table, dict) for v in table.values()]  # linear's, by activation
    return list({id(v): v for v in named if isinstance(v, Op)}.values())


def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every op compute its value by its function alone."""
    for o in ops():
        monkeypatch.setattr(o, "kernel", -1)


def descriptions() -> dict[str, Op[...]]:
    """Every op that has a rule."""
    return {o.__name__: o for o in ops() if o.function is not None}


def rules_of(r: Row) -> list[Op[...]]:
    return list({n.op.__name__: n.op for n in check_gradient(r, r.shapes[0])}.values())


def test_every_rule_is_in_a_row() -> None:
    tested = {o.__name__ for r in ROWS if differentiable(r) for o in rules_of(r)}
    assert set(descriptions()) - tested == set()


@with_gradient
def test_a_wrong_rule_is_found(r: Row) -> None:
    """The meta-test: each rule of a row, its result times 1.001 (a zero gradient: plus 0.001), must make the row's check fail."""
    for o in rules_of(r):
        right = o.function

        def wrong(*args: Any, right: Any = right) -> Any:
            result = right(*args)
            several = result if isinstance(result, (tuple, list)) else [result]
            return [None if g is None else np.asarray(g * 1.001 + 0.001 * (not g.any())) for g in several]

        o.function = wrong
        try:
            with pytest.raises(AssertionError, match="gradient"):
                check_gradient(r, r.shapes[0])
        finally:
            o.function = right
    check_gradient(r, r.shapes[0])


# -------------------------------------------------------------------------------------------------------------- values
@each_row
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value(r: Row, dtype: str) -> None:
    if dtype not in r.dtypes:
        assert any(n in r.id for n in ("drop", "gumbel", "rrelu"))  # whose random numbers depend on the dtype
        return
    for shapes in r.shapes:
        arrays = [cast(a, dtype) for a in inputs_of(r, shapes)]
        before = [a.copy() for a in arrays]
        got, want = call(r, arrays), expected(r, arrays)
        assert len(got) == len(want)
        for g, w in zip(got, want):
            if g.dtype != np.int64:
                assert g.dtype == np.dtype(r.dtype or dtype)
            assert_close(g, w, r.ulps, r.scale)
        for a, b in zip(arrays, before):
            same_bits(a, b)


def test_the_kernel_named_beside_an_op_is_what_its_function_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def computed(o: Op[...]) -> Any:
        inputs = [np.linspace(0.1, 0.9, 12, dtype=np.float32).reshape(3, 4) ** (i + 1) for i in range(len(o.inputs))]
        return np.asarray(o(*inputs))

    having = [o for o in ops() if o.kernel >= 0]
    assert len({o.__name__ for o in having}) > 40
    quick = [computed(o) for o in having]
    without_kernels(monkeypatch)
    for o, q in zip(having, quick):
        same_bits(q, computed(o))


@pytest.mark.parametrize("r", [r for r in ROWS if r.wide], ids=lambda r: r.id)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_value_over_a_wide_range(r: Row, dtype: str) -> None:
    low, high = r.wide or (0, 0)
    x = np.linspace(low, high, 20011).astype(dtype)
    assert_close(call(r, [x])[0], expected(r, [x])[0], r.ulps + 0.5, r.scale)


@each_row
def test_arrays_in_array_out(r: Row) -> None:
    for shapes in [r.shapes[0], *(s for s in r.shapes[1:] if () in s)]:
        arrays = [cast(a, r.dtypes[0]) for a in inputs_of(r, shapes)]
        result = r.call(*arrays, **r.kwargs)
        for v in result if isinstance(result, (tuple, list)) else [result]:
            assert isinstance(v, np.ndarray)
        for g, w in zip(outputs(result), call(r, arrays)):
            same_bits(g, w)


def layouts(a: Any) -> list[Any]:
    """The same values in other places of memory."""
    wide = (
        np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)[..., ::2]
        if a.ndim
        else np.zeros(3, a.dtype)[1:2].reshape(())
    )
    wide[...] = a
    back = np.flip(np.flip(a).copy()) if a.ndim else a.copy()
    tall = (
        np.zeros((*(3 * n for n in a.shape),), a.dtype)[tuple(slice(1, 3 * n, 3) for n in a.shape)] if a.ndim else back
    )
    tall[...] = a
    return [np.array(a, order="F"), wide, back, tall]


@each_row
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_strides_change_no_bit(r: Row, dtype: str) -> None:
    if dtype not in r.dtypes or r.name == "view":
        return
    for shapes in r.shapes:
        arrays = [cast(a, dtype) for a in inputs_of(r, shapes)]
        plain = call(r, arrays)
        for some in zip(*(layouts(a) for a in arrays)):
            for a, b in zip(arrays, some):
                same_bits(a, b)
            for g, w in zip(call(r, list(some)), plain):
                same_bits(g, w)
        for i in range(len(arrays)):  # one strided among contiguous ones
            mixed = [*arrays[:i], layouts(arrays[i])[1], *arrays[i + 1 :]]
            for g, w in zip(call(r, mixed), plain):
                same_bits(g, w)


@pytest.mark.parametrize("r", [r for r in ROWS if r.elementwise], ids=lambda r: r.id)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sizes_around_the_vector_width(r: Row, dtype: str) -> None:
    """An element's bits depend neither on its place nor on how many there are."""
    arrays = [cast(a, dtype) for a in inputs_of(r, ((1025,),) * len(r.domains))]
    whole = call(r, arrays)[0]
    assert_close(whole, expected(r, arrays)[0], r.ulps, r.scale)
    for n in SIZES:
        same_bits(call(r, [a[:n] for a in arrays])[0], whole[:n])
        same_bits(call(r, [a[1025 - n :] for a in arrays])[0], whole[1025 - n :])


@pytest.mark.parametrize("r", [r for r in ROWS if r.elementwise and len(r.domains) > 1], ids=lambda r: r.id)
def test_a_broadcast_input_is_the_repeated_one(r: Row) -> None:
    """Past one block of the driver (1024 elements) too, and with a Python number's place taken by a 0-d array."""
    n = len(r.domains)
    for shapes in (
        ((3, 700),) * (n - 1) + ((700,),),
        ((3, 700),) * (n - 1) + ((3, 1),),
        ((),) + ((3, 700),) * (n - 1),
        ((3, 1),) + ((1, 700),) * (n - 1),
    ):
        arrays = [cast(a, "float32") for a in inputs_of(r, shapes)]
        full = [np.ascontiguousarray(a) for a in np.broadcast_arrays(*arrays)]
        same_bits(call(r, arrays)[0], call(r, full)[0])


@pytest.mark.parametrize("r", [r for r in ROWS if r.nan], ids=lambda r: r.id)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_goes_through(r: Row, dtype: str) -> None:
    if dtype not in r.dtypes:
        return
    for i in r.nan:
        shown = 0
        for place in (0, -1):
            arrays = [cast(a, dtype) for a in inputs_of(r, r.shapes[0])]
            arrays[i] = arrays[i].copy()
            arrays[i].reshape(-1)[place] = math.nan
            got, want = call(r, arrays), expected(r, arrays)
            shown += sum(np.isnan(w).sum() for w in want if w.dtype.kind == "f")
            for g, w in zip(got, want):
                if g.dtype.kind == "f":
                    np.testing.assert_array_equal(np.isnan(g), np.isnan(w))
        assert shown > 0


# ----------------------------------------------------------------------------------------------------------- gradients
@with_gradient
def test_gradient(r: Row) -> None:
    for shapes in r.shapes:
        check_gradient(r, shapes)


@with_gradient
def test_second_derivative(r: Row) -> None:
    for shapes in r.shapes:
        if math.prod(max(1, math.prod(s)) for s in shapes) <= 300:
            check_second(r, shapes)


@pytest.mark.parametrize("r", [r for r in ROWS if len(r.grads) > 1], ids=lambda r: r.id)
def test_one_input_alone_has_the_gradient_it_has_among_others(r: Row) -> None:
    """The rules' `needs`, of both orders: nothing else is asked for, and what is asked for is the same."""
    arrays = inputs_of(r, r.shapes[0])
    rng = np.random.default_rng(seed_of(r.id, "alone"))
    ups: list[Any] = []

    def slopes(which: tuple[int, ...], i: int) -> list[Any]:
        made = [tt.tensor(a) for a in arrays]
        for j in which:
            made[j].requires_grad_()
        every = float_outputs(r.call(*made, **r.kwargs))
        if not ups:
            ups.extend([tt.tensor(rng.uniform(0.5, 1.5, o.shape)) for o in every])
        outs, given = zip(*[(o, u) for o, u in zip(every, ups, strict=True) if o.requires_grad])
        found = autograd.grad(outs, [made[j] for j in which], given, create_graph=True, allow_unused=True)
        first = found[which.index(i)]
        if not (first.requires_grad and r.gradgrad):
            return [first]
        return [first, *autograd.grad(first, [made[i]], tt.ones_like(first), allow_unused=True)]

    for i in r.grads:
        for alone, among in zip(slopes((i,), i), slopes(r.grads, i), strict=False):
            want = np.zeros(arrays[i].shape) if among is None else among.detach().numpy()
            np.testing.assert_allclose(0.0 if alone is None else alone.detach().numpy(), want, rtol=1e-12, atol=1e-12)


@with_gradient
def test_gradient_in_float32(r: Row) -> None:
    """The rules keep the dtype, and agree with double."""
    if "float32" not in r.dtypes or r.dtype:
        return
    arrays = inputs_of(r, r.shapes[0])
    found = []
    for dtype in ("float32", "float64"):
        made = [tt.tensor(cast(a, dtype)) for a in arrays]
        for i in r.grads:
            made[i].requires_grad_()
        result = r.call(*made, **r.kwargs)
        outs = [v for v in (result if isinstance(result, (tuple, list)) else [result]) if v.dtype.kind == "f"]
        tt.tape.backward(outs, [tt.ones_like(o) for o in outs])
        assert [made[i].grad.dtype for i in r.grads] == [np.dtype(dtype)] * len(r.grads)
        found.append([made[i].grad.numpy() for i in r.grads])
    for low, high in zip(*found):
        np.testing.assert_allclose(low, high, rtol=2e-5, atol=2e-5 * max(1.0, float(np.abs(high).max(initial=0))))


@pytest.mark.parametrize("r", [r for r in ROWS if not differentiable(r)], ids=lambda r: r.id)
def test_ops_without_gradient_record_nothing(r: Row) -> None:
    made = tensors(inputs_of(r, r.shapes[0]))
    for t in made:
        if t.dtype.kind == "f":
            t.requires_grad_()
    result = r.call(*made, **r.kwargs)
    if r.name in ("norm", "where", "dropout"):
        return
    assert not any(o.requires_grad for o in (result if isinstance(result, (tuple, list)) else [result]))
