"""tinytensor: small, fast tensors with gradients on the CPU. `import tinytensor as tt`."""

from __future__ import annotations

from typing import Any

from .threads import (  # first: it loads the kernels
    get_num_threads,
    set_flush_denormal,
    set_num_threads,
    show_config,
    threads,
)

# isort: split
from . import autograd, data, func, linalg, metrics, nn, ops, optim, random, serialize, testing
from .anomaly import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from .autograd import custom_vjp
from .creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    tensor,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)  # fmt: skip
from .device import accelerator, backends, cuda, device, use_deterministic_algorithms
from .interchange import from_dlpack, frombuffer
from .naming import name
from .ops.rearrange import broadcast_shapes
from .random import Generator, initial_seed, manual_seed, rand, rand_like, randint, randn, randn_like, randperm
from .sampling import bernoulli, multinomial, normal
from .serialize import load, save
from .spelling import public
from .tape import enable_grad, inspect, is_grad_enabled, no_grad, set_grad_enabled
from .tape import no_grad as inference_mode
from .tensor import Tensor, float32, float64, get_default_dtype, int64, set_default_dtype, uint8
from .tensor import bool_ as bool
from .tensor import float32 as float

__version__ = "0.1.0"
double, long = float64, int64


def is_tensor(x: Any) -> Any:
    """Whether x is a Tensor."""
    return isinstance(x, Tensor)


def numel(x: Tensor) -> int:
    """Number of elements."""
    return x.numel()


def __getattr__(name: str) -> Any:
    """`tt.train`, `tt.viz` and `tt.diagnose`, imported when they are asked for: not every program pays for them."""
    if name in ("train", "viz"):
        import importlib

        return importlib.import_module(f"{__name__}.{name}")
    if name == "diagnose":
        from tinytensor.viz import diagnose

        return diagnose
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


globals().update(ops.PUBLIC)
for _made in (
    arange, as_tensor, empty, empty_like, eye, full, full_like, linspace, logspace, numel, ones, ones_like, rand, rand_like, randint, randn,
    randn_like, randperm, tensor, zeros, zeros_like,
):  # fmt: skip
    globals()[_made.__name__] = public(_made, __name__)  # they, too, take PyTorch's spellings
__all__ = [
    "Generator", "Tensor", "accelerator", "arange", "as_tensor", "autograd", "backends", "bernoulli", "bool", "broadcast_shapes", "cuda", "custom_vjp", "data", "detect_anomaly", "device", "double", "empty",
    "empty_like", "enable_grad", "eye", "float", "float32", "float64", "from_dlpack", "from_numpy", "frombuffer", "full", "full_like", "func",
    "get_default_dtype", "get_num_threads", "inference_mode", "initial_seed", "inspect", "int64", "is_anomaly_enabled", "is_grad_enabled", "is_tensor", "linalg", "linspace",
    "load", "logspace", "long", "manual_seed", "metrics", "multinomial", "name", "nn", "no_grad", "normal", "numel", "ones", "ones_like", "ops", "optim", "rand", "rand_like", "randint", "randn",
    "randn_like", "random", "randperm", "save", "serialize", "set_default_dtype", "set_detect_anomaly", "set_flush_denormal", "set_grad_enabled",
    "set_num_threads", "show_config", "tensor", "testing", "threads", "tril_indices", "triu_indices", "uint8", "use_deterministic_algorithms", "zeros", "zeros_like", *ops.PUBLIC,
]  # fmt: skip
