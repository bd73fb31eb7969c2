"""Normalization of activations by their mean and deviation; vectors of length one, and how alike two vectors are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..op import Array, op
from ..tensor import Tensor
from .activation import float_data
from .inplace import copy_
from .pointwise import add, clamp, div, grad_mul, mul, rsqrt, square, sub
from .reduction import lost_of_mean, mean, norm, sum
from .shape import broadcast_to, one_dim, reshape


def _centred(x: Any, center: Any, rest: Any) -> Any:
    """x minus both parts of its mean, each of which may be None."""
    far = x if center is None else sub(x, center)
    return far if rest is None else sub(far, rest)


@op
def _normalized(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    center: Any,
    rest: Any,
    scale: Any,
    dims: tuple[int, ...],
    eps: float,
) -> Any:
    """(x - (center + rest)) scale weight + bias; center, rest (None: 0) and scale are arrays that come from x, by _statistics
    over dims."""
    out = mul(_centred(x, center, rest), scale)
    if weight is not None:
        out = mul(out, weight)
    return out if bias is None else add(out, bias)


@_normalized.rule
def _(g: Any, x: Any, weight: Any, center: Any, rest: Any, scale: Any, dims: Any, eps: float, needs: Any) -> Any:
    if isinstance(g, Tensor):  # with a history of their own, for the second derivative
        center, rest, _, scale = _statistics(x, dims, eps, center is not None)
    unit = grad_mul(_centred(x, center, rest), scale)
    dx = None
    if needs[0]:
        up = g if weight is None else mul(g, weight)
        along = grad_mul(mean(grad_mul(up, unit), dims, keepdim=True), unit)
        level = up if center is None else sub(up, mean(up, dims, keepdim=True))
        dx = grad_mul(sub(level, along), scale)
    return dx, grad_mul(g, unit) if needs[1] else None, g if needs[2] else None


def _statistics(x: Any, dims: tuple[int, ...], eps: float, center: bool) -> tuple[Any, Any, Any, Any]:
    """Mean (None without `center`), what rounding took from it (see lost_of_mean), mean square of the distances from both, and
    1 / sqrt(that + eps), over dims: two passes, so that a large mean takes nothing from the variance."""
    if not center:
        v = mean(square(x), dims, keepdim=True)
        return None, None, v, rsqrt(add(v, eps))
    m = mean(x, dims, keepdim=True)
    far = sub(x, m)
    v = mean(square(far), dims, keepdim=True)
    rest = lost_of_mean(far, m, v, dims)
    if rest is not None:
        v = mean(square(sub(far, rest)), dims, keepdim=True)
    return m, rest, v, rsqrt(add(v, eps))


def _total(m: Any, rest: Any) -> Any:
    """Both parts of a mean in one number."""
    return m if rest is None else add(m, rest)


def _data(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


def _check_sizes(name: str, sizes: tuple[int, ...], x: Any, **given: Any) -> None:
    for what, v in given.items():
        if v is not None and tuple(v.shape) != sizes:
            raise ValueError(
                f"{name}: expected {what} of shape {sizes} for input {tuple(x.shape)}, got {tuple(v.shape)}"
            )


def _last_dims(name: str, x: Any, normalized_shape: int | Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """normalized_shape as a tuple, and the dims that it is; ValueError unless x ends with it."""
    sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(int(n) for n in normalized_shape)
    if not sizes or tuple(x.shape)[-len(sizes) :] != sizes:
        raise ValueError(
            f"{name}: expected an input of shape (*, {', '.join(map(str, sizes))}) for normalized_shape {sizes}, got {tuple(x.shape)}"
        )
    return sizes, tuple(range(x.ndim - len(sizes), x.ndim))


def layer_norm(
    input: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(input - mean) / sqrt(variance + eps) weight + bias over the last dims, those of normalized_shape; the variance divides by
    n (Ba et al. 2016). input (*, *normalized_shape), weight and bias (normalized_shape) or None.

    Gradient: with u the normalized input and h = g weight, (h - mean(h) - u mean(h u)) / sqrt(variance + eps) to input, the
    sum of g u to weight, of g to bias. ValueError where shapes do not fit, TypeError for integers.
    """
    a = float_data("layer_norm", input)
    sizes, dims = _last_dims("layer_norm", a, normalized_shape)
    _check_sizes("layer_norm", sizes, a, weight=weight, bias=bias)
    m, rest, _, scale = _statistics(a, dims, float(eps), True)
    return _normalized(input, weight, bias, m, rest, scale, dims, float(eps))


