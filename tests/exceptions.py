"""The page of exceptions, made by making the calls: `python tests/exceptions.py` writes docs/exceptions.md anew.

A probe is an expression, under the function that it is about; what it raises, and the words, are those of the run. A test checks
that the page is up to date, and that each exception that a docstring names is raised by a probe of its function."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import tinytensor as tt
from tinytensor import nn

PAGE = Path(__file__).parents[1] / "docs" / "exceptions.md"
HEAD = """# Which exception when

Made by `python tests/exceptions.py`, which makes each call below and writes down what it raises; a test fails when the page is out
of date, or when a docstring names an exception of which no call here is an example.

## Rules that hold for all

| exception | when |
| --- | --- |
| `TypeError` | an argument of another kind than asked for: a string, a list or `None` for a tensor, a fraction as a size or a dimension; an unknown keyword; a dtype that is not float32, float64, int64, bool or uint8, or not one that the function takes (floats for bits, integers for a mean) |
| `ValueError` | the right kind, and no such value: shapes that do not broadcast or fit, sizes that do not add up, a probability above 1, an unknown word, a dimension named twice, the largest of no elements |
| `IndexError` | a dimension, an index or a class out of range |
| `ZeroDivisionError` | an integer divided by 0 where the result is an integer; floats give inf or NaN |
| `OverflowError` | a whole number beyond 64 bits where an integer is asked for |
| `MemoryError`, or `ValueError` from NumPy | a result that no memory can hold: `tt.zeros(2**40)`, `tt.ones(1).expand(2**62).clone()`; nothing is lost, and everything works after it |
| `RuntimeError` | the right arguments in the wrong state: backward through a freed graph, a leaf that requires grad changed in place, `.numpy()` of a tensor that requires grad, another device than the CPU |
| `OSError` | a file that cannot be read or written |
| `ImportError` | a package that is not installed, with the name of the extra that brings it |
| `AttributeError` | a method of Tensor that is called on something else: `tt.Tensor.size(2)` |
| `tt.linalg.LinAlgError` | a matrix that is singular, or not positive definite; it is a `RuntimeError` and NumPy's `LinAlgError` |

Every method whose name ends in `_`, and `+=` and the like, raise `RuntimeError` for a leaf that requires grad (do it under
`tt.no_grad()`), and what the function without `_` raises; a result that does not fit in place is a `ValueError` (its shape) or a
`TypeError` (its dtype). A wrong call inside a module is told with the module's path in front.

Below, `o` is `tt.ones`, `ids(...)` is a tensor of integers, `leaf(...)` is a float64 tensor that requires grad, `net` is
`nn.Linear(2, 2)`, `sgd` is an optimizer of its parameters with `lr=0.1`.
"""

GENERAL = """
tt.exp("a"); tt.add(o(3), "a"); tt.mul(o(3), None); tt.sum(o(3), axes=0); tt.add(o(3), o(4)); tt.sum(o(2, 3), 2); tt.sum(o(2, 3), (0, 0)); tt.reshape(o(3), 1.5); tt.sum(o(3), dim="x")
o(2).to("int16"); o(2).to("cuda"); tt.flip(None, 0); tt.cat([1.0]); tt.cat("a"); tt.numel(x=2); tt.Tensor.size(2); o(2).bernoulli_(generator=2); o(3)[5]; o(3)[o(3)]; ids(1) + 2**70; ids(1) // 0; leaf(1).add_(1); o(2).add_(o(3)); o(2).add_(o(3, 2)); ids(1).add_(0.5)
"""

PROBES = {
    "Making tensors": """
