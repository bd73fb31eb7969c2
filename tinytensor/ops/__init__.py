"""Every differentiable op: its value and its rule side by side, one file per family. Called on arrays an op gives an array, on
Tensors a Tensor. Importing this room attaches the operators and methods to Tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._tape import set_operators
from ..device import asked_of_to
from ..spelling import IN_PLACE, public
from ..tensor import Tensor, check_dtype
from . import (
    activation,
    attention,
    bits,
    contraction,
    convolution,
    cumulative,
    elementary,
    embedding,
    index,
    inplace,
    join,
    likelihood,
    linalg,
    loss,
    margin,
    normalization,
    order,
    pointwise,
    pooling,
    product,
    rearrange,
    reduction,
    scattering,
    shape,
    statistics,
)

_ROOMS = {
    pointwise: "add sub rsub mul div pow neg abs sign exp log log1p expm1 sqrt rsqrt square reciprocal sin cos tanh sigmoid erf "
    "clamp maximum minimum eq ne lt le gt ge logical_and logical_or logical_xor logical_not isnan isinf "
    "isfinite bitwise_and bitwise_or bitwise_xor bitwise_not trunc floor_divide",
    reduction: "sum mean prod amax amin max min argmax argmin var std norm all any",
    product: "matmul mm mv bmm dot outer linear",
    shape: "reshape view permute transpose t squeeze unsqueeze flatten ravel unflatten broadcast_to expand expand_as clone "
    "contiguous",
    join: "cat concat stack narrow split chunk",
    index: "gather take_along_dim index_select scatter_add masked_fill one_hot",
    activation: "relu leaky_relu elu selu gelu silu softplus softmax log_softmax logsumexp dropout hardtanh relu6 hardsigmoid "
    "hardswish celu mish softsign tanhshrink softshrink hardshrink threshold logsigmoid prelu rrelu glu maxout "
    "softmin gumbel_softmax dropout1d dropout2d alpha_dropout",
    loss: "cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss",
    likelihood: "binary_cross_entropy binary_cross_entropy_with_logits kl_div poisson_nll_loss gaussian_nll_loss",
    margin: "multi_margin_loss hinge_embedding_loss margin_ranking_loss soft_margin_loss cosine_embedding_loss "
    "triplet_margin_loss",
    normalization: "layer_norm rms_norm batch_norm group_norm instance_norm normalize cosine_similarity pairwise_distance",
    attention: "scaled_dot_product_attention",
    embedding: "embedding",
    elementary: "log2 log10 exp2 logaddexp logaddexp2 xlogy float_power logit erfc tan asin acos atan hypot atan2 rad2deg deg2rad "
    "sinh cosh asinh acosh atanh floor ceil round frac fmod remainder copysign signbit isposinf isneginf heaviside "
    "nan_to_num clamp_min clamp_max positive isclose allclose equal lerp addmm baddbmm addcmul addcdiv",
    statistics: "median nanmedian mode quantile nanquantile nansum nanmean count_nonzero std_mean var_mean aminmax cov corrcoef",
    cumulative: "cumsum cumprod logcumsumexp cummax cummin diff trapezoid cumulative_trapezoid",
    rearrange: "flip fliplr flipud roll rot90 repeat tile repeat_interleave pad select unbind unfold movedim moveaxis swapaxes "
    "swapdims view_as reshape_as diagonal diag diag_embed trace tril triu broadcast_tensors meshgrid cartesian_prod "
    "atleast_1d atleast_2d atleast_3d hstack vstack dstack column_stack block_diag tensor_split hsplit vsplit dsplit",
    scattering: "where masked_select nonzero argwhere take put index_add index_copy index_fill index_put scatter scatter_reduce "
    "masked_scatter bincount isin",
    order: "sort argsort msort topk kthvalue unique unique_consecutive searchsorted bucketize",
    contraction: "einsum tensordot inner vdot kron cross",
    bits: "bitwise_left_shift bitwise_right_shift gcd lcm",
    convolution: "conv1d conv2d conv_transpose1d conv_transpose2d",
    pooling: "max_pool1d max_pool2d avg_pool1d avg_pool2d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d "
    "adaptive_max_pool2d",
    linalg: "det slogdet logdet inverse pinverse cholesky matrix_power",
}
PUBLIC: dict[str, Any] = {name: public(getattr(room, name)) for room, names in _ROOMS.items() for name in names.split()}
PUBLIC["multiply"], PUBLIC["subtract"], PUBLIC["divide"], PUBLIC["true_divide"] = (
    PUBLIC["mul"],
    PUBLIC["sub"],
    PUBLIC["div"],
    PUBLIC["div"],
)
PUBLIC["clip"], PUBLIC["absolute"], PUBLIC["negative"] = PUBLIC["clamp"], PUBLIC["abs"], PUBLIC["neg"]
PUBLIC["concatenate"] = PUBLIC["cat"]
PUBLIC["fix"], PUBLIC["sgn"] = pointwise.trunc, pointwise.sign
for _alias, _name in (
    ("greater", "gt"),
    ("greater_equal", "ge"),
    ("less", "lt"),
    ("less_equal", "le"),
    ("not_equal", "ne"),
):
    PUBLIC[_alias] = PUBLIC[_name]
PUBLIC.update({f"arc{name}": PUBLIC[f"a{name}"] for name in ("sin", "cos", "tan", "tan2", "sinh", "cosh", "tanh")})
globals().update(PUBLIC)
__all__ = ["PUBLIC", *PUBLIC]

_NOT_METHODS = {
    "alpha_dropout", "atleast_1d", "atleast_2d", "atleast_3d", "batch_norm", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "block_diag", "broadcast_tensors", "bucketize", "cartesian_prod", "cat", "celu",
    "column_stack", "concat", "concatenate", "cosine_similarity", "cross_entropy", "cumulative_trapezoid", "dropout", "dropout1d",
    "dropout2d", "dstack", "einsum", "elu", "embedding", "gelu", "glu", "group_norm", "gumbel_softmax", "hardsigmoid",
    "hardswish", "hardtanh", "hstack", "instance_norm", "kl_div", "layer_norm", "leaky_relu", "linear", "logsigmoid",
    "maxout", "meshgrid", "mish", "mse_loss", "nll_loss", "normalize", "one_hot", "pad", "pairwise_distance", "relu6",
    "rms_norm", "rrelu", "scaled_dot_product_attention", "searchsorted", "selu", "silu", "softmin", "softplus",
    "softshrink", "softsign", "stack", "std_mean", "tanhshrink", "tensordot", "threshold", "trapezoid", "var_mean",
    "vstack", "where",
}  # fmt: skip
_NOT_METHODS.update(name for room in (convolution, pooling) for name in _ROOMS[room].split())


def to(self: Tensor, *args: Any, dtype: Any = None, device: Any = None, **how: Any) -> Tensor:
    """This tensor in another dtype, given alone, as a tensor that has it, or behind a device, which is the CPU. Itself where it has
    the dtype, unless `copy`; `non_blocking` means nothing here. Gradient: g in this dtype. RuntimeError for another device."""
    if dtype is None and device is None and not args and not how:
        raise TypeError("to: expected a dtype, a device or a tensor")
    dtype, copy = asked_of_to(args, dtype, device)
    copy = how.pop("copy", copy)
    how.pop("non_blocking", None)
    if how:
        raise TypeError(f"to: got unexpected keywords {', '.join(how)}; it takes dtype, device, copy and non_blocking")
    d = self.dtype if dtype is None else check_dtype(dtype, "to")
    if d == self.dtype:
        return shape.clone(self) if copy else self
    return pointwise.cast(self, d)


def getitem(self: Tensor, key: Any) -> Tensor:
    """x[index]: NumPy's basic and advanced indexing; Tensors may be indices."""
    return index.getitem(self, index.plain_index(key))


