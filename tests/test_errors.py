"""Wrong calls: each error names the op, the shapes or values, and what to do or what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn

F = nn.functional
o = tt.ones


def leaf(*values: float) -> tt.Tensor:
    return tt.tensor(list(values), dtype=tt.float64, requires_grad=True)


def classes(*ids: int) -> tt.Tensor:
    return tt.tensor(list(ids))


def twice() -> None:
    y = (leaf(1) * leaf(2)).sum()
    y.backward()
    y.backward()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(128, 10))
        self.loss = nn.MSELoss()

    def forward(self, x: tt.Tensor) -> Any:
        return self.net(x)


BROADCAST = "cannot be broadcast together: sizes must be equal or 1, counted from the last dimension"

# a call, its exception, and what the message says, in this order
# fmt: off
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], tuple[str, ...]]] = {
    "add": (lambda: o(3) + o(4), ValueError, ("add: shapes (3,) and (4,)", BROADCAST)),
    "sub": (lambda: o(3) - o(4), ValueError, ("sub: shapes (3,) and (4,)", BROADCAST)),
    "mul": (lambda: o(2, 3) * o(3, 2), ValueError, ("mul: shapes (2, 3) and (3, 2)", BROADCAST)),
    "div": (lambda: o(3) / o(2), ValueError, ("div: shapes (3,) and (2,)", BROADCAST)),
    "pow": (lambda: o(3) ** o(2), ValueError, ("pow: shapes (3,) and (2,)", BROADCAST)),
    "maximum": (lambda: tt.maximum(o(3), o(4)), ValueError, ("maximum: shapes (3,) and (4,)", BROADCAST)),
    "where": (lambda: tt.where(o(3) > 0, o(3), o(4)), ValueError, ("where: shapes (3,) and (3,) and (4,)", BROADCAST)),
    "lt": (lambda: o(3) < o(4), ValueError, ("lt: shapes (3,) and (4,)", BROADCAST)),
    "logical_and": (lambda: tt.logical_and(o(3), o(4)), ValueError, ("logical_and: shapes (3,) and (4,)", BROADCAST)),
    "add_": (lambda: o(2).add_(o(3)), ValueError, ("add: shapes (2,) and (3,)", BROADCAST)),
    "add_ that grows": (lambda: o(2).add_(o(3, 2)), ValueError, ("add_: the result of shape (3, 2) does not fit in place into (2,)",)),
    "add_ of floats to integers": (lambda: classes(1).add_(0.5), TypeError, ("add_: a result of dtype float32", "int64")),
    "a name": (lambda: o(2) + "a", TypeError, ("add: expected a Tensor, ndarray or number, got str",)),
    "None": (lambda: o(2) * None, TypeError, ("mul: expected a Tensor, ndarray or number, got NoneType",)),
    "exp of a name": (lambda: tt.exp("a"), TypeError, ("exp: expected a Tensor, ndarray or number, got str",)),
    "clamp": (lambda: tt.clamp(o(2)), ValueError, ("clamp: at least one of min and max",)),
    "bool difference": (lambda: tt.tensor([True]) - tt.tensor([True]), TypeError, ("sub: bool", "logical_xor", ".to(tt.int64)")),
    "bool negative": (lambda: -tt.tensor([True]), TypeError, ("neg: bool", "logical_not", ".to(tt.int64)")),
    "integer power": (lambda: classes(2) ** classes(-1), ValueError, ("pow: integers to negative", ".to(tt.float32)")),
    "invert": (lambda: ~o(2), TypeError, ("bitwise_not: expected a bool or integer tensor, got float32",)),
    "matmul": (lambda: o(2, 3) @ o(2, 3), ValueError, ("matmul: shapes (2, 3) and (2, 3) do not fit: the last dimension of the first", "second-to-last of the second")),
    "matmul of vectors": (lambda: o(3) @ o(4), ValueError, ("matmul: shapes (3,) and (4,) do not fit: 3 against 4",)),
    "matmul of 0-d": (lambda: o(3) @ tt.tensor(2.0), ValueError, ("matmul: shapes (3,) and ()", "use *")),
    "matmul of a number": (lambda: o(2) @ 3, TypeError, ("matmul: expected two tensors, got Tensor and int; * multiplies by a number",)),
    "mm": (lambda: tt.mm(o(3), o(3, 3)), ValueError, ("mm: expected 2 and 2 dimensions, got shapes (3,) and (3, 3)",)),
    "bmm": (lambda: tt.bmm(o(2, 3, 4), o(3, 4, 2)), ValueError, ("bmm: batch sizes 2 and 3 differ",)),
    "dot": (lambda: tt.dot(o(3), o(4)), ValueError, ("dot: expected two vectors of one length, got (3,) and (4,)",)),
    "outer": (lambda: tt.outer(o(2, 2), o(2)), ValueError, ("outer: expected 1 and 1 dimensions, got shapes (2, 2) and (2,)",)),
    "linear": (lambda: F.linear(o(4, 3), o(2, 5)), ValueError, ("linear: expected input (*, in), weight (out, in) and bias (out), got input (4, 3), weight (2, 5)",)),
    "linear's bias": (lambda: F.linear(o(4, 3), o(2, 3), o(3)), ValueError, ("linear: expected", "bias (out)", "bias (3,)")),
    "sum": (lambda: o(2, 3).sum(2), IndexError, ("sum: dim 2 is out of range", "2 dimensions")),
    "sum twice": (lambda: o(2, 3).sum((0, 0)), ValueError, ("sum: dim (0, 0) names a dimension twice",)),
    "sum along a name": (lambda: tt.sum(o(3), dim="x"), TypeError, ("sum: expected dim as an int, a tuple of ints or None, got 'x'",)),
    "mean": (lambda: o(2, 3).mean(-3), IndexError, ("mean: dim -3 is out of range", "2 dimensions")),
    "mean of integers": (lambda: classes(1, 2).mean(), TypeError, ("mean: expected a float tensor, got int64", ".to(tt.float32)")),
    "amax of nothing": (lambda: o(0).amax(), ValueError, ("amax: cannot reduce over no elements: shape (0,)",)),
    "argmax of nothing": (lambda: o(0, 3).argmax(0), ValueError, ("argmax: cannot reduce over no elements: shape (0, 3), dim 0",)),
    "norm": (lambda: o(3).norm(p="x"), ValueError, ("norm: p must be a number, 'fro' or inf, got 'x'",)),
    "softmax": (lambda: o(3).softmax(1), IndexError, ("softmax: dim 1 is out of range", "1 dimensions")),
    "reshape": (lambda: o(2, 3).reshape(4), ValueError, ("reshape: 6 elements of shape (2, 3) do not fill shape (4,)",)),
    "reshape to a fraction": (lambda: o(3).reshape(1.5), TypeError, ("shape: expected sizes or dimensions as whole numbers, got (1.5,)",)),
    "reshape to fractions": (lambda: o(3).reshape(2, 1.5), TypeError, ("shape: expected sizes or dimensions as whole numbers, got (2, 1.5)",)),
    "view": (lambda: o(2, 3).T.view(6), ValueError, ("view: shape (6,)", "needs a copy; use reshape")),
    "permute": (lambda: o(2, 3).permute(0, 0), ValueError, ("permute: expected each of 2 dimensions once, got (0, 0)",)),
    "transpose": (lambda: o(2, 3).transpose(0, 2), IndexError, ("transpose: dim 2 is out of range for 2 dimensions",)),
    "t": (lambda: o(2, 3, 4).t(), ValueError, ("t: expected at most 2 dimensions, got shape (2, 3, 4); use permute",)),
    "squeeze": (lambda: o(2, 3).squeeze(2), IndexError, ("squeeze: dim 2 is out of range for 2 dimensions",)),
    "unsqueeze": (lambda: o(2, 3).unsqueeze(4), IndexError, ("unsqueeze: dim 4 is out of range for 3 dimensions",)),
    "flatten": (lambda: o(2, 3).flatten(1, 0), ValueError, ("flatten: start_dim 1 comes after end_dim 0",)),
    "unflatten": (lambda: o(2, 3).unflatten(1, (2, 2)), ValueError, ("unflatten: sizes (2, 2) do not multiply to 3",)),
    "expand": (lambda: o(2, 3).expand(2, 4), ValueError, ("expand: shape (2, 3) does not expand to (2, 4): only sizes of 1 may grow",)),
    "expand to fewer": (lambda: o(2, 3).expand(3), ValueError, ("expand: sizes (3,) do not fit shape (2, 3)",)),
    "broadcast_to": (lambda: o(2, 3).broadcast_to((3, 2)), ValueError, ("broadcast_to: shape (2, 3) cannot be broadcast to (3, 2)",)),
    "cat": (lambda: tt.cat([o(2, 3), o(2, 4)]), ValueError, ("cat: shapes [(2, 3), (2, 4)] must be equal but for dim 0",)),
    "cat of nothing": (lambda: tt.cat([]), ValueError, ("cat: expected at least one tensor",)),
    "stack": (lambda: tt.stack([o(2), o(3)]), ValueError, ("stack: expected one shape, got [(2,), (3,)]",)),
    "split": (lambda: o(4).split([1, 2]), ValueError, ("split: sizes [1, 2] must add up to 4, the size of dim 0",)),
    "chunk": (lambda: o(4).chunk(0), ValueError, ("chunk: expected a positive number, got 0",)),
    "narrow": (lambda: o(4).narrow(0, 3, 2), ValueError, ("narrow: 3 to 5 is outside size 4 of dim 0",)),
    "index": (lambda: o(4)[4], IndexError, ("index: index 4 is out of bounds for axis 0 with size 4 (shape (4,))",)),
    "index of two": (lambda: o(4)[0, 0], IndexError, ("index: too many indices", "(shape (4,))")),
    "index of tensors": (lambda: o(4)[classes(0, 9)], IndexError, ("index: index 9 is out of bounds for axis 0 with size 4",)),
    "index of floats": (lambda: o(4)[o(4)], TypeError, ("index: expected integers or bools, got float32",)),
    "mask": (lambda: o(4)[tt.tensor([True, False])], IndexError, ("index: boolean index did not match", "size of axis is 4", "axis is 2", "(shape (4,))")),
    "assignment": (lambda: o(4).__setitem__(slice(0, 2), o(3)), ValueError, ("assignment:", "(tensor (4,), value (3,))")),
    "gather": (lambda: tt.gather(o(2, 3), 1, tt.tensor([[5]])), IndexError, ("gather: index 5 is out of range for size 3",)),
    "gather by floats": (lambda: tt.gather(o(2, 3), 1, o(2, 3)), TypeError, ("gather: expected an integer index, got float32",)),
    "one_hot": (lambda: F.one_hot(classes(3), 3), IndexError, ("one_hot: index 3 is out of range for size 3",)),
    "masked_fill": (lambda: tt.masked_fill(o(3), tt.tensor([True] * 2), 0.0), ValueError, ("masked_fill: mask (2,) cannot be broadcast to (3,)",)),
    "dropout": (lambda: tt.dropout(o(2), 2.0), ValueError, ("dropout: p must be between 0 and 1, got 2.0",)),
    "cross_entropy's target": (lambda: F.cross_entropy(o(4, 3), classes(0, 1)), ValueError, ("cross_entropy: expected target of shape (4,) for input (4, 3) with classes in dim 1, got (2,)",)),
    "cross_entropy's column": (lambda: F.cross_entropy(o(64, 3), tt.zeros(64, 1, dtype=tt.int64)), ValueError, ("cross_entropy: expected target of shape (64,) for input (64, 3)", "got (64, 1)")),
    "cross_entropy's class": (lambda: F.cross_entropy(o(4, 3), classes(0, 1, 2, 3)), IndexError, ("cross_entropy: target 3 at row 3 is outside the 3 classes",)),
    "cross_entropy's probabilities": (lambda: F.cross_entropy(o(4, 3), o(4)), ValueError, ("cross_entropy: probabilities must have the input's shape (4, 3), got (4,)",)),
    "cross_entropy's weight": (lambda: F.cross_entropy(o(4, 3), classes(0, 1, 2, 0), weight=o(2)), ValueError, ("cross_entropy: expected weight of shape (3,), got (2,)",)),
    "cross_entropy's reduction": (lambda: F.cross_entropy(o(4, 3), classes(0, 1, 2, 0), reduction="avg"), ValueError, ("cross_entropy: reduction must be 'none', 'mean' or 'sum', got 'avg'",)),
    "nll_loss": (lambda: F.nll_loss(o(4, 3), tt.zeros(4, 1, dtype=tt.int64)), ValueError, ("nll_loss: expected target of shape (4,) for input (4, 3)", "got (4, 1)")),
    "mse_loss": (lambda: F.mse_loss(o(64, 1), o(64)), ValueError, ("mse_loss: input (64, 1) and target (64,) must have one shape, since losses do not broadcast; reshape",)),
    "mse_loss of a number": (lambda: F.mse_loss(o(3), 1.0), TypeError, ("mse_loss: expected target as a tensor, got float; use tt.full_like",)),
    "a layer": (lambda: nn.Linear(128, 10)(o(64, 256)), ValueError, ("Linear 128 -> 10: expected (*, 128), got (64, 256)",)),
    "a layer in a net": (lambda: Net()(o(64, 4)), ValueError, ("Net.net.2 (Linear 128 -> 10): expected (*, 128), got (64, 8)",)),
    "a loss in a net": (lambda: Net().loss(o(64, 1), o(64)), ValueError, ("MSELoss: mse_loss: input (64, 1) and target (64,)",)),
    "Flatten": (lambda: nn.Sequential(nn.Flatten(3))(o(2, 3)), IndexError, ("Sequential.0 (Flatten): flatten: dim 3 is out of range for 2 dimensions",)),
    "Dropout": (lambda: nn.Dropout(2), ValueError, ("dropout probability has to be between 0 and 1, but got 2",)),
    "backward of a vector": (lambda: leaf(1, 2).backward(), RuntimeError, ("backward: the gradient of a tensor of shape (2,) needs to be told: pass gradient=, or reduce it",)),
    "backward of a constant": (lambda: o(2).sum().backward(), RuntimeError, ("backward: this tensor does not require grad and has no history; set requires_grad=True",)),
    "backward of another shape": (lambda: (leaf(1, 2) * 2).backward(o(3)), RuntimeError, ("backward: expected a gradient of shape (2,), got (3,)",)),
    "backward twice": (twice, RuntimeError, ("backward through", "test_errors.py", "a second time", "retain_graph=True")),
    "grad of a vector": (lambda: tt.autograd.grad(leaf(1, 2) * 2, leaf(1)), RuntimeError, ("grad: the gradient of a tensor of shape (2,) needs to be told: pass grad_outputs=",)),
    "grad of what does not depend": (lambda: tt.autograd.grad(leaf(1) * 2, leaf(1)), RuntimeError, ("grad: the outputs do not depend on input 0 (shape (1,)); pass allow_unused=True",)),
    "grad of a constant": (lambda: tt.autograd.grad(leaf(1) * 2, o(1)), RuntimeError, ("grad: an input does not require grad",)),
    "integers with gradient": (lambda: tt.tensor([1], requires_grad=True), TypeError, ("requires_grad: only float32 and float64", "int64; use .to(tt.float32)")),
    "requires_grad_ of a result": (lambda: (leaf(1) * 2).requires_grad_(False), RuntimeError, ("requires_grad: this tensor was made by an op; use detach()",)),
    "in place on a leaf": (lambda: leaf(1).mul_(2), RuntimeError, ("mul_: a leaf that requires grad cannot be changed in place; do it under tt.no_grad()", "clone()")),
    "a gradient of another shape": (lambda: leaf(1).__setattr__("grad", o(3)), ValueError, ("grad: expected float64 (1,), got float32 (3,)",)),
    "data of another shape": (lambda: leaf(1).__setattr__("data", o(3)), ValueError, ("data: expected float64 (1,), got float32 (3,)",)),
    "numpy": (lambda: (leaf(1) * 2).numpy(), RuntimeError, ("numpy: this tensor requires grad; use t.detach().numpy()",)),
    "asarray": (lambda: np.asarray(leaf(1)), RuntimeError, ("numpy: this tensor requires grad; use t.detach().numpy()",)),
    "item": (lambda: leaf(1, 2).item(), ValueError, ("item: only a tensor with one element is a number, this has shape (2,)",)),
    "truth": (lambda: bool(o(2)), ValueError, ("shape (2,) is ambiguous: use .any() or .all()",)),
    "complex": (lambda: tt.tensor([1j]), TypeError, ("tensor: complex numbers are out of tinytensor's scope, got complex128",)),
    "to complex": (lambda: o(2).to("complex64"), TypeError, ("to: complex numbers are out of tinytensor's scope",)),
    "to int16": (lambda: o(2).to("int16"), TypeError, ("to: dtype int16 is not supported: use float32, float64, int64, bool or uint8",)),
    "to nonsense": (lambda: o(2).to("nonsense"), TypeError, ("to: 'nonsense' is no dtype: use float32, float64, int64, bool or uint8",)),
    "a tensor of words": (lambda: tt.tensor("abc"), TypeError, ("tensor: expected numbers, got", "str")),
    "uneven lists": (lambda: tt.tensor([[1, 2], [3]]), ValueError, ("tensor: the lists are uneven",)),
    "a negative size": (lambda: tt.zeros(-1), ValueError, ("negative size in shape (-1,)",)),
    "full of words": (lambda: tt.full((2,), "a"), TypeError, ("full: expected a number as fill_value, got 'a'",)),
    "eye": (lambda: tt.eye(-1), ValueError, ("eye: expected sizes >= 0, got -1",)),
    "arange": (lambda: tt.arange(0, 5, 0), ValueError, ("arange: step 0 does not lead from 0 to 5",)),
    "randint": (lambda: tt.randint(5, 2, (3,)), ValueError, ("randint: expected low < high, got 5 and 2",)),
    "no parameters": (lambda: tt.optim.SGD([], lr=0.1), ValueError, ("optimizer got an empty parameter list",)),
    "a result as a parameter": (lambda: tt.optim.SGD([leaf(1) * 2], lr=0.1), ValueError, ("can't optimize a non-leaf Tensor",)),
    "a wrong word": (lambda: tt.sum(o(3), axes=0), TypeError, ("sum()", "unexpected keyword argument 'axes'")),
}
# fmt: on


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_says_what_is_wrong(name: str) -> None:
    call, error, parts = WRONG[name]
    with pytest.raises(error) as e:
        call()
    assert type(e.value) is error
    assert re.search(".*".join(map(re.escape, parts)), str(e.value), re.DOTALL), str(e.value)


LOSSES = [getattr(F, n) for n in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits") if hasattr(F, n)]  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "shapes", [((64, 1), (64,)), ((64,), (64, 1)), ((64, 1), (1,)), ((3, 4), (4,)), ((), (1,))], ids=str
)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_refuse_to_broadcast(loss: Any, shapes: Any, reduction: str) -> None:
    a, b = (tt.full(s, 0.5) for s in shapes)
    with pytest.raises(ValueError, match=re.escape(str(shapes[0])) + ".*" + re.escape(str(shapes[1]))):
        loss(a, b, reduction=reduction)


def test_the_path_of_a_module_used_in_a_users_own_code() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.Sequential(nn.Sequential(nn.Identity(), nn.Linear(2, 3)))

        def forward(self, x: tt.Tensor) -> Any:
            y = self.parts[0](x)  # type: ignore[operator]
            return y + tt.ones(5)

    with pytest.raises(ValueError, match=r"^Own\.parts\.0\.1 \(Linear 2 -> 3\): expected \(\*, 2\), got \(4, 7\)$"):
        Own()(o(4, 7))
    with pytest.raises(ValueError, match=r"^Sequential\.0 \(Own\): add: shapes \(4, 3\) and \(5,\)"):
        nn.Sequential(Own())(o(4, 2))