tt.tensor([[1, 2], [3]]); tt.tensor("abc"); tt.tensor([1j]); tt.tensor([1], requires_grad=True); tt.from_numpy([1.0]); tt.from_numpy(np.zeros(2, "int16")); tt.zeros(-1); tt.full((2,), "a"); tt.arange(0, 5, 0)
tt.linspace(0, 1, -1); tt.eye(-1); tt.frombuffer(b"123", dtype=tt.float32); tt.frombuffer(3, dtype=tt.uint8); tt.from_dlpack(3); tt.from_dlpack(Elsewhere()); tt.set_default_dtype("int64"); tt.device("cuda"); tt.broadcast_shapes((2,), (3,))
tt.bernoulli(o(2) * 2); tt.multinomial(o(3), 4); tt.multinomial(ids(1, 2), 1); tt.normal(0.0, -o(2)); tt.normal(0.0, -1.0, (2,)); tt.randint(5, 2, (3,)); tt.randperm(2.5); tt.randperm(-1); tt.set_num_threads(0); tt.threads(0); tt.set_flush_denormal(1); tt.name(3, "x"); tt.name(o(1), "a\\nb"); tt.custom_vjp(3)
tt.load("nowhere"); tt.load("damaged"); tt.save({"a": object()}, "a"); tt.save(itself, "a"); tt.save(o(1), "/nowhere/a"); tt.save({1: o(1)}, "a.npz")
""",
    "Arithmetic": """
tt.sub(bools, bools); tt.div(ids(1), 0, rounding_mode="floor"); tt.div(o(2), 2, rounding_mode="up"); tt.pow(ids(2), ids(-1)); tt.neg(bools); tt.positive(bools); tt.bitwise_and(o(2), o(2)); tt.bitwise_or(o(2), o(2)); tt.bitwise_xor(o(2), o(2)); tt.bitwise_not(o(2))
tt.bitwise_left_shift(o(2), 1); tt.bitwise_right_shift(o(2), 1); tt.gcd(o(2), 1); tt.lcm(o(2), 1); tt.floor_divide(ids(1), 0); tt.fmod(ids(1), 0); tt.remainder(ids(1), 0); tt.round(ids(1), decimals=1); tt.isclose(o(2), o(2), rtol=-1.0); tt.lerp(ids(1), ids(2), 0.5)
tt.clamp(o(2)); tt.where(o(3), o(3), o(3))
""",
    "Reductions and statistics": """
tt.mean(ids(1, 2)); tt.amax(o(0)); tt.amin(o(0)); tt.max(o(0, 2), 0); tt.argmax(o(0)); tt.var(ids(1, 2)); tt.norm(o(3), p="x"); tt.median(o(0, 2), 0); tt.median(ids()); tt.mode(o(0, 2), 0); tt.quantile(o(3), 2.0); tt.quantile(ids(1), 0.5); tt.nanmean(ids(1))
tt.cov(o(2, 2, 2)); tt.cov(ids(1, 2)); tt.corrcoef(o(2, 2, 2)); tt.corrcoef(ids(1, 2)); tt.diff(o()); tt.topk(o(3), 4); tt.kthvalue(o(3), 0); tt.bincount(ids(-1)); tt.bincount(o(2)); tt.trapezoid(o()); tt.searchsorted(o(3), o(3), side="middle")
""",
    "Products": """
tt.matmul(o(2, 3), o(2, 3)); tt.matmul(o(3), 2.0); tt.mm(o(3), o(3, 3)); tt.bmm(o(2, 3, 4), o(3, 4, 2)); tt.dot(o(3), o(4)); tt.outer(o(2, 2), o(2)); tt.linear(o(4, 3), o(2, 5)); tt.einsum("ij,jk", o(2, 3)); tt.einsum("ij,jk", o(2, 3), o(4, 2)); tt.tensordot(o(2), o(3), 1); tt.cross(o(2), o(2)); tt.addmm(o(5), o(2, 3), o(3, 4))
""",
    "Shapes": """
tt.reshape(o(2, 3), 4); tt.view(o(2, 3).T, 6); tt.permute(o(2, 3), 0, 0); tt.transpose(o(2, 3), 0, 2); tt.t(o(2, 3, 4)); tt.flatten(o(2, 3), 1, 0); tt.unflatten(o(2, 3), 1, (2, 2)); tt.expand(o(2, 3), 2, 4); tt.cat([o(2, 3), o(2, 4)]); tt.cat([]); tt.stack([o(2), o(3)]); tt.split(o(4), [1, 2])
tt.chunk(o(4), 0); tt.narrow(o(4), 0, 3, 2); tt.fliplr(o(3)); tt.flipud(o()); tt.roll(o(3), (1, 2), 0); tt.repeat(o(2, 3), 2); tt.repeat_interleave(o(3), -1); tt.pad(o(3), (1,)); tt.pad(o(3), (3, 0), mode="reflect"); tt.unfold(o(3), 0, 4, 1); tt.diag(o(2, 2, 2)); tt.trace(o(3)); tt.hsplit(o(5), 2); tt.vsplit(o(3), 3); tt.dsplit(o(2, 2), 2)
""",
    "Indices": """
