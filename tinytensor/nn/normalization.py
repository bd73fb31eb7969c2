"""Layers that normalize: over the batch, over features, over groups of channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytensor.creation import ones, tensor, zeros
from tinytensor.device import check_device
from tinytensor.nn import functional as F
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor, get_default_dtype

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm", "RMSNorm"]


class _BatchNorm(Module):
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    _dims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: Any = None,
        device: Any = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_device(device)
        d = get_default_dtype() if dtype is None else dtype
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", Parameter(ones(num_features, dtype=d)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_features, dtype=d)) if affine and bias else None)
        self.register_buffer("running_mean", zeros(num_features, dtype=d) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features, dtype=d) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", tensor(0) if track_running_stats else None)

    def reset_running_stats(self) -> None:
        """Forget what was seen: mean 0, variance 1, no batch."""
        with no_grad():
            if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
                self.running_mean.zero_()
                self.running_var.fill_(1)
                self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Forget what was seen, and start from weight 1 and bias 0."""
        self.reset_running_stats()
        with no_grad():
            for parameter, value in ((self.weight, 1), (self.bias, 0)):
                if parameter is not None:
                    parameter.fill_(value)

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized, in its shape. In training the running statistics go on."""
        if x.ndim not in self._dims or x.shape[1] != self.num_features:
            want = " or ".join(f"{n} dimensions" for n in self._dims)
            raise ValueError(
                f"{type(self).__name__}: expected {want}, the second of size {self.num_features}, got {tuple(x.shape)}"
            )
        factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            with no_grad():
                self.num_batches_tracked.add_(1)
            if self.momentum is None:  # the mean of all batches so far
                factor = 1.0 / self.num_batches_tracked.item()
        batch = self.training or self.running_mean is None
        mean, var = (self.running_mean, self.running_var) if not batch or self.training else (None, None)
        return F.batch_norm(x, mean, var, self.weight, self.bias, batch, factor, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """(x - mean) / sqrt(var + eps) * weight + bias for each of C features of (N, C) or (N, C, L) (Ioffe and Szegedy 2015).

    In training mean and variance are the batch's, and the buffers running_mean and running_var go towards them by `momentum`
    (None: they are the mean over all batches); in evaluation they are the buffers, or the batch's without track_running_stats.
    ValueError for other shapes, and in training for one value a feature.
    """

    _dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """BatchNorm1d for images (N, C, H, W): statistics of each of the C channels."""

    _dims = (4,)


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions, of sizes normalized_shape (Ba et al. 2016)."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        check_device(device)
        d = get_default_dtype() if dtype is None else dtype
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        shape = self.normalized_shape
        self.register_parameter("weight", Parameter(ones(*shape, dtype=d)) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(zeros(*shape, dtype=d)) if elementwise_affine and bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized, in its shape."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions (Zhang and Sennrich 2019); eps None is the dtype's."""

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        check_device(device)
        d = get_default_dtype() if dtype is None else dtype
        self.normalized_shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = Parameter(ones(*self.normalized_shape, dtype=d)) if elementwise_affine else None
        self.register_parameter("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized, in its shape."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Normalize groups of channels of (N, C, *), each sample by itself (Wu and He 2018); weight and bias are of the channels.

    ValueError where num_groups does not divide num_channels."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        dtype: Any = None,
        device: Any = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_device(device)
        if num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_channels={num_channels} is no multiple of num_groups={num_groups}")
        d = get_default_dtype() if dtype is None else dtype
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.register_parameter("weight", Parameter(ones(num_channels, dtype=d)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_channels, dtype=d)) if affine and bias else None)

    def forward(self, x: Tensor) -> Tensor:
        """Return x normalized, in its shape."""
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"
