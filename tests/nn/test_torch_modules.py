"""Every module beside PyTorch's, where it is installed: arguments, printed form, state, values and gradients in float64."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn

torch = pytest.importorskip("torch")

V, M, T3, T4 = (6,), (5, 6), (4, 6, 7), (2, 6, 8, 8)

# class, arguments, options, shapes of inputs (the first ones have gradients)
LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[Any, ...]]] = [
    *[(n, (), {}, T3) for n in ["ReLU", "ReLU6", "Sigmoid", "Tanh", "GELU", "SELU", "SiLU", "Mish", "Hardsigmoid", "Hardswish", "Hardtanh", "LogSigmoid", "Softplus", "Softsign", "Tanhshrink", "Softshrink", "Hardshrink", "LeakyReLU", "ELU", "CELU", "PReLU", "Identity", "Flatten"]],
    ("GELU", ("tanh",), {}, M), ("LeakyReLU", (0.3,), {}, M), ("ELU", (0.7,), {}, M), ("CELU", (2.0,), {}, M),
    ("Softplus", (2.0, 3.0), {}, M), ("Hardtanh", (-0.5, 0.2), {}, M), ("Softshrink", (0.2,), {}, M), ("Threshold", (0.1, -2.0), {}, M),
    ("Hardshrink", (0.2,), {}, M), ("PReLU", (6, 0.1), {}, M), ("GLU", (1,), {}, M),
    *[(n, (d,), {}, T3) for n in ("Softmax", "LogSoftmax", "Softmin") for d in (0, 1, -1)],
    *[(n, (), {"inplace": True}, M) for n in ["ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "ELU", "CELU"]],
    ("RReLU", (), {}, M), ("RReLU", (0.1, 0.2), {"inplace": True}, M),
    ("Dropout", (0.3,), {}, M), ("Dropout", (), {"inplace": True}, M), ("AlphaDropout", (0.3,), {}, M), ("Dropout1d", (), {}, T3), ("Dropout2d", (), {}, T4),
    ("Flatten", (0, 1), {}, T3), ("Unflatten", (1, (2, 3)), {}, T3),
    ("Linear", (6, 3), {}, M), ("Linear", (6, 3), {"bias": False}, V), ("Linear", (7, 2), {}, T3),
    ("Conv1d", (6, 4, 3), {}, T3), ("Conv1d", (6, 4, 3), {"padding": "same", "dilation": 2, "groups": 2}, T3),
    ("Conv2d", (6, 4, 3), {"stride": 2, "padding": 1}, T4), ("Conv2d", (6, 3, (1, 2)), {"bias": False, "padding": (0, 1)}, T4),
    *[("Conv2d", (6, 2, 3), {"padding": (1, 2), "padding_mode": m}, T4) for m in ("reflect", "replicate", "circular")],
    ("Conv2d", (6, 2, (3, 2)), {"padding": "same", "padding_mode": "replicate"}, T4),
    ("Conv1d", (6, 2, 5), {"padding": 2, "padding_mode": "circular"}, T3),
    ("ConvTranspose1d", (6, 4, 3), {"stride": 2, "bias": False}, T3),
    ("ConvTranspose2d", (6, 4, 3, 2, 1, 1), {"groups": 2, "dilation": 2}, T4),
    ("MaxPool1d", (2,), {}, T3), ("MaxPool2d", (2,), {}, T4), ("MaxPool2d", (3,), {"stride": 2, "padding": 1, "ceil_mode": True}, T4),
    ("AvgPool1d", (2,), {}, T3), ("AvgPool2d", (3, 2, 1), {"count_include_pad": False}, T4), ("AvgPool2d", (2,), {"divisor_override": 3}, T4),
    ("AdaptiveAvgPool1d", (3,), {}, T3), ("AdaptiveAvgPool2d", ((3, None),), {}, T4),
    ("BatchNorm1d", (6,), {}, M), ("BatchNorm1d", (6,), {"momentum": None}, T3), ("BatchNorm1d", (6,), {"affine": False}, M),
    ("BatchNorm1d", (6,), {"track_running_stats": False}, M), ("BatchNorm1d", (6,), {"bias": False}, M),
    ("BatchNorm2d", (6, 1e-3, 0.3), {}, T4), ("LayerNorm", (7,), {}, T3), ("LayerNorm", ((6, 7),), {"bias": False}, T3),
    ("LayerNorm", (7,), {"elementwise_affine": False}, T3), ("RMSNorm", (7,), {}, T3), ("RMSNorm", ((6, 7), 1e-3), {}, T3),
    ("GroupNorm", (3, 6), {}, T4), ("GroupNorm", (2, 6), {"affine": False}, T3), ("GroupNorm", (2, 6), {"bias": False}, T3),
]  # fmt: skip
RANDOM = {"Dropout", "AlphaDropout", "Dropout1d", "Dropout2d", "RReLU"}


def pair(name: str, args: Any, options: Any) -> tuple[nn.Module, Any]:
    """The two modules, with PyTorch's state in both, drawn anew by NumPy."""
    ours, theirs = getattr(nn, name)(*args, **options).double(), getattr(torch.nn, name)(*args, **options).double()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.from_numpy(rng.normal(size=tuple(p.shape))))
    state = theirs.state_dict()
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in state.items()
    ]
    ours.load_state_dict({k: v.numpy() for k, v in state.items()})
    return ours, theirs


