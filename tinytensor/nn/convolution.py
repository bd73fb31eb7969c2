"""Convolutions, pooling and embedding as layers."""

from __future__ import annotations

import math
from typing import Any

from tinytensor.creation import empty
from tinytensor.device import check_device
from tinytensor.nn import functional as F
from tinytensor.nn import init
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.random import Generator
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AvgPool1d", "AvgPool2d", "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "Embedding", "MaxPool1d",
    "MaxPool2d",
]  # fmt: skip

Sizes = int | tuple[int, ...]


def _each(name: str, value: Any, n: int) -> tuple[int, ...]:
    sizes = (value,) * n if isinstance(value, int) else tuple(value)
    if len(sizes) != n:
        raise ValueError(f"{name}: expected a number or {n} of them, got {value!r}")
    return sizes


class _Conv(Module):
    weight: Parameter
    bias: Parameter | None
    output_padding: tuple[int, ...]
    _n: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: str | Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        dtype: Any = None,
        device: Any = None,
        *,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        check_device(device)
        name = type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}"
            )
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(
                f"{name}: padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', got {padding_mode!r}"
            )
        self.padding_mode = padding_mode
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _each(f"{name} kernel_size", kernel_size, self._n)
        self.stride = _each(f"{name} stride", stride, self._n)
        self.padding = padding if isinstance(padding, str) else _each(f"{name} padding", padding, self._n)
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding must be numbers, 'same' or 'valid', got {padding!r}")
        if padding == "same" and any(step != 1 for step in self.stride):
            raise ValueError(f"{name}: padding='same' needs stride 1, got {self.stride}")
        self.dilation = _each(f"{name} dilation", dilation, self._n)
        self.groups = groups
        self.weight = Parameter(empty(*self._weight_shape(), dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, dtype=dtype)) if bias else None)
        self.reset_parameters(generator)

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw weight (Kaiming uniform, a = sqrt(5), as PyTorch does) and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5), generator=generator)
        if self.bias is not None:
            fan_in = self.weight.shape[1] * math.prod(self.kernel_size)
            bound = 1 / math.sqrt(fan_in) if fan_in else 0
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def _check(self, x: Tensor) -> None:
        if x.ndim not in (self._n + 1, self._n + 2) or x.shape[-self._n - 1] != self.in_channels:
            axes = "L" if self._n == 1 else "H, W"
            raise ValueError(
                f"{type(self).__name__}: expected (N, {self.in_channels}, {axes}) or ({self.in_channels}, {axes}), "
                f"got {tuple(x.shape)}"
            )

    def extra_repr(self) -> str:
        # what PyTorch shows: only what is not the default
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * self._n:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self._n:
            text += f", dilation={self.dilation}"
        if any(getattr(self, "output_padding", ())):
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.padding_mode == "zeros" else text + f", padding_mode={self.padding_mode}"

    def _padded(self, x: Tensor) -> tuple[Tensor, Any]:
        """The input with what its edges are continued by, and how many zeros are still to be added."""
        self._check(x)
        if self.padding_mode == "zeros" or self.padding == "valid":
            return x, self.padding
        sizes: list[int] = []
        for i in reversed(range(self._n)):  # F.pad takes the last axis first
            if isinstance(self.padding, str):
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                sizes += [total // 2, total - total // 2]
            else:
                sizes += [self.padding[i]] * 2
        return F.pad(x, sizes, mode=self.padding_mode), 0


class Conv1d(_Conv):
    """Cross-correlation of (N, C, L) or (C, L) with learnt kernels: weight (out, in / groups, K), bias (out,).

    padding: numbers, "same" or "valid". ValueError for an input of other channels or dimensions."""

    _n = 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the channels (N, out, L')."""
        x, padding = self._padded(x)
        return F.conv1d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Conv):
    """Cross-correlation of (N, C, H, W) or (C, H, W) with learnt kernels: weight (out, in / groups, KH, KW), bias (out,).

    With a kernel of 1 x 1 it is a Linear layer at each pixel. padding: numbers, "same" or "valid". ValueError for an input of other
    channels or dimensions."""

    _n = 2

    def forward(self, x: Tensor) -> Tensor:
        """Return the channels (N, out, H', W')."""
        x, padding = self._padded(x)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _ConvTranspose(_Conv):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        dtype: Any = None,
        device: Any = None,
        *,
        generator: Generator | None = None,
    ) -> None:
        name = type(self).__name__
        if padding_mode != "zeros":
            raise ValueError(f"{name}: padding_mode must be 'zeros', got {padding_mode!r}")
        if isinstance(padding, str):
            raise ValueError(f"{name}: padding must be numbers, got {padding!r}")
        self.__dict__["output_padding"] = _each(f"{name} output_padding", output_padding, self._n)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, dtype, device, generator=generator
        )  # fmt: skip

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)