tt.gather(o(2, 3), 1, ids([5])); tt.gather(o(2, 3), 1, o(2, 3)); tt.index_select(o(3), 0, ids(7)); tt.masked_fill(o(3), bools, 0.0); tt.masked_fill(ids(1), bools[:1], float("nan")); tt.masked_scatter(o(2), bools, o(0)); tt.scatter(o(3), 0, ids(0)); tt.put(o(3), ids(0), ids(1)); tt.one_hot(ids(3), 3); tt.embedding(ids(7), o(3, 2)); tt.embedding(o(2), o(3, 2)); tt.embedding(ids(0), o(3))
""",
    "Activations, normalization, attention": """
tt.gelu(o(2), approximate="x"); tt.dropout(o(2), 2.0); tt.dropout1d(o(2), 0.5); tt.dropout2d(o(2), 0.5); tt.alpha_dropout(o(2), 2.0); tt.hardtanh(o(2), 1.0, -1.0); tt.celu(o(2), 0.0); tt.softshrink(o(2), -1.0); tt.prelu(o(2, 3), o(2)); tt.rrelu(o(2), 0.5, 0.2); tt.glu(o(3)); tt.glu(o(4), 2); tt.maxout(o(2, 3), 2); tt.gumbel_softmax(o(3), 0.0); tt.softmax(o(3), 1)
tt.layer_norm(o(2, 3), 4); tt.layer_norm(ids(1, 2), 2); tt.batch_norm(o(2, 3), o(2), o(2)); tt.batch_norm(ids([1], [2]), None, None, training=True); tt.group_norm(o(2, 3), 2); tt.group_norm(ids([1, 2]), 1); tt.instance_norm(o(2, 3)); tt.cosine_similarity(o(2, 3), o(2, 4))
tt.scaled_dot_product_attention(o(2, 3), o(2, 4), o(2, 3)); tt.scaled_dot_product_attention(ids([1]), ids([1]), ids([1]))
""",
    "Convolution and pooling": """
tt.conv1d(o(1, 2, 5), o(3, 4, 2)); tt.conv1d(ids([[1, 2]]), ids([[1]])); tt.conv2d(o(1, 2, 5, 5), o(3, 4, 2, 2)); tt.conv2d(ids([[[1, 2]]]), ids([[[1]]])); tt.conv_transpose1d(o(1, 2, 5), o(3, 4, 2)); tt.conv_transpose2d(o(1, 2, 5, 5), o(3, 4, 2, 2))
tt.max_pool1d(o(1, 2, 3), 4); tt.max_pool1d(o(1, 2, 3).to(tt.int64), 2); tt.max_pool2d(o(1, 2, 3, 3), 4); tt.max_pool2d(o(1, 2, 3, 3).to(tt.int64), 2); tt.avg_pool1d(o(1, 2, 3), 4); tt.avg_pool2d(o(1, 2, 3, 3), 4); tt.adaptive_avg_pool1d(o(1, 2, 0), 1); tt.adaptive_avg_pool2d(o(1, 2, 0, 1), 1); tt.adaptive_max_pool1d(o(1, 2, 0), 1); tt.adaptive_max_pool2d(o(1, 2, 0, 1), 1)
""",
    "Losses": """
tt.mse_loss(o(64, 1), o(64)); tt.mse_loss(o(3), 1.0); tt.cross_entropy(o(4, 3), ids(0, 1)); tt.cross_entropy(o(1, 3), ids(3)); tt.nll_loss(o(4, 3), ids([0])); tt.smooth_l1_loss(o(2), o(2), beta=-1.0); tt.huber_loss(o(2), o(2), delta=0.0); tt.binary_cross_entropy(o(2) * 2, o(2)); tt.gaussian_nll_loss(o(2), o(2), -o(2)); tt.multi_margin_loss(o(1, 3), ids(3)); tt.cosine_embedding_loss(o(2, 3), o(2, 3), ids(1)); tt.l1_loss(o(2), o(2), reduction="avg")
""",
    "Linear algebra": """
