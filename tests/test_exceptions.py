"""The page of exceptions says what the calls on it raise, and leaves out nothing that a docstring promises."""

from __future__ import annotations

import exceptions
import numpy as np
import pytest

import tinytensor as tt


def test_the_page_is_up_to_date() -> None:
    """Made anew, each of its calls with it."""
    assert exceptions.page() == exceptions.PAGE.read_text(), "run python tests/exceptions.py"


def test_every_probe_raises_and_none_by_accident() -> None:
    probes = [exceptions.GENERAL, *exceptions.PROBES.values()]
    for _, call in (probe for text in probes for probe in exceptions.listed(text)):
        e = exceptions.raised(call)
        assert e is not None, call
        assert not isinstance(e, (NameError, SyntaxError, AssertionError, NotImplementedError)), (call, e)


def test_what_docstrings_promise_is_on_the_page() -> None:
    kept, promised = exceptions.kept(), exceptions.promised()
    assert len(promised) > 150
    assert {name: left for name, kinds in promised.items() if (left := kinds - kept.get(name, set()))} == {}


def test_the_names_of_functions_are_public() -> None:
    around = exceptions.around()
    for text in exceptions.PROBES.values():
        for function, _ in exceptions.listed(text):
            assert eval(function, {"Tensor": tt.Tensor, **around}) is not None


IN_PLACE = [n for n in dir(tt.Tensor) if n.endswith("_") and n != "requires_grad_" and not n.startswith("_") and "RuntimeError" in (getattr(tt.Tensor, n).__doc__ or "")]  # fmt: skip


def arguments(name: str) -> tuple[object, ...]:
    """What a method that changes its tensor, a 2 x 2 one, is called with."""
    bare, x, i = name[:-1], tt.ones(2, 2), np.zeros((2, 2), np.int64)
    if bare in ("addcdiv", "addcmul", "addmm"):
        return x, x
    if bare == "baddbmm":
        return tt.ones(1, 2, 2), tt.ones(1, 2, 2)
    if bare in ("scatter", "scatter_add"):
        return 0, i, x
    if bare == "scatter_reduce":
        return 0, i, x, "sum"
    if bare in ("index_add", "index_copy"):
        return 0, i[0], x
    if bare == "index_fill":
        return 0, i[0], 1.0
    if bare == "index_put":
        return (i[0],), x
    if bare == "put":
        return i, x
    if bare == "masked_fill":
        return x > 0, 1.0
    if bare == "masked_scatter":
        return x > 0, x
    if bare == "lerp":
        return x, 0.5
    if bare in ("cumsum", "cumprod"):
        return (0,)
    if bare in ("clamp", "clamp_min", "clamp_max"):
        return (0.5,)
    if bare in ("add", "sub", "mul", "div", "pow", "atan2", "copysign", "floor_divide", "fmod", "hypot", "remainder", "xlogy"):  # fmt: skip
        return (x,)
    return ()


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_leaf_that_requires_grad_is_not_changed_in_place(name: str) -> None:
    """The page's rule for methods whose names end in an underscore; without a gradient the same call works."""
    leaf = tt.ones(2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        getattr(leaf, name)(*arguments(name))
    assert leaf.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    plain = tt.ones(1, 2, 2) if name == "baddbmm_" else tt.ones(2, 2)
    assert getattr(plain, name)(*arguments(name)) is plain