class ConvTranspose1d(_ConvTranspose):
    """The transpose of Conv1d, as its gradient has it: (N, C, L) or (C, L) grows to (N, out, L'); weight (in, out / groups, K).

    `output_padding` adds to the end of L', of the sizes that give L the one that is meant. ValueError as Conv1d."""

    _n = 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the channels (N, out, L')."""
        self._check(x)
        own: Any = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return F.conv_transpose1d(x, self.weight, self.bias, *own)


class ConvTranspose2d(_ConvTranspose):
    """The transpose of Conv2d: (N, C, H, W) or (C, H, W) grows to (N, out, H', W'); weight (in, out / groups, KH, KW)."""

    _n = 2

    def forward(self, x: Tensor) -> Tensor:
        """Return the channels (N, out, H', W')."""
        self._check(x)
        own: Any = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return F.conv_transpose2d(x, self.weight, self.bias, *own)


class _MaxPool(Module):
    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest of each window of (N, C, L) or (C, L); with return_indices also where it was."""

    def forward(self, x: Tensor) -> Any:
        """Return the largest values, (and their places)."""
        return F.max_pool1d(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class MaxPool2d(_MaxPool):
    """The largest of each window of (N, C, H, W) or (C, H, W); with return_indices also where it was."""

    def forward(self, x: Tensor) -> Any:
        """Return the largest values, (and their places)."""
        return F.max_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class AvgPool1d(Module):
    """The mean of each window of (N, C, L) or (C, L); padding counts as zeros unless count_include_pad is False."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _each("AvgPool1d kernel_size", kernel_size, 1)
        self.stride = _each("AvgPool1d stride", kernel_size if stride is None else stride, 1)
        self.padding = _each("AvgPool1d padding", padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """Return the means."""
        return F.avg_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of each window of (N, C, H, W) or (C, H, W), or its sum over divisor_override."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        """Return the means."""
        return F.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AdaptiveAvgPool(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means over windows that give output_size values a channel, whatever the length of (N, C, L)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the means (N, C, output_size)."""
        return F.adaptive_avg_pool1d(x, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means over windows that give output_size (a number, or two, None keeps a size) values a channel of (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the means (N, C, H', W')."""
        return F.adaptive_avg_pool2d(x, self.output_size)


class Embedding(Module):
    """A learnt vector of size embedding_dim for each of num_embeddings whole numbers: (*) -> (*, embedding_dim).

    `weight` starts normal; the row padding_idx starts at 0 and has no gradient. IndexError for a number outside the rows.
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: Any = None,
        device: Any = None,
        *,
        generator: Generator | None = None,
        _weight: Tensor | None = None,
        _freeze: bool = False,
    ) -> None:
        super().__init__()
        check_device(device)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"Embedding: padding_idx={padding_idx} is outside the {num_embeddings} rows")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        if _weight is not None:  # nothing is drawn
            self.weight = Parameter(_weight, requires_grad=not _freeze)
            return
        self.weight = Parameter(empty(num_embeddings, embedding_dim, dtype=dtype))
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the vectors anew; that of padding_idx is 0."""
        init.normal_(self.weight, generator=generator)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors of x."""
        return F.embedding(x, self.weight, self.padding_idx)

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """A layer on vectors (num_embeddings, embedding_dim) that are there, and without a gradient if `freeze`."""
        if not isinstance(embeddings, Tensor):
            raise TypeError(
                f"Embedding.from_pretrained: expected a Tensor, got {type(embeddings).__name__}; use tt.tensor"
            )
        if embeddings.ndim != 2:
            raise ValueError(f"Embedding.from_pretrained: expected a matrix of vectors, got {tuple(embeddings.shape)}")
        rows, size = embeddings.shape
        return cls(rows, size, padding_idx, _weight=embeddings.detach(), _freeze=freeze)

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else text + f", padding_idx={self.padding_idx}"
