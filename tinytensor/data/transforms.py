"""Random changes of images, with the names of torchvision.transforms.v2: shift, rotate, scale, shear, elastic distortion, crop, flip,
erase. Unlike torchvision's, they draw for every image of a batch by itself, and shifts are not rounded to whole pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import _kernels, random
from tinytensor.ops.elementary import tan
from tinytensor.ops.pointwise import cos, div, exp, log, sin, sub
from tinytensor.random import Generator
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Compose", "ElasticTransform", "Normalize", "RandomAffine", "RandomApply", "RandomCrop", "RandomDistortion", "RandomErasing",
    "RandomHorizontalFlip", "RandomRotation", "Transform",
]  # fmt: skip

Range = tuple[float, float]


class Transform:
    """Base class: `f(images, generator=None)` gives new images of the same dtype; `images` stay as they are.

    images: float32 or float64, a batch (B, H, W) or (B, C, H, W), every image of which draws its own numbers, all channels of an
    image alike; or one image (H, W). One of several channels is `f(image[None])[0]`. Numbers are drawn from `generator` (default:
    manual_seed's). The same bits on any number of threads. There is no gradient: a tensor that requires one is refused.

    TypeError for other dtypes: bytes become floats first, as ImageDataset and batches do, or by `images.float() / 255`.
    ValueError for other shapes. Subclasses define `_apply(x, generator)` on an array (B, C, H, W)."""

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        x = _checked(images, type(self).__name__)
        four = x.reshape((1, 1, *x.shape) if x.ndim == 2 else (x.shape[0], 1, *x.shape[1:]) if x.ndim == 3 else x.shape)
        out = self._apply(four, generator)
        keep = {2: out.shape[2:], 3: (out.shape[0], *out.shape[2:]), 4: out.shape}
        return Tensor._new(_kernels.owned(out.reshape(keep[x.ndim])))

    def _apply(self, x: NDArray[Any], generator: Generator | None) -> NDArray[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define _apply(x, generator)")

    def __repr__(self) -> str:
        import inspect  # loaded by who asks

        names = [name for name in inspect.signature(type(self)).parameters if hasattr(self, name)]
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({shown})"


def transformed(transform: Callable[..., Any], images: Tensor, generator: Generator | None) -> Tensor:
    """`transform(images)`; one of ours draws from `generator`."""
    out = transform(images, generator=generator) if isinstance(transform, Transform) else transform(images)
    if not isinstance(out, Tensor):
        raise TypeError(f"transform: {transform!r} gave {type(out).__name__}, expected a Tensor")
    return out


def _checked(images: Tensor, name: str) -> NDArray[Any]:
    if not isinstance(images, Tensor):
        raise TypeError(f"{name}: expected a Tensor, got {type(images).__name__}: tt.from_numpy makes one of an array")
    if images.requires_grad:
        raise ValueError(f"{name}: has no gradient: give images.detach()")
    x: NDArray[Any] = images.numpy()
    if x.dtype.name not in ("float32", "float64"):
        raise TypeError(
            f"{name}: expected float32 or float64 images, got {x.dtype}: images.float() / 255 converts bytes"
        )
    if x.ndim not in (2, 3, 4):
        raise ValueError(f"{name}: expected images (B, C, H, W), (B, H, W) or (H, W), got {x.shape}")
    return x


def _symmetric(value: float | Sequence[float], name: str, what: str) -> Range:
    """(-v, v) of a number v >= 0; (low, high) as given."""
    if isinstance(value, (int, float, np.number)):
        low, high = -float(value), float(value)
    else:
        low, high = _two(value, name, what)
    if not (low <= high and math.isfinite(high - low)):
        raise ValueError(f"{name}: {what} must be a number >= 0 or (low, high), got {value!r}")
    return low, high


def _two(value: Sequence[float], name: str, what: str) -> Range:
    try:
        a, b = value
        return float(a), float(b)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: {what} must be two numbers, got {value!r}") from None


def _number(value: float, name: str, what: str, least: float = -math.inf, most: float = math.inf) -> float:
    v = float(value)
    if not (math.isfinite(v) and least <= v <= most):
        bounds = f" from {least:g} to {most:g}" if most < math.inf else f" >= {least:g}" if least > -math.inf else ""
        raise ValueError(f"{name}: {what} must be a finite number{bounds}, got {value!r}")
    return v


# --------------------------------------------------------------------------------------------------------------- warps
class RandomDistortion(Transform):
    """Affine map and elastic distortion of each image in one pass, with one bilinear interpolation: sharper and faster than one after
    the other.

    degrees, translate, scale, shear: as of RandomAffine. alpha, sigma: as of ElasticTransform (alpha 0: none). fill: the value
    outside an image; for normalised images that of their background. `RandomDistortion(15, (0.1, 0.1), (0.85, 1.15), alpha=34)`
    suits digits of 28 x 28. ValueError for ranges that are none."""

    _clockwise = 1

    def __init__(
        self,
        degrees: float | Sequence[float] = 0.0,
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        alpha: float = 0.0,
        sigma: float = 4.0,
        fill: float = 0.0,
    ) -> None:
        name = type(self).__name__
        self.degrees = _symmetric(degrees, name, "degrees")
        self.translate = None if translate is None else _two(translate, name, "translate")
        if self.translate and not all(0 <= t <= 1 for t in self.translate):
            raise ValueError(
                f"{name}: translate must be two fractions from 0 to 1, of width and height, got {translate!r}"
            )
        self.scale = None if scale is None else _two(scale, name, "scale")
        if self.scale and not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"{name}: scale must be (low, high) with 0 < low <= high, got {scale!r}")
        self.shear = None if shear is None else self._shears(shear, name)
        self.alpha = _number(alpha, name, "alpha", 0)
        self.sigma = _number(sigma, name, "sigma", 0)
        self.fill = float(fill)
        self._taps = _gaussian(self.sigma) if self.alpha else None

    @staticmethod
    def _shears(shear: float | Sequence[float], name: str) -> tuple[Range, Range]:
        if not isinstance(shear, (int, float, np.number)) and len(shear) == 4:
            both = _symmetric(shear[:2], name, "shear"), _symmetric(shear[2:], name, "shear")
        else:
            both = _symmetric(shear, name, "shear"), (0.0, 0.0)
        if not all(-90 < s < 90 for pair in both for s in pair):
            raise ValueError(f"{name}: shear must lie between -90 and 90 degrees, got {shear!r}")
        return both

    def _apply(self, x: NDArray[Any], generator: Generator | None) -> NDArray[Any]:
        matrices = self._matrices(len(x), x.shape[2], x.shape[3], generator)
        return _kernels.warp(x, matrices, self._field(x, generator), self.fill)

    def _field(self, x: NDArray[Any], generator: Generator | None) -> NDArray[Any] | None:
        """Displacements (B, 2, H, W) in pixels, down and to the right."""
        if self._taps is None:
            return None
        noise = random.uniform((len(x), 2, *x.shape[2:]), -self.alpha, self.alpha, x.dtype, generator)
        return _kernels.smooth(noise, self._taps)

    def _matrices(self, count: int, height: int, width: int, generator: Generator | None) -> NDArray[np.float64]:
        """(B, 2, 3): where each pixel (row, column, 1) of the result comes from; all about the centre of the image."""

        def drawn(between: Range) -> Any:
            if between[0] == between[1]:
                return Tensor._new(_kernels.owned(np.full(count, between[0])))
            return Tensor._new(random.uniform((count,), *between, np.float64, generator))

        def radians(between: Range) -> Any:
            return drawn(between) * (math.pi / 180)

        turn = radians(self.degrees) * self._clockwise
        across, along = self.translate or (0.0, 0.0)
        right, down = drawn((-across * width, across * width)), drawn((-along * height, along * height))
        size = drawn(self.scale or (1.0, 1.0))
        lean_x, lean_y = map(radians, self.shear or ((0.0, 0.0), (0.0, 0.0)))
        # shears, then turns clockwise, then scales: its inverse reads the image (torchvision's convention)
        less = turn - lean_y
        slope, upright = tan(lean_x), cos(lean_y)
        a, c = cos(less) / upright, sin(less) / upright
        b, d = -a * slope - sin(turn), -c * slope + cos(turn)
        xx, xy, yx, yy = d / size, -b / size, -c / size, a / size
        middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
        from_x, from_y = right + middle_x, down + middle_y
        rows = [yy, yx, middle_y - (yx * from_x + yy * from_y), xy, xx, middle_x - (xx * from_x + xy * from_y)]
        return np.stack([t.numpy() for t in rows], 1).reshape(count, 2, 3)


def _gaussian(sigma: float) -> NDArray[np.float64]:
    """Weights of a normal curve at whole numbers up to 4 sigma away; they sum to 1."""
    radius = math.ceil(4 * sigma)
    exponents = np.array([-0.5 * (i / sigma) * (i / sigma) if i else 0.0 for i in range(-radius, radius + 1)])
    curve = exp(exponents).tolist()  # ours: the same bits everywhere
    total = math.fsum(curve)
    return np.array([c / total for c in curve])


class RandomAffine(RandomDistortion):
    """Turn, shift, scale and shear each image about its centre, bilinear.

    degrees: drawn from (-degrees, degrees) or (low, high), clockwise. translate: (a, b): up to a fraction a of the width and b of the
    height, either way. scale: (low, high) of the factor. shear: degrees, a number or (low, high) along x, four numbers along x and y.
    fill: the value outside. ValueError for ranges that are none."""

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        fill: float = 0.0,
    ) -> None:
        super().__init__(degrees, translate, scale, shear, fill=fill)


class RandomRotation(RandomDistortion):
    """Turn each image about its centre by an angle from (-degrees, degrees) or (low, high), counter-clockwise, bilinear."""

    _clockwise = -1

    def __init__(self, degrees: float | Sequence[float], fill: float = 0.0) -> None:
        super().__init__(degrees, fill=fill)


class ElasticTransform(RandomDistortion):
    """Elastic distortion (Simard, Steinkraus and Platt, Best Practices for Convolutional Neural Networks Applied to Visual Document
    Analysis, 2003): each pixel is read from where a smooth random field of displacements points, bilinear.

    The field is noise, uniform in (-1, 1), smoothed by a normal curve of deviation `sigma` pixels whose weights sum to 1 (0 lies
    outside, up to 4 sigma), times alpha: in pixels, its deviation is about 0.16 alpha / sigma. The defaults are Simard's.
    torchvision counts alpha in half pixels. fill: the value outside. ValueError for alpha or sigma below 0."""

    def __init__(self, alpha: float = 34.0, sigma: float = 4.0, fill: float = 0.0) -> None:
        super().__init__(alpha=alpha, sigma=sigma, fill=fill)


# ------------------------------------------------------------------------------------------------------- pixels as they are
class Normalize(Transform):
    """(images - mean) / std, each a number or one for each channel. ValueError for a std that is not above 0, for numbers that are not
    finite, and for other numbers of channels."""

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = mean, std
        for what, value, least in (("mean", mean, -math.inf), ("std", std, 0)):
            v = np.asarray(value, np.float64)
            if v.ndim > 1 or not (np.isfinite(v) & (v > least)).all():
                bound = " above 0" if what == "std" else ""
                raise ValueError(
                    f"Normalize: {what} must be a finite number{bound} or one for each channel, got {value!r}"
                )

    def _apply(self, x: NDArray[Any], generator: Generator | None) -> NDArray[Any]:
        mean, std = (np.reshape(np.asarray(v, x.dtype), (-1, 1, 1)) for v in (self.mean, self.std))
        if not {len(mean), len(std)} <= {1, x.shape[1]}:
            raise ValueError(f"Normalize: {len(mean)} means and {len(std)} deviations for {x.shape[1]} channels")
        return np.asarray(div(sub(x, mean), std))  # arrays in, array out: no copy


class RandomHorizontalFlip(Transform):
    """Mirror each image, left to right, with probability p."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = _number(p, "RandomHorizontalFlip", "p", 0, 1)

    def _apply(self, x: NDArray[Any], generator: Generator | None) -> NDArray[Any]:
        chosen = _chosen(len(x), self.p, generator)
        out: NDArray[Any] = x.copy()
        out[chosen] = x[chosen][..., ::-1]
        return out


class RandomCrop(Transform):
    """A part of `size` (H, W), or of size x size, of each image at a random place, after `padding` more pixels of `fill` on each side.
    ValueError where the image is smaller."""

    def __init__(self, size: int | Sequence[int], padding: int = 0, fill: float = 0.0) -> None:
        try:
            height, width = size if isinstance(size, Sequence) else (size, size)
            self.size, self.padding, self.fill = (index(height), index(width)), index(padding), float(fill)
        except (TypeError, ValueError):
            raise TypeError(
                "RandomCrop: size must be a whole number or two and padding one, the same for all sides, "
                f"got {size!r} and {padding!r}"
            ) from None
        if min(self.size) < 1 or self.padding < 0:
            raise ValueError(
                f"RandomCrop: size must be at least 1 and padding at least 0, got {size!r} and {padding!r}"
            )

    def _apply(self, x: NDArray[Any], generator: Generator | None) -> NDArray[Any]:
        p, (height, width) = self.padding, self.size
        if height > x.shape[2] + 2 * p or width > x.shape[3] + 2 * p:
            raise ValueError(
                f"RandomCrop: size {self.size} of images {x.shape} with padding {p}: pad more or crop less"
            )
        whole = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=self.fill)
        top = random.randint(0, x.shape[2] + 2 * p - height + 1, (len(x),), generator=generator).tolist()
        left = random.randint(0, x.shape[3] + 2 * p - width + 1, (len(x),), generator=generator).tolist()
        out = np.empty((*x.shape[:2], height, width), x.dtype)
        for to, image, i, j in zip(out, whole, top, left):
            to[...] = image[:, i : i + height, j : j + width]
        return out


