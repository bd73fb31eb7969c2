"""Anomaly mode: the first op whose result has NaN or inf that its operands had not is named, with all that helps to mend it."""

from __future__ import annotations

import math
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.anomaly import describe
from tinytensor.autograd import AnomalyError


def leaf(*values: float) -> tt.Tensor:
    return tt.tensor(list(values), dtype=tt.float32, requires_grad=True)


def line() -> int:
    return sys._getframe(1).f_lineno


# --------------------------------------------------------------------------------------------------------------- forward
def test_the_first_op_forward_is_named_with_line_and_ranges() -> None:
    x = leaf(1, 0, 4)
    with tt.detect_anomaly(), pytest.raises(AnomalyError) as e:
        y = x * 2
        tt.log(y)
    text, at = str(e.value), e.traceback[0].lineno + 1
    assert text.startswith(f"forward of log made inf of operands that have none\n  at {__file__}:{at}\n")
    assert "x: float32 (3,), min 0, max 8\n" in text
    assert "result: float32 (3,), min 0.693147, max 2.07944, 1 -inf (first at (1,))" in text


MAKERS: dict[str, tuple[Any, str]] = {
    "log": (lambda x: tt.log(x - 1), "inf"), "sqrt": (lambda x: tt.sqrt(x - 2), "NaN"), "div": (lambda x: x / (x - 1), "inf"),
    "exp": (lambda x: tt.exp(x * 1000), "inf"), "matmul": (lambda x: (x * 3e38).reshape(1, 2) @ tt.ones(2, 2), "inf"), "sum": (lambda x: tt.sum(x * 3e38), "inf"),
    "pow": (lambda x: (x - 2) ** 0.7, "NaN"), "mean": (lambda x: tt.mean(x[2:]), "NaN"),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("recorded", [True, False])
def test_what_makes_nan_and_inf(name: str, recorded: bool) -> None:
    make, kind = MAKERS[name]
    x = tt.tensor([1.0, 1.0], requires_grad=recorded)
    make(x)
    with tt.detect_anomaly(), pytest.raises(AnomalyError, match=f"forward of {name}.* made {kind} of operands"):
        make(x)


def test_a_module_whose_forward_is_an_op_is_named() -> None:
    class Logarithm(nn.Module):
        forward = staticmethod(tt.log)  # type: ignore[assignment]

    model = nn.Sequential(nn.ReLU(), Logarithm())
    with tt.detect_anomaly(), pytest.raises(AnomalyError, match=r"1.*Logarithm"):
        model(leaf(1, 0))


def test_cat_and_ops_of_many_inputs_only_pass_on() -> None:
    x = tt.tensor([math.inf, 1.0])
    with tt.detect_anomaly():
        assert tt.cat([x, x]).numel() == 4


def test_what_came_in_is_no_ops_fault() -> None:
    x = tt.tensor([math.nan, math.inf, 1.0], requires_grad=True)
    with tt.detect_anomaly():
        y = (x * 2 + 1).reshape(3, 1)
        assert math.isnan(y[0].item())
        with pytest.raises(
            AnomalyError,
            match=r"backward: it starts from NaN \(float32 \(\), NaN, made by sum at .*finite operands.*data",
        ):
            y.sum().backward()
        with pytest.raises(AnomalyError, match="grad: it starts from NaN"):
            tt.autograd.grad(y.sum(), x)


def test_nan_of_infinities_is_new() -> None:
    x = tt.tensor([math.inf, 1.0])
    with tt.detect_anomaly(), pytest.raises(AnomalyError, match="forward of sub made NaN"):
        x - x


def test_a_mask_of_minus_infinity_is_no_anomaly() -> None:
    x, mask = tt.randn(4, 4, requires_grad=True), tt.tensor(np.triu(np.ones((4, 4), bool), 1))
    with tt.detect_anomaly():
        for masked in (
            tt.where(mask, -math.inf, x),
            tt.masked_fill(x, mask, -math.inf),
            x + tt.tensor(np.where(mask, -np.inf, 0).astype(np.float32)),
        ):
            p = tt.softmax(masked, 1)
            (p * p).sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_a_branch_not_taken() -> None:
    """log(0) in a dead branch is still an op that made inf; check_inf=False lets it be, and backward is clean."""
    x = leaf(0, 2)
    with tt.detect_anomaly(), pytest.raises(AnomalyError, match="forward of log"):
        tt.where(x > 0, tt.log(x), 0.0)
    with tt.detect_anomaly(check_inf=False):
        tt.where(x > 0, tt.log(x), 0.0).sum().backward()
    assert x.grad.tolist() == [0, 0.5]


def test_each_check_alone() -> None:
    zero = tt.zeros(1)
    with tt.detect_anomaly(check_inf=False):
        inf = 1 / zero
        with pytest.raises(AnomalyError, match="div made NaN"):
            zero / zero
    with tt.detect_anomaly(check_nan=False):
        zero / zero
        with pytest.raises(AnomalyError, match="div made inf"):
            1 / zero
    assert inf.item() == math.inf
    with tt.set_detect_anomaly(True, check_inf=False):
        1 / zero
        with pytest.raises(AnomalyError, match="div made NaN"):
            zero / zero
    with tt.set_detect_anomaly(True, check_nan=False):
        zero / zero
        with pytest.raises(AnomalyError, match="div made inf"):
            1 / zero


def test_large_finite_sums_are_no_anomaly() -> None:
    """The quick check adds all elements, which may overflow where none is infinite."""
    x = tt.full((100,), 3e38)
    with tt.detect_anomaly():
        assert (x * 1).tolist() == x.tolist()
        assert (x.reshape(10, 10).T * tt.ones(10, 10)).shape == (10, 10)
        assert tt.zeros(0).exp().shape == (0,)
        tt.tensor([1, 2]) + 1


# -------------------------------------------------------------------------------------------------------------- backward
def test_the_first_op_backward_is_named_with_the_line_that_made_it() -> None:
    x = leaf(4, 0)
    with tt.detect_anomaly():
        y = x * 1
        z, at = tt.sqrt(y), line()
        end = (z * 3).sum()
        with pytest.raises(AnomalyError) as e:
            end.backward()
    text = str(e.value)
    assert text.startswith(f"backward of sqrt made inf of operands that have none\n  at {__file__}:{at}\n")
    assert "upstream gradient: float32 (2,), min 3, max 3\n" in text
    assert "out: float32 (2,), min 0, max 2\n" in text
    assert "gradient of x: float32 (2,), min 0.75, max 0.75, 1 inf (first at (1,))" in text


def test_backward_alone_may_be_watched_and_grad_too() -> None:
    x = leaf(4, 0)
    for create_graph in (False, True):
        end = tt.sqrt(x).sum()
        with tt.detect_anomaly(), pytest.raises(AnomalyError, match="backward of sqrt made inf"):
            tt.autograd.grad(end, x, create_graph=create_graph)
    tt.sqrt(x).sum().backward()
    assert x.grad.tolist() == [0.25, math.inf]


def test_forward_is_watched_again_after_a_backward() -> None:
    x = leaf(1, 4)
    with tt.detect_anomaly():
        (x * x).sum().backward()
        with pytest.raises(AnomalyError, match="forward of log"):
            tt.log(x - 1)
        with pytest.raises(AnomalyError, match="backward of sqrt"):
            tt.sqrt(x - 1).sum().backward()
        with pytest.raises(AnomalyError, match="forward of log"):
            tt.log(x - 1)


def test_gradients_are_the_same_bits_in_anomaly_mode() -> None:
    def step() -> list[Any]:
        tt.manual_seed(0)
        net = nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 4))
        x, y = tt.randn(8, 20), tt.randint(4, (8,))
        for _ in range(2):
            nn.functional.cross_entropy(net(x), y).backward()
        return [p.grad.tolist() for p in net.parameters()]

    plain = step()
    with tt.detect_anomaly():
        assert step() == plain