def compare(ours: Any, theirs: Any, arrays: list[np.ndarray], leaves: int, rtol: float = 1e-9) -> None:
    """The values, the gradients of the first inputs and of the parameters, and the buffers afterwards."""
    mine = [tt.from_numpy(a.copy()).requires_grad_(i < leaves) for i, a in enumerate(arrays)]
    its = [torch.from_numpy(a.copy()).requires_grad_(i < leaves) for i, a in enumerate(arrays)]
    # in place: not of the leaves themselves
    y = ours(*[t * 1 if i < leaves else t for i, t in enumerate(mine)])
    z = theirs(*[t * 1 if i < leaves else t for i, t in enumerate(its)])
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=rtol, atol=1e-12)
    g = np.random.default_rng(1).normal(size=tuple(z.shape))
    ours.zero_grad(), theirs.zero_grad()
    y.backward(tt.from_numpy(np.asarray(g)))
    z.backward(torch.from_numpy(np.asarray(g)))
    pairs = [*zip(mine[:leaves], its, strict=False), *zip(ours.parameters(), theirs.parameters(), strict=True)]
    for a, b in pairs:
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=rtol, atol=1e-11)
    for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "args", "options", "shape"), LAYERS, ids=[f"{i} {case[0]}" for i, case in enumerate(LAYERS)]
)
def test_layers(name: str, args: Any, options: Any, shape: Any) -> None:
    ours, theirs = pair(name, args, options)
    assert repr(ours) == repr(theirs)
    x = np.random.default_rng(2).normal(size=shape)
    for training in (True, False):
        ours.train(training), theirs.train(training)
        if not (training and name in RANDOM):
            # PyTorch's hard sigmoid has its sixth in float32
            compare(ours, theirs, [x], 1, 1e-7 if name == "Hardsigmoid" else 1e-9)


def test_embedding() -> None:
    ours, theirs = pair("Embedding", (9, 4), {"padding_idx": -2})
    assert repr(ours) == repr(theirs)
    compare(ours, theirs, [np.array([[1, 7, 7], [0, 8, 1]])], 0)
    rows = np.random.default_rng(0).normal(size=(5, 3))
    mine = nn.Embedding.from_pretrained(tt.from_numpy(rows))
    its = torch.nn.Embedding.from_pretrained(torch.from_numpy(rows))
    assert mine.weight.requires_grad is its.weight.requires_grad is False
    np.testing.assert_array_equal(mine(tt.tensor([4, 1])).numpy(), its(torch.tensor([4, 1])).numpy())


RNG = np.random.default_rng(3)
X, Y, CLASSES, SIGNS = (
    RNG.normal(size=(6, 5)),
    RNG.normal(size=(6, 5)),
    RNG.integers(0, 5, 6),
    RNG.choice([-1.0, 1.0], 6),
)
P, Q = RNG.uniform(0.05, 0.95, (6, 5)), RNG.dirichlet(np.ones(5), 6)
W = RNG.uniform(0.5, 2, 5)
LOSSES: list[tuple[str, dict[str, Any], list[np.ndarray], int]] = [
    ("MSELoss", {}, [X, Y], 2), ("L1Loss", {}, [X, Y], 2), ("SmoothL1Loss", {"beta": 0.4}, [X, Y], 2), ("HuberLoss", {"delta": 0.4}, [X, Y], 2),
    ("CrossEntropyLoss", {}, [X, CLASSES], 1), ("CrossEntropyLoss", {"weight": W, "label_smoothing": 0.2}, [X, CLASSES], 1),
    ("CrossEntropyLoss", {"ignore_index": int(CLASSES[0])}, [X, CLASSES], 1), ("CrossEntropyLoss", {}, [X, Q], 1),
    ("NLLLoss", {}, [X, CLASSES], 1), ("NLLLoss", {"weight": W, "ignore_index": 2}, [X, CLASSES], 1),
    ("BCELoss", {}, [P, Q], 1), ("BCELoss", {"weight": W}, [P, Q], 1),
    ("BCEWithLogitsLoss", {}, [X, P], 1), ("BCEWithLogitsLoss", {"pos_weight": W}, [X, P], 1),
    ("KLDivLoss", {}, [X, Q], 1), ("KLDivLoss", {"log_target": True}, [X, np.log(Q)], 1),
    ("MultiMarginLoss", {}, [X, CLASSES], 1), ("MultiMarginLoss", {"p": 2, "margin": 0.5, "weight": W}, [X, CLASSES], 1),
    ("HingeEmbeddingLoss", {}, [X[:, 0], SIGNS], 1), ("CosineEmbeddingLoss", {"margin": 0.1}, [X, Y, SIGNS], 2),
    ("TripletMarginLoss", {}, [X, Y, P], 3), ("TripletMarginLoss", {"swap": True, "p": 1.0, "margin": 2.0}, [X, Y, P], 3),
    ("PoissonNLLLoss", {}, [X, np.round(3 * P)], 1), ("PoissonNLLLoss", {"log_input": False, "full": True}, [P, np.round(5 * P)], 1),
    ("GaussianNLLLoss", {"full": True}, [X, Y, P], 3), ("MarginRankingLoss", {"margin": 0.3}, [X[:, 0], Y[:, 0], SIGNS], 2),
    ("SoftMarginLoss", {}, [X[:, 0], SIGNS], 1),
]  # fmt: skip