class RandomErasing(Transform):
    """Overwrite a rectangle of each image by `value` with probability p (Zhong et al., Random Erasing Data Augmentation, 2017).

    scale: (low, high) of the rectangle's share of the area; ratio: (low, high) of height to width, drawn by its logarithm. Ten
    rectangles are drawn; the first that fits is taken, and none where none fits. ValueError for ranges that are none."""

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        self.p = _number(p, "RandomErasing", "p", 0, 1)
        self.scale, self.ratio = _two(scale, "RandomErasing", "scale"), _two(ratio, "RandomErasing", "ratio")
        self.value = float(value)
        if not (0 <= self.scale[0] <= self.scale[1] <= 1 and 0 < self.ratio[0] <= self.ratio[1] < math.inf):
            raise ValueError(
                f"RandomErasing: scale must be (low, high) from 0 to 1 and ratio (low, high) above 0, got {scale!r} and {ratio!r}"
            )

    def _apply(self, x: NDArray[Any], generator: Generator | None) -> NDArray[Any]:
        count, _, height, width = x.shape
        out: NDArray[Any] = x.copy()
        tries = 10
        chosen = _chosen(count, self.p, generator)
        u = random.uniform((count, tries, 3), dtype=np.float64, generator=generator).tolist()
        low, high = (float(v) for v in log(np.array(self.ratio)))
        bent = random.uniform((count, tries), low, high, np.float64, generator)
        ratios = exp(bent).tolist()
        for b in np.flatnonzero(chosen).tolist():
            for (share, down, across), ratio in zip(u[b], ratios[b]):
                area = height * width * (self.scale[0] + (self.scale[1] - self.scale[0]) * share)
                h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
                if h < height and w < width:
                    i, j = int(down * (height - h + 1)), int(across * (width - w + 1))
                    out[b, :, i : i + h, j : j + w] = self.value
                    break
        return out