def test_an_optimizers_step_is_named() -> None:
    for make, name in ((lambda p: tt.optim.SGD(p, lr=1e30), "SGD"), (lambda p: tt.optim.Adam(p, lr=1e39), "Adam")):
        w = leaf(1, 2)
        optimizer = make([w])
        (w * 1e20).sum().backward()
        with (
            tt.detect_anomaly(),
            pytest.raises(
                AnomalyError, match=rf"{name}'s step made (NaN and )?inf.*\n  at .*test_anomaly.py(.|\n)*parameter 0"
            ),
        ):
            optimizer.step()


def test_an_anomaly_in_one_group_leaves_no_group_half_stepped() -> None:
    a, b = leaf(-3e38), leaf(1)
    optimizer = tt.optim.Adam([{"params": [a], "lr": 3e38}, {"params": [b], "lr": 0.5}])
    a.grad, b.grad = tt.ones(1), tt.ones(1)
    with tt.detect_anomaly(), pytest.raises(AnomalyError, match="Adam's step made inf"):
        optimizer.step()
    assert [state["step"] for state in optimizer.state.values()] == [1, 1]
    assert b.item() == pytest.approx(0.5)


# --------------------------------------------------------------------------------------------------------------- modules
class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 2), nn.ReLU()))

    def forward(self, x: tt.Tensor) -> Any:
        return self.net(x)