def rms_norm(
    input: Array, normalized_shape: int | Sequence[int], weight: Array | None = None, eps: float | None = None
) -> Tensor:
    """input / sqrt(mean(input^2) + eps) weight over the last dims, those of normalized_shape (Zhang and Sennrich 2019); eps None
    is the dtype's distance from 1 to the next number. Gradient: layer_norm's, without the mean of h. Errors as layer_norm's."""
    a = float_data("rms_norm", input)
    sizes, dims = _last_dims("rms_norm", a, normalized_shape)
    _check_sizes("rms_norm", sizes, a, weight=weight)
    small = float(np.finfo(a.dtype).eps if eps is None else eps)
    return _normalized(input, weight, None, None, None, _statistics(a, dims, small, False)[3], dims, small)


def _by_channel(v: Any, ndim: int) -> Any:
    """A (C,) seen as (C, 1, ...), to meet an (N, C, ...) of ndim dimensions."""
    return None if v is None else reshape(v, (-1,) + (1,) * (ndim - 2))


def _update(running: Any, new: Any, momentum: float) -> None:
    """running = (1 - momentum) running + momentum new, in place."""
    value = add(mul(_data(running), 1.0 - momentum), mul(reshape(new, (-1,)), momentum))
    if isinstance(running, Tensor):
        copy_(running, value)
    else:
        np.copyto(running, value)