def _chosen(count: int, p: float, generator: Generator | None) -> NDArray[np.bool_]:
    """(B,) bool: each with probability p."""
    chosen: NDArray[np.bool_] = random.uniform((count,), dtype=np.float64, generator=generator) < p
    return chosen


# ----------------------------------------------------------------------------------------------------------------- several
class Compose(Transform):
    """Several transforms, one after the other; also other callables on a Tensor. Each warp of them interpolates anew: RandomDistortion
    does all in one pass."""

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        for transform in self.transforms:
            images = transformed(transform, images, generator)
        return images


class RandomApply(Transform):
    """Several transforms, one after the other, to each image with probability p; the others stay as they are. ValueError where the
    transforms change the shape."""

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: float = 0.5) -> None:
        self.transforms = Compose(transforms)
        self.p = _number(p, "RandomApply", "p", 0, 1)

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        x = _checked(images, "RandomApply")
        batch = x[None] if x.ndim == 2 else x
        chosen = np.flatnonzero(_chosen(len(batch), self.p, generator))
        out = batch.copy()
        if len(chosen):
            changed = self.transforms(Tensor._new(_kernels.owned(batch[chosen])), generator=generator).numpy()
            if changed.shape[1:] != batch.shape[1:] or len(changed) != len(chosen):
                raise ValueError(f"RandomApply: the transforms made {changed.shape} of {batch[chosen].shape}")
            out[chosen] = changed
        return Tensor._new(_kernels.owned(out.reshape(x.shape)))