tt.det(o(2, 3)); tt.slogdet(o(2, 3)); tt.inverse(o(2, 2)); tt.inverse(o(2, 3)); tt.cholesky(-o(2, 2)); tt.linalg.solve(o(2, 2), o(2)); tt.linalg.solve_triangular(tt.zeros(2, 2), o(2, 1), upper=True); tt.linalg.cond(o(2, 2, 2), 1); tt.linalg.cond(o(2)); tt.linalg.qr(o(3)); tt.linalg.qr(leaf([1], [2]), "complete").Q.sum().backward(); tt.linalg.qr(leaf([0, 0, 2], [0, 0, 3])).R.sum().backward(); tt.linalg.svd(leaf([1], [2])).U.sum().backward(); tt.slogdet(leaf([1, 1], [1, 1])).logabsdet.backward(); tt.det: second(tt.det, leaf([1, 1], [1, 1]))
""",
    "Metrics": """
tt.metrics.accuracy(o(3), ids(1)); tt.metrics.confusion_matrix(ids(0, 5), ids(0, 1), 2); tt.metrics.mean_absolute_error(o(2), o(3)); tt.metrics.mean_squared_error(o(2), o(3)); tt.metrics.r2_score(o(2), o(3)); tt.metrics.top_k_accuracy(o(2, 3), ids(0, 1), 4); tt.metrics.precision(ids(0), ids(0), "best")
""",
    "Gradients": """
Tensor.backward: (leaf(1, 2) * 2).backward(); Tensor.backward: o(2).sum().backward(); Tensor.backward: again(); Tensor.requires_grad_: ids(1).requires_grad_(); Tensor.requires_grad_: (leaf(1) * 2).requires_grad_(False); Tensor.register_hook: o(1).register_hook(print); Tensor.register_post_accumulate_grad_hook: (leaf(1) * 2).register_post_accumulate_grad_hook(print); Tensor.retain_grad: o(1).retain_grad(); Tensor.explain: o(1).explain()
tt.autograd.backward(leaf(1, 2) * 2); tt.autograd.backward([leaf(1)], [o(1), o(1)]); tt.autograd.grad(leaf(1) * 2, leaf(1)); tt.autograd.grad([leaf(1)], leaf(1), [o(1), o(1)]); tt.autograd.checkpoint: changed_before_backward(); tt.func.jacobian(lambda x: x.flip(0), diagonal=True)(o(2)); tt.func.jacobian(lambda x: 2 * x)(o(2**22))
tt.func.value_and_grad(lambda x: x)(o(2)); tt.func.value_and_grad(lambda x: 1)(leaf(1)); tt.func.vjp(lambda x: x, o(2))[1](o(3)); tt.testing.gradcheck(lambda x: x, o(2)); tt.testing.assert_close(o(2), o(2), rtol=1.0)
""",
    "Tensor to Python": """
Tensor.item: o(2).item(); Tensor.numpy: leaf(1).numpy(); Tensor.to: o(1).to("cuda"); Tensor.to: o(1).to("nonsense"); bool: bool(o(2)); len: len(o()); iter: iter(o()); Tensor.uniform_: ids(1).uniform_(); Tensor.normal_: ids(1).normal_(); Tensor.data: leaf(1).__setattr__("data", o(3)); Tensor.grad: leaf(1).__setattr__("grad", o(3))
""",
    "Modules": """