def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(input - mean) / sqrt(variance + eps) weight + bias for each channel of input (N, C, *) (Ioffe and Szegedy 2015).

    training: mean and variance (divided by n) of this batch; running_mean and running_var (C,), where given, change in place to
    (1 - momentum) old + momentum new, with the variance divided by n - 1. Else: the running ones, which are constants. Gradient:
    layer_norm's over all dims but 1, or g weight / sqrt(running_var + eps). ValueError where shapes do not fit, for running
    statistics that are missing, and in training for one value per channel; TypeError for integers.
    """
    a = float_data("batch_norm", input)
    if a.ndim < 2:
        raise ValueError(f"batch_norm: expected an input of shape (N, C) or (N, C, *), got {a.shape}")
    _check_sizes(
        "batch_norm", (a.shape[1],), a, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    w, b = _by_channel(weight, a.ndim), _by_channel(bias, a.ndim)
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: running_mean and running_var are needed where training is False")
        factor: Any = rsqrt(add(_by_channel(_data(running_var), a.ndim), float(eps)))
        out = mul(sub(input, _by_channel(_data(running_mean), a.ndim)), factor if w is None else mul(w, factor))
        return out if b is None else add(out, b)
    count = a.shape[0] * math.prod(a.shape[2:])
    if count == 1:
        raise ValueError(f"batch_norm: expected more than 1 value per channel in training, got input {a.shape}")
    dims = (0, *range(2, a.ndim))
    m, rest, v, scale = _statistics(a, dims, float(eps), True)
    if count:
        if running_mean is not None:
            _update(running_mean, _total(m, rest), momentum)
        if running_var is not None:
            _update(running_var, mul(v, count / (count - 1)), momentum)
    return _normalized(input, w, b, m, rest, scale, dims, float(eps))


def group_norm(
    input: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Tensor:
    """layer_norm over each of num_groups groups of channels of each sample of input (N, C, *), with weight and bias (C,) (Wu and
    He 2018). Gradient: as layer_norm's. ValueError where num_groups does not divide C or shapes do not fit, TypeError for
    integers."""
    a = float_data("group_norm", input)
    if a.ndim < 2:
        raise ValueError(f"group_norm: expected an input of shape (N, C) or (N, C, *), got {a.shape}")
    n, channels = a.shape[:2]
    if num_groups < 1 or channels % num_groups:
        raise ValueError(
            f"group_norm: the {channels} channels of input {a.shape} cannot be divided into {num_groups} groups"
        )
    _check_sizes("group_norm", (channels,), a, weight=weight, bias=bias)
    shape = (n, num_groups, channels // num_groups, math.prod(a.shape[2:]))
    each = (num_groups, channels // num_groups, 1)
    w, b = (None if v is None else reshape(v, each) for v in (weight, bias))
    m, rest, _, scale = _statistics(a.reshape(shape), (2, 3), float(eps), True)
    return reshape(_normalized(reshape(input, shape), w, b, m, rest, scale, (2, 3), float(eps)), a.shape)


def instance_norm(
    input: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """layer_norm over each channel of each sample of input (N, C, *), with weight and bias (C,) (Ulyanov et al. 2016).

    use_input_stats: by this input's own mean and variance; running_mean and running_var (C,), where given, change as
    batch_norm's do, by the mean over the samples. Else: batch_norm by the running ones. Gradient: as layer_norm's. Errors as
    batch_norm's; ValueError for one value per channel of a sample, too.
    """
    a = float_data("instance_norm", input)
    if a.ndim < 3:
        raise ValueError(f"instance_norm: expected an input of shape (N, C, *), got {a.shape}")
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count = math.prod(a.shape[2:])
    if count == 1:
        raise ValueError(f"instance_norm: expected more than 1 value per channel of a sample, got input {a.shape}")
    _check_sizes(
        "instance_norm", a.shape[1:2], a, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    dims = tuple(range(2, a.ndim))
    m, rest, v, scale = _statistics(a, dims, float(eps), True)
    if a.shape[0] and count:
        if running_mean is not None:
            _update(running_mean, mean(_total(m, rest), 0), momentum)
        if running_var is not None:
            _update(running_var, mul(mean(v, 0), count / (count - 1)), momentum)
    w, b = _by_channel(weight, a.ndim), _by_channel(bias, a.ndim)
    return _normalized(input, w, b, m, rest, scale, dims, float(eps))


# ------------------------------------------------------------------------------------------------------ length and angle
def normalize(input: Array, p: float = 2.0, dim: int | Sequence[int] = 1, eps: float = 1e-12) -> Tensor:
    """input / max(its p-norm over dim, eps): 0 stays 0. Gradient: (g - u sum(g u)) / norm for p = 2, u the result."""
    float_data("normalize", input)
    return div(input, clamp(norm(input, p, dim, keepdim=True), min=eps))


def cosine_similarity(x1: Array, x2: Array, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """sum(x1 x2) / (max(|x1|, eps) max(|x2|, eps)) over dim, broadcast; 0 where one is 0. Gradient: (x2 / |x2| - c x1 / |x1|) g
    / |x1| to x1, and so to x2. ValueError where the shapes cannot be broadcast."""
    a, b = float_data("cosine_similarity", x1), float_data("cosine_similarity", x2)
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise ValueError(f"cosine_similarity: shapes {a.shape} and {b.shape} cannot be broadcast") from None
    d = one_dim("cosine_similarity", len(shape), dim)
    # broadcast along d alone, where it counts in the lengths
    units = []
    for x in (x1, x2):
        full = (1,) * (len(shape) - x.ndim) + tuple(x.shape)
        x = broadcast_to(reshape(x, full), (*full[:d], shape[d], *full[d + 1 :]))
        units.append(normalize(x, 2.0, d, eps))
    return sum(mul(*units), d)


def pairwise_distance(x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps over the last dim; eps keeps equal ones off the point without a slope. Gradient: as norm's."""
    return norm(add(sub(x1, x2), eps), p, -1, keepdim)