def test_the_module_is_named_forward() -> None:
    model = Block()
    with tt.no_grad():
        model.net[1][0].weight.fill_(3e38)
        model.net[0].bias.fill_(10.0)
    with (
        tt.detect_anomaly(),
        pytest.raises(
            AnomalyError,
            match=r"forward of linear\w* made (inf|NaN and inf) .*\n.*\n  in module Block\.net\.1\.0 \(Linear 3 -> 2\)",
        ) as e,
    ):
        model(tt.zeros(4, 3))
    assert "weight: float32 (2, 3), min 3e+38, max 3e+38" in str(e.value)
    assert not hasattr(e.value, "__notes__")


def test_the_module_is_named_backward() -> None:
    class Root(nn.Module):
        def forward(self, x: tt.Tensor) -> Any:
            return tt.sqrt(x)

    x = leaf(1, 0)
    net = nn.Sequential(nn.Identity(), Root())
    with tt.detect_anomaly():
        end = net(x).sum()
        with pytest.raises(AnomalyError, match=r"backward of sqrt .*\n.*\n  in module Sequential\.1 \(Root\)\n"):
            end.backward()


# ------------------------------------------------------------------------------------------------------------------ mode
def test_the_mode_is_put_back_and_is_each_threads_own() -> None:
    assert not tt.is_anomaly_enabled()
    seen = []
    mode = tt.detect_anomaly()
    with mode:
        with tt.detect_anomaly(check_nan=False), mode:
            assert tt.is_anomaly_enabled()
        t = threading.Thread(target=lambda: seen.append(tt.is_anomaly_enabled()))
        t.start()
        t.join()
        assert tt.is_anomaly_enabled()
    assert seen == [False]
    with pytest.raises(ZeroDivisionError), tt.detect_anomaly():
        raise ZeroDivisionError
    assert not tt.is_anomaly_enabled()


def test_set_detect_anomaly_and_the_decorator() -> None:
    try:
        tt.autograd.set_detect_anomaly(True)
        assert tt.is_anomaly_enabled()
        with tt.set_detect_anomaly(False):
            tt.log(tt.zeros(1))
        assert tt.is_anomaly_enabled()
    finally:
        tt.set_detect_anomaly(False)
    assert not tt.is_anomaly_enabled()

    @tt.autograd.detect_anomaly()
    def watched() -> Any:
        return tt.log(tt.zeros(1))

    for _ in range(2):
        with pytest.raises(RuntimeError, match="forward of log"):
            watched()
    assert not tt.is_anomaly_enabled()


def test_off_it_keeps_nothing() -> None:
    from tinytensor.anomaly import _modules

    net = nn.Sequential(nn.Linear(2, 2))
    node = net(tt.ones(1, 2)).grad_fn
    assert node not in _modules
    with tt.detect_anomaly():
        node = net(tt.ones(1, 2)).grad_fn
    assert [type(m).__name__ for m in _modules[node]] == ["Sequential", "Linear"]
    held = [weakref.ref(m) for m in _modules[node]]
    del node, net
    assert [r() for r in held] == [None, None]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([1, np.nan, np.inf, -np.inf, np.nan], np.float32), "float32 (5,), min 1, max 1, 2 NaN (first at (1,)), 1 inf (first at (2,)), 1 -inf (first at (3,))"),
        (np.array(np.nan), "float64 (), NaN"), (np.zeros((0, 2)), "float64 (0, 2)"), (np.array([3, 1]), "int64 (2,), min 1, max 3"), (2.5, "2.5"), (None, "None"),
    ],
)  # fmt: skip
def test_describe(value: Any, text: str) -> None:
    assert describe(value) == text