nn.Linear(-1, 2); nn.Linear(128, 10)(o(64, 256)); nn.BatchNorm1d(3)(o(2, 4)); nn.Conv1d(3, 4, 2, groups=2); nn.Conv2d(3, 4, 2, groups=2); nn.ConvTranspose1d(3, 4, 2, groups=2); nn.Dropout(2); nn.Embedding(3, 2)(ids(7)); nn.GroupNorm(2, 3); nn.MLP([3]); nn.Maxout(2, 3, 0); nn.Parameter(ids(1)); nn.Sequential(nn.Linear(4, 8), nn.Linear(9, 2))(o(1, 4))
nn.init.dirac_(o(2)); nn.init.eye_(o(2)); nn.init.kaiming_normal_(o(2)); nn.init.kaiming_uniform_(o(2)); nn.init.normal_(o(2), 0.0, -1.0); nn.init.orthogonal_(o(2)); nn.init.sparse_(o(2), 0.5); nn.init.trunc_normal_(o(2), 0.0, 1.0, 2.0, 1.0); nn.init.uniform_(o(2), 1.0, 0.0); nn.init.xavier_normal_(o(2)); nn.init.xavier_uniform_(o(2))
nn.utils.clip_grad_norm_(infinite(), 1.0, error_if_nonfinite=True); nn.utils.get_total_norm([tt.tensor([float("inf")])], error_if_nonfinite=True); nn.utils.vector_to_parameters(o(1), net.parameters()); nn.utils.vector_to_parameters([1.0], net.parameters())
""",
    "Optimizers and schedules": """
tt.optim.SGD([], lr=0.1); tt.optim.SGD([leaf(1) * 2], lr=0.1); tt.optim.SGD([leaf(1)], lr=-1.0); tt.optim.Adadelta([leaf(1)], lr=-1.0); tt.optim.Adagrad([leaf(1)], lr=-1.0); tt.optim.Adam([leaf(1)], betas=(1.0, 0.9)); tt.optim.Adamax([leaf(1)], lr=-1.0); tt.optim.Lion([leaf(1)], lr=-1.0); tt.optim.NAdam([leaf(1)], lr=-1.0); tt.optim.RAdam([leaf(1)], lr=-1.0); tt.optim.RMSprop([leaf(1)], lr=-1.0); tt.optim.LBFGS([leaf(1)], lr=-1.0)
tt.optim.lr_scheduler.LRScheduler(3); tt.optim.lr_scheduler.LRScheduler(sgd, 5); tt.optim.lr_scheduler.LambdaLR(sgd, 3); tt.optim.lr_scheduler.LambdaLR(sgd, [abs, abs]); tt.optim.lr_scheduler.StepLR(sgd, 0); tt.optim.lr_scheduler.ConstantLR(sgd, 2.0); tt.optim.lr_scheduler.LinearLR(sgd, 2.0); tt.optim.lr_scheduler.PolynomialLR(sgd, 0); tt.optim.lr_scheduler.CosineAnnealingLR(sgd, 0); tt.optim.lr_scheduler.CosineAnnealingWarmRestarts(sgd, 0); tt.optim.lr_scheduler.CyclicLR(sgd, 0.1, 1.0, mode="x")
tt.optim.lr_scheduler.OneCycleLR(sgd, 1.0); tt.optim.lr_scheduler.ReduceLROnPlateau(sgd, mode="x"); tt.optim.lr_scheduler.ChainedScheduler([]); tt.optim.lr_scheduler.SequentialLR(sgd, [], [])
""",
}


class Elsewhere:
    """An array on another device."""

    def __dlpack__(self, **how: Any) -> Any:
        raise AssertionError

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


def around() -> dict[str, Any]:
    """What the probes are made of; new for each, for some change it."""
    net = nn.Linear(2, 2)
    bad = [nn.Parameter(tt.ones(1))]
    bad[0].grad = tt.tensor([float("inf")])

    def leaf(*values: Any) -> tt.Tensor:
        return tt.tensor(list(values), dtype=tt.float64, requires_grad=True)

    def again() -> None:
        y = (leaf(1) * leaf(2)).sum()
        y.backward()
        y.backward()

    def second(f: Any, x: tt.Tensor) -> None:
        (g,) = tt.autograd.grad(f(x), x, create_graph=True)
        g.sum().backward()

    def changed() -> None:
        a = tt.ones(2)
        y = tt.autograd.checkpoint(lambda x: x * a, leaf(1, 2))
        a.add_(1)
        y.sum().backward()

    itself: dict[str, Any] = {}
    itself["a"] = itself

    def ids(*values: Any) -> tt.Tensor:
        return tt.tensor(list(values), dtype=tt.int64)

    return {
        "tt": tt, "nn": nn, "np": np, "o": tt.ones, "ids": ids, "leaf": leaf, "again": again, "net": net, "bools": tt.tensor([True, False]), "Elsewhere": Elsewhere,
        "second": second, "changed_before_backward": changed, "itself": itself, "sgd": tt.optim.SGD(net.parameters(), lr=0.1), "infinite": lambda: bad,
    }  # fmt: skip


def listed(text: str) -> Iterator[tuple[str, str]]:
    """(function, call) of each probe."""
    for probe in re.split(r";\s|\n", text.strip()):
        named = re.match(r"([\w.]+): (.*)", probe)
        call = named[2] if named else probe
        yield (named[1] if named else call.partition("(")[0]), call.rstrip(";")


@functools.cache
def raised(call: str) -> Exception | None:
    """What a call raises, in a folder of its own with a damaged file."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("damaged").write_bytes(b"not a file of tensors")
        try:
            eval(call, around())
        except Exception as e:
            return e.with_traceback(None)
        finally:
            os.chdir(before)
    return None