@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "batchmean"])
@pytest.mark.parametrize(
    ("name", "options", "arrays", "leaves"), LOSSES, ids=[f"{i} {case[0]}" for i, case in enumerate(LOSSES)]
)
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # PyTorch's, of its own KLDivLoss
def test_losses(name: str, options: Any, arrays: Any, leaves: int, reduction: str) -> None:
    if reduction == "batchmean" and name != "KLDivLoss":
        with pytest.raises(ValueError, match="batchmean"):
            getattr(nn, name)(reduction=reduction)
        return
    made = [
        getattr(package.nn, name)(
            reduction=reduction, **{k: make(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        )
        for package, make in ((tt, tt.from_numpy), (torch, torch.from_numpy))
    ]
    assert repr(made[0]) == repr(made[1])
    assert list(made[0].state_dict()) == list(made[1].state_dict())
    compare(*made, arrays, leaves)


# What a constructor or function takes beside PyTorch's arguments, and what of PyTorch's is left out, everywhere and by name.
MORE, LESS = {"generator"}, {"size_average", "reduce", "_stacklevel", "out"}
LEFT_OUT = {
    "Embedding": {"max_norm", "norm_type", "scale_grad_by_freq", "sparse"},
    "Hardtanh": {"min_value", "max_value"},  # deprecated
    "embedding": {"max_norm", "norm_type", "scale_grad_by_freq", "sparse"},
    "scaled_dot_product_attention": {"enable_gqa"},
    "norm": {"dtype"},
    "gumbel_softmax": {"eps"},  # deprecated
    "mse_loss": {"weight"}, "l1_loss": {"weight"}, "huber_loss": {"weight"},
}  # fmt: skip
OPEN = {"args", "kwargs"}


@pytest.mark.parametrize("name", [n for n in nn.__all__ if n[0].isupper() and hasattr(torch.nn, n)])
def test_constructors_take_the_same(name: str) -> None:
    ours, theirs = (inspect.signature(getattr(m, name).__init__).parameters for m in (nn, torch.nn))
    if name in ("Sequential", "Identity", "Module", "Parameter") or set(theirs) >= OPEN:
        return
    known = set(theirs) - LESS - LEFT_OUT.get(name, set())
    assert set(ours) - MORE == known
    assert {k: ours[k].default for k in known} == {k: theirs[k].default for k in known}
    free = [k for k in theirs if k in known and k not in ("device", "dtype", "inplace", "bias", "padding_mode")]
    assert [k for k in ours if k in free] == free  # so that arguments by position mean the same


def names_in_torch(name: str) -> set[str]:
    """The names of a function's arguments, from its Python or its schema."""
    for room in (torch.nn.functional, torch):
        try:
            return set(inspect.signature(getattr(room, name)).parameters)
        except (AttributeError, ValueError):
            continue
    found = getattr(torch.ops.aten, name, None)
    schemas = [] if found is None else [getattr(found, o)._schema for o in found.overloads() if "out" not in o]
    # of several forms, the first with Tensors
    return {"input" if a.name == "self" else a.name for a in schemas[0].arguments} if schemas else set()


FUNCTIONS = {**tt.ops.PUBLIC, **{n: getattr(nn.functional, n) for n in nn.functional.__all__}}
# PyTorch's is another function than ours, or one of several forms
OTHER = {"unfold", "rsub", "true_divide", "view", "expand", "repeat", "unique", "unique_consecutive", "einsum"}


@pytest.mark.parametrize("name", sorted(n for n in FUNCTIONS if names_in_torch(n) - OPEN and n not in OTHER))
def test_functions_know_pytorchs_keywords(name: str) -> None:
    """Each name of PyTorch's is a parameter, or is understood as one."""
    from tinytensor.ops import IN_PLACE
    from tinytensor.spelling import respell

    f = FUNCTIONS[name]
    left_out = (
        LESS
        | LEFT_OUT.get(name, set())
        | {"memory_format", "sparse_grad", "out_int32", "output_size", "fweights", "aweights"}
    )
    for keyword in sorted(names_in_torch(name) - OPEN - left_out):
        if keyword in f.parameters or (keyword == "inplace" and f.__name__ in IN_PLACE):
            continue
        read = respell(f, (), {keyword: 0})
        assert read is not None, keyword
        assert read[2] or read[1], keyword