def where_method(self: Tensor, condition: Any, other: Any) -> Tensor:
    """This tensor where the condition holds, else other."""
    return pointwise.where(condition, self, other)


def _converter(name: str, dtype: Any) -> Any:
    def convert(self: Tensor) -> Tensor:
        return to(self, dtype)

    convert.__name__ = name
    convert.__doc__ = f"This tensor as {np.dtype(dtype)}."
    return convert


_TAKE_INPLACE = (
    "relu leaky_relu elu selu silu dropout hardtanh relu6 hardsigmoid hardswish celu mish threshold rrelu dropout1d dropout2d "
    "alpha_dropout"
)

_IN_PLACE_TOO = (
    "sign floor ceil round trunc frac tan asin acos atan sinh cosh asinh acosh atanh log2 log10 exp2 erf erfc logit nan_to_num "
    "clamp_min clamp_max lerp addcmul addcdiv addmm baddbmm fmod remainder floor_divide copysign hypot atan2 xlogy tril triu cumsum "
    "cumprod"
)


def convert_type(self: Tensor, dtype: Any) -> Tensor:
    """This tensor in another dtype (itself where it has it), as `to` gives it."""
    return to(self, dtype)


def _attach() -> None:
    for name in _TAKE_INPLACE.split():
        IN_PLACE[name] = inplace.in_place_method(f"{name}_", PUBLIC[name], f"{name}(x)")
    for name, function in PUBLIC.items():
        if name not in _NOT_METHODS and not name.endswith("_loss"):
            setattr(Tensor, name, function)
    operators = {
        "floordiv": pointwise.floor_divide, "rfloordiv": elementary.rfloor_divide, "mod": elementary.remainder,
        "rmod": elementary.rremainder, "pow": pointwise.pow, "rpow": pointwise.rpow, "matmul": product.matmul,
        "rmatmul": product.rmatmul, "neg": pointwise.neg, "abs": pointwise.abs, "invert": pointwise.bitwise_not,
        "and": pointwise.bitwise_and, "rand": pointwise.bitwise_and, "or": pointwise.bitwise_or, "ror": pointwise.bitwise_or,
        "xor": pointwise.bitwise_xor, "rxor": pointwise.bitwise_xor, "lt": pointwise.lt, "le": pointwise.le, "gt": pointwise.gt, "ge": pointwise.ge,
        "eq": pointwise.eq, "ne": pointwise.ne, "iadd": inplace.add_, "isub": inplace.sub_, "imul": inplace.mul_, "itruediv": inplace.div_,
        "ipow": inplace.pow_, "getitem": getitem, "setitem": inplace.setitem,
        "lshift": bits.bitwise_left_shift, "rlshift": bits.rlshift, "rshift": bits.bitwise_right_shift, "rrshift": bits.rrshift,
    }  # fmt: skip
    set_operators(pointwise._add, pointwise._sub, pointwise.mul, pointwise._div)
    for name, function in operators.items():
        setattr(Tensor, f"__{name}__", function)
    Tensor.__pos__ = lambda self: self  # type: ignore[method-assign]
    for name, method in (*scattering.IN_PLACE.items(), *inplace.METHODS.items()):
        setattr(Tensor, name, method)
    for name in _IN_PLACE_TOO.split():
        setattr(Tensor, f"{name}_", inplace.in_place_method(f"{name}_", PUBLIC[name], f"{name}(x)"))
    for name, dtype in (
        ("float", "float32"),
        ("double", "float64"),
        ("long", "int64"),
        ("int", "int64"),
        ("bool", "bool"),
        ("byte", "uint8"),
    ):
        setattr(Tensor, name, _converter(name, dtype))
    Tensor.to = to  # type: ignore[attr-defined]
    Tensor.type_as = to  # type: ignore[attr-defined]
    Tensor.type = convert_type  # type: ignore[attr-defined]
    Tensor.where = where_method  # type: ignore[attr-defined]
    Tensor.T = property(shape.t)  # type: ignore[assignment]
    Tensor.mT = property(shape.matrix_transpose)  # type: ignore[assignment]


_attach()