BORROWED = ("o(3)[5]", "tt.tensor([[1, 2], [3]])", "ids(1) + 2**70", "tt.sum(o(3), axes=0)")
"""Calls whose words are in part NumPy's or Python's, and so another version's are others."""


def line(function: str, call: str) -> str:
    e = raised(call)
    words = re.sub(r" \(made at [^)]*\)", "", str(e).split("\n")[0]) if call not in BORROWED else ""
    words = words.replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
    words = words if len(words) < 160 else words[:150].rsplit(" ", 1)[0] + " ..."
    shown = call.replace("|", "\\|")
    return f"| `{function}` | `{shown}` | `{type(e).__name__ if e else 'nothing'}` | {words} |"


def page() -> str:
    """The whole page."""
    head = "| function | call | exception | its words |\n| --- | --- | --- | --- |"
    parts = [HEAD, "## Examples of the rules\n", "| call | exception | its words |\n| --- | --- | --- |"]
    parts += ["| " + line("", call).split(" | ", 1)[1] for _, call in listed(GENERAL)]
    for title, text in PROBES.items():
        parts += [f"\n## {title}\n", head, *(line(f, call) for f, call in sorted(listed(text)))]
    return "\n".join(parts) + "\n"


# --------------------------------------------------------------------------------------------------------- what is promised
KINDS = re.compile(r"\b((?:Type|Value|Index|Runtime|ZeroDivision|Key|Memory|Buffer|LinAlg|OS)Error)\b")


def promised() -> dict[str, set[str]]:
    """The exceptions that the docstring of each public function names."""
    found: dict[str, set[str]] = {}
    seen: set[int] = set()
    rooms = [("tt", tt), ("nn.functional", nn.functional), ("tt.linalg", tt.linalg), ("tt.metrics", tt.metrics), ("tt.func", tt.func), ("tt.autograd", tt.autograd), ("nn", nn), ("tt.optim", tt.optim)]  # fmt: skip
    rooms += [
        ("tt.optim.lr_scheduler", tt.optim.lr_scheduler),
        ("nn.init", nn.init),
        ("nn.utils", nn.utils),
        ("tt.testing", tt.testing),
    ]
    for prefix, room in rooms:
        for name in getattr(room, "__all__", dir(room)):
            what = getattr(room, name)
            if callable(what) and not name.startswith("_") and id(what) not in seen:
                seen.add(id(what))
                found[f"{prefix}.{name}"] = set(KINDS.findall(inspect.getdoc(what) or ""))
    for name in dir(tt.Tensor):
        what = inspect.getattr_static(tt.Tensor, name)
        if callable(what) and not name.startswith("_") and not name.endswith("_") and id(what) not in seen:
            seen.add(id(what))
            found[f"Tensor.{name}"] = set(KINDS.findall(inspect.getdoc(what) or ""))
    return {name: kinds for name, kinds in found.items() if kinds}


def kept() -> dict[str, set[str]]:
    """The exceptions that the probes of each function raise, with those that they are."""
    found: dict[str, set[str]] = {}
    for text in PROBES.values():
        for function, call in listed(text):
            kinds = {k.__name__ for k in type(raised(call)).__mro__}
            found.setdefault(function, set()).update(kinds)
    return found


if __name__ == "__main__":
    sys.exit(0 if PAGE.write_text(page()) else 1)
