"""Flips, tiles, padding, diagonals, windows, joins and splits: what is a view, what is a copy, and what is refused."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
import tinytensor.nn.functional as F

VIEWS: dict[str, Callable[[Any], Any]] = {
    "select": lambda x: tt.select(x, 1, 2),
    "unbind": lambda x: tt.unbind(x, -1)[3],
    "movedim": lambda x: tt.movedim(x, 0, 1),
    "swapaxes": lambda x: tt.swapaxes(x, 0, 1),
    "diagonal": lambda x: tt.diagonal(x, 1),
    "atleast_3d": tt.atleast_3d,
    "tensor_split": lambda x: tt.tensor_split(x, 2, 1)[1],
    "view_as": lambda x: tt.view_as(x, tt.zeros(4, 3)),
}
READ_ONLY: dict[str, Callable[[Any], Any]] = {
    "unfold": lambda x: tt.unfold(x, 1, 2, 1),
    "broadcast_tensors": lambda x: tt.broadcast_tensors(x, tt.zeros(2, 3, 4))[0],
    "meshgrid": lambda x: tt.meshgrid(x[0], x[1])[0],
}
COPIES: dict[str, Callable[[Any], Any]] = {
    "flip": lambda x: tt.flip(x, ()),
    "roll": lambda x: tt.roll(x, 0, 0),
    "rot90": lambda x: tt.rot90(x, 4),
    "tile": lambda x: tt.tile(x, 1),
    "pad": lambda x: F.pad(x, (0, 0)),
    "pad reflect": lambda x: F.pad(x, (0, 0), "reflect"),
    "pad nothing": lambda x: F.pad(x, (), "reflect"),
    "diag": tt.diag,
    "tril": lambda x: tt.tril(x, 9),
    "cartesian_prod": lambda x: tt.cartesian_prod(x[0]),
}


def grid() -> tt.Tensor:
    return tt.arange(12).to(tt.float64).reshape(3, 4)


# ------------------------------------------------------------------------------------------------------ views and copies
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_shows_and_makes_changes(name: str) -> None:
    x = grid()
    v = VIEWS[name](x)
    assert np.shares_memory(v.numpy(), x.numpy())
    v.fill_(50)
    assert int((x == 50).sum().item()) == v.numel()
    x.zero_()
    assert not v.numpy().any()


@pytest.mark.parametrize("name", READ_ONLY)
def test_a_view_that_shows_elements_twice_is_read_only(name: str) -> None:
    x = grid()
    v = READ_ONLY[name](x)
    assert np.shares_memory(v.numpy(), x.numpy())
    x.fill_(7)
    assert (v.numpy() == 7).all()
    with pytest.raises(ValueError, match="read-only"):
        v.add_(1)


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_has_its_own_memory(name: str) -> None:
    x = grid()
    c = COPIES[name](x)
    assert not np.shares_memory(c.numpy(), x.numpy())


@pytest.mark.parametrize("name", [*VIEWS, *READ_ONLY])
def test_a_change_of_the_base_is_noticed_through_a_view(name: str) -> None:
    x = tt.ones(3, 4, dtype=tt.float64, requires_grad=True)
    y = x * 2
    v = {**VIEWS, **READ_ONLY}[name](y)
    out = (v * v).sum()
    with tt.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="changed"):
        out.backward()


@pytest.mark.parametrize("name", VIEWS)
def test_a_change_through_a_view_reaches_its_base_and_the_gradient(name: str) -> None:
    x = tt.ones(3, 4, dtype=tt.float64, requires_grad=True)
    there = tt.zeros(3, 4, dtype=tt.float64)
    VIEWS[name](there).fill_(1)
    y = x * 2
    VIEWS[name](y).mul_(3)
    np.testing.assert_array_equal(y.detach(), 2 + 4 * there.numpy())
    up = np.arange(12.0).reshape(3, 4)
    y.backward(tt.tensor(up))
    np.testing.assert_array_equal(x.grad, up * (2 + 4 * there.numpy()))


# --------------------------------------------------------------------------------------------------------------- windows
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "plain": lambda x: x,
    "backwards": lambda x: x[::-1, ::-1],
    "gaps": lambda x: x[::2, 1::3],
    "turned": lambda x: x.T,
    "repeated": lambda x: x[:1].expand(4, 10),
    "selected": lambda x: x.select(0, 3).unsqueeze(0),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_windows_over_any_layout_are_views(name: str) -> None:
    x = tt.arange(60).reshape(6, 10)
    part = LAYOUTS[name](x)
    a = part.numpy()
    w = part.unfold(1, 3, 2)
    want = np.stack([a[:, i : i + 3] for i in range(0, a.shape[1] - 2, 2)], 1)
    np.testing.assert_array_equal(w.numpy(), want)
    assert np.shares_memory(w.numpy(), x.numpy())
    version = tt._kernels.version(x.numpy())
    x.fill_(1)
    assert tt._kernels.version(w.numpy()) == version + 1


def test_windows_outlive_what_they_show() -> None:
    w = (tt.arange(1000) + 0).unfold(0, 10, 10)
    gc.collect()
    keep = [tt.zeros(1000, dtype=tt.int64) for _ in range(8)]
    assert w[99].tolist() == list(range(990, 1000))
    assert len(keep) == 8


def test_windows_over_foreign_memory() -> None:
    a = np.arange(24.0).reshape(4, 6)
    for b in (a, a.T, a[::-1, ::2], np.asfortranarray(a)):
        x = tt.from_numpy(b)
        np.testing.assert_array_equal(x.unfold(0, 2, 1).numpy(), np.stack([b[:-1], b[1:]], -1))


def test_windows_refuse_what_does_not_fit() -> None:
    x = grid()
    for size, step in ((0, 1), (5, 1), (2, 0), (-1, 1)):
        with pytest.raises(ValueError, match=r"unfold: expected 0 < size <= 4 \(dim 1\)"):
            x.unfold(1, size, step)
    with pytest.raises(IndexError, match="unfold: dim 2"):
        x.unfold(2, 1, 1)


# ------------------------------------------------------------------------------------------------------------- meanings
def test_dims_may_be_given_in_every_way() -> None:
    x = grid()
    want = x.numpy()[::-1, ::-1]
    for y in (x.flip(0, 1), x.flip((0, 1)), x.flip([-1, 0]), tt.flip(x, dims=(0, 1)), tt.flip(x, (1, 0))):
        np.testing.assert_array_equal(y.numpy(), want)
    assert (
        x.repeat(2, 1).shape == x.repeat((2, 1)).shape == x.tile(2, 1).shape == tt.tile(x, dims=(2, 1)).shape == (6, 4)
    )
    assert tt.flip(tt.tensor(3.0), 0).item() == tt.tensor(3.0).roll(1).item() == 3


def test_four_turns_are_none_and_a_turn_goes_from_the_first_dim_to_the_second() -> None:
    x = tt.tensor([[1, 2], [3, 4]])
    assert x.rot90().tolist() == [[2, 4], [1, 3]]
    assert x.rot90(1, (1, 0)).tolist() == [[3, 1], [4, 2]]
    assert x.rot90().rot90(3).tolist() == x.tolist() == x.rot90(-4).tolist()


def test_diagonals_are_the_main_one_where_none_is_named() -> None:
    x = tt.tensor([[1, 2], [3, 4]])
    assert [tt.diag(x).tolist(), tt.diagonal(x).tolist(), tt.trace(x).item()] == [[1, 4], [1, 4], 5]
    assert tt.diag(x[0]).tolist() == tt.diag_embed(x[0]).tolist() == [[1, 0], [0, 2]]
    assert [tt.tril(x).tolist(), tt.triu(x).tolist()] == [[[1, 0], [3, 4]], [[1, 2], [0, 4]]]
    assert tt.diagonal(tt.stack([x, x + 4])).tolist() == [[1, 7], [2, 8]]
    assert tt.diag_embed(x).tolist() == [[[1, 0], [0, 2]], [[3, 0], [0, 4]]]


def test_repeats() -> None:
    x = tt.tensor([[1, 2], [3, 4]])
    assert x.repeat_interleave(2).tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert x.repeat_interleave(tt.tensor([0, 3]), 0).tolist() == [[3, 4], [3, 4], [3, 4]]
    assert tt.tensor(5).repeat_interleave(3).tolist() == tt.tensor(5).repeat_interleave(3, 0).tolist() == [5, 5, 5]
    for bad in ([1, -1], [-1], [1.0, 2.0], [[1]]):
        with pytest.raises(
            ValueError, match="repeat_interleave: expected repeats as a number or vector of integers >= 0"
        ):
            x.repeat_interleave(np.array(bad), 1)
    with pytest.raises(ValueError, match="repeat_interleave: 3 repeats for size 2 of dim 1"):
        x.repeat_interleave(np.array([1, 2, 3]), 1)
    with pytest.raises(ValueError, match=r"fewer than the 2 dimensions of shape \(2, 2\); use tile"):
        x.repeat(2)
    with pytest.raises(ValueError, match="at least 0"):
        x.tile(-1)


def test_padding() -> None:
    x = tt.tensor([1, 2, 3, 4])
    assert F.pad(x, (1, 2)).tolist() == [0, 1, 2, 3, 4, 0, 0]
    assert F.pad(x, (1, -1), value=9).tolist() == [9, 1, 2, 3]
    assert F.pad(x, (3, 3), "reflect").tolist() == [4, 3, 2, 1, 2, 3, 4, 3, 2, 1]
    assert F.pad(x, (2, 5), "replicate").tolist() == [1, 1, 1, 2, 3, 4, 4, 4, 4, 4, 4]
    assert F.pad(x, (4, 1), "circular").tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 1]
    assert F.pad(x, (-1, 2), "reflect").tolist() == [2, 3, 4, 3, 2]
    assert F.pad(tt.tensor([[True]]), (0, 0, 0, 1)).tolist() == [[True], [False]]
    assert F.pad(tt.zeros(0, 2), (1, 0, 1, 1), value=2.0).tolist() == [[2, 2, 2]] * 2
    assert F.pad(tt.tensor(3.0), ()).item() == 3


@pytest.mark.parametrize(
    ("pad", "mode", "value", "message"),
    [
        ((4, 0), "reflect", None, "size 4 by at most 3, got 4"), ((0, 5), "circular", None, "size 4 by at most 4, got 5"), ((1,), "constant", None, "expected .before, after."),
        ((1,) * 6, "constant", None, "at most 2 dimensions"), ((-3, -2), "constant", None, "cuts more off"), ((-5, 3), "constant", None, "cuts more off"),
        ((1, 1), "mirror", None, "expected mode constant, reflect"), ((1, 1), "reflect", 2.0, "takes no value"),
    ],
)  # fmt: skip
def test_padding_refuses(pad: Any, mode: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        F.pad(grid(), pad, mode, value)


def test_a_border_adds_up_on_what_it_shows() -> None:
    for mode, want in (
        ("constant", [1, 1, 1]),
        ("reflect", [1, 3, 1]),
        ("replicate", [2, 1, 2]),
        ("circular", [2, 1, 2]),
    ):
        x = tt.ones(3, requires_grad=True)
        F.pad(x, (1, 1), mode).sum().backward()
        assert x.grad.tolist() == want


def test_diagonals_and_triangles() -> None:
    x = tt.arange(24).reshape(2, 3, 4)
    for args in ((0, 0, 1), (1, 1, 2), (-1, -1, 0), (9, 0, 2)):
        np.testing.assert_array_equal(x.diagonal(*args).numpy(), x.numpy().diagonal(*args))
    y = tt.diag_embed(tt.tensor([[1, 2], [3, 4]]), 1, 0, 2)
    assert y.shape == (3, 2, 3)
    assert y.diagonal(1, 0, 2).tolist() == [[1, 2], [3, 4]]
    assert y.sum().item() == 10
    assert tt.tensor([[1, 2], [3, 4]]).trace().item() == 5
    t = tt.tensor([[np.nan, np.nan], [1.0, np.nan]])
    assert t.tril(-1).tolist() == [[0, 0], [1, 0]]
    assert tt.ones(2, 2, dtype=tt.bool).triu(1).tolist() == [[False, True], [False, False]]
    assert tt.tril_indices(2, 3).tolist() == [[0, 1, 1], [0, 0, 1]]
    assert tt.triu_indices(2, 3, 1).tolist() == [[0, 0, 1], [1, 2, 2]]
    i, j = tt.tril_indices(3, 3, -1)
    assert grid()[i, j].tolist() == [4, 8, 9]


def test_grids() -> None:
    a, b = tt.meshgrid([tt.tensor([1, 2]), tt.tensor([3, 4, 5])], indexing="xy")
    assert (a.tolist(), b.tolist()) == ([[1, 2]] * 3, [[3, 3], [4, 4], [5, 5]])
    assert tt.cartesian_prod(tt.tensor([1, 2]), tt.tensor([3, 4])).tolist() == [[1, 3], [1, 4], [2, 3], [2, 4]]
    assert tt.broadcast_shapes((2, 1), 3, ()) == (2, 3)
    with pytest.raises(ValueError, match=r"broadcast_shapes: shapes \[\(2,\), \(3,\)\]"):
        tt.broadcast_tensors(tt.zeros(2), tt.zeros(3))
    with pytest.raises(ValueError, match="indexing"):
        tt.meshgrid(a, indexing="yx")
    with pytest.raises(ValueError, match="expected vectors"):
        tt.meshgrid(a)


def test_splits() -> None:
    x = tt.arange(7)
    assert [p.tolist() for p in x.tensor_split(3)] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [p.tolist() for p in x.tensor_split(tt.tensor([2, -2]))] == [[0, 1], [2, 3, 4], [5, 6]]
    assert [p.tolist() for p in x.tensor_split([5, 2, 9])] == [[0, 1, 2, 3, 4], [], [2, 3, 4, 5, 6], []]
    for call, message in (
        (lambda: x.hsplit(2), "does not divide into 2"), (lambda: x.vsplit(1), "at least 2"), (lambda: grid().dsplit(1), "at least 3"),
        (lambda: x.tensor_split(0), "positive"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            call()


def test_logspace() -> None:
    assert tt.logspace(-1, 2, 4, dtype=tt.float64).tolist() == [0.1, 1.0, 10.0, 100.0]
    assert tt.logspace(0, 3, 4, base=2).tolist() == [1, 2, 4, 8]
    with pytest.raises(ValueError, match="logspace"):
        tt.logspace(0, 1, -1)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: x.flip(2), IndexError, "flip: dim 2"), (lambda x: x.flip(0, -2), ValueError, "flip: dims .* twice"), (lambda x: x[0].fliplr(), ValueError, "fliplr"),
        (lambda x: x[0, 0].flipud(), ValueError, "flipud"), (lambda x: x.roll((1, 2), 0), ValueError, "2 shifts"), (lambda x: x.roll((1, 2)), ValueError, "2 shifts"),
        (lambda x: x.rot90(1, (0, 0)), ValueError, "twice"), (lambda x: x[0].rot90(), ValueError, "rot90"), (lambda x: x.select(0, 3), IndexError, "select: index 3"),
        (lambda x: x.select(0, -4), IndexError, "select: index -4"), (lambda x: x[0, 0].unbind(), IndexError, "unbind"), (lambda x: x.movedim((0, 1), 0), ValueError, "one length"),
        (lambda x: x.movedim((0, 0), (0, 1)), ValueError, "twice"), (lambda x: x[0].diagonal(), ValueError, "diag makes one"), (lambda x: x.diagonal(0, 1, 1), ValueError, "twice"),
        (lambda x: x[None].diag(), ValueError, "vector or a matrix"), (lambda x: x[None].trace(), ValueError, "trace"), (lambda x: x[0].tril(), ValueError, "tril"),
        (lambda x: x[0, 0].diag_embed(), ValueError, "diag_embed"), (lambda x: tt.hstack([]), ValueError, "hstack"), (lambda x: tt.block_diag(x[None]), ValueError, "block_diag"),
        (lambda x: x.view_as(x[0]), ValueError, "reshape|view"),
    ],
)  # fmt: skip
def test_refused(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        call(grid())


@pytest.mark.parametrize("dim", ["0", [0], 1.0, None])
def test_a_dim_that_is_no_whole_number_is_named(dim: Any) -> None:
    with pytest.raises(TypeError, match="unbind: expected a whole number as dim, got"):
        tt.unbind(tt.ones(2, 3), dim)


def test_more_sections_than_there_can_be() -> None:
    with pytest.raises(ValueError, match="tensor_split: expected a positive number of sections"):
        tt.tensor_split(tt.ones(3), 10**30)


def test_a_split_into_one_part_is_all_of_it() -> None:
    for split in (tt.hsplit, tt.vsplit, tt.dsplit):
        (part,) = split(tt.ones(2, 3, 4), 1)
        assert part.shape == (2, 3, 4)
