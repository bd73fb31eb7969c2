"""A picture from a file as a network's image: grey, bright on dark, in the right size and place."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.serialize.files import open_regular

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PREPARATIONS", "read_picture"]

PREPARATIONS = ("digit", "resize")
_MAX_PIXELS = 50_000_000  # 5000 x 10000: a scan of a large page; a bomb has more


def read_picture(
    path: str | os.PathLike[str],
    size: tuple[int, int] = (28, 28),
    prepare: str = "digit",
    invert: bool | None = None,
) -> NDArray[np.uint8]:
    """Read a picture (PNG, JPEG and whatever else Pillow knows) as grey levels uint8 of `size` (height, width), bright on dark.

    A picture that has the size already is taken as it is. Else "digit" prepares it as MNIST's digits were (LeCun et al. 1998): what is
    drawn is cut out, brought with its proportions into 20 of 28 parts of the size, and put with its centre of mass into the middle;
    "resize" brings the whole picture into the size. invert: whether it is dark on bright and must be turned around; None decides by its
    border. Transparent parts count as white. A photograph is turned as its camera says.

    OSError if it cannot be read, or is a pipe or a device; ValueError, with the file's name, for what is no picture, is damaged, has more
    than 50 million pixels, is PostScript (a program) or IPTC, which may hold some, or, as a digit, shows nothing; ImportError without Pillow.
    """
    if prepare not in PREPARATIONS:
        raise ValueError(f"prepare must be one of {', '.join(PREPARATIONS)}, got {prepare!r}")
    name = os.fspath(path)
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ImportError("reading pictures needs Pillow: pip install 'tinytensor[train]'") from None
    with open_regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(file)
            if picture.width * picture.height > _MAX_PIXELS:
                raise ValueError(f"{picture.width} x {picture.height} pixels are too many, at most {_MAX_PIXELS:,}")
            if picture.format in ("EPS", "IPTC"):  # the second may hold the first
                raise ValueError(f"{picture.format}: PostScript is a program, which is never run: make a PNG of it")
            picture = _grey(Image, _upright(Image, picture))
        except UnidentifiedImageError:
            raise ValueError(f"{name}: not a picture that Pillow knows") from None
        except ValueError as error:  # Pillow's too, of what its readers find in headers
            raise ValueError(f"{name}: {error!s:.300}") from None
        except MemoryError:
            raise
        except Exception as error:  # Pillow's readers know a dozen kinds for what is damaged
            raise ValueError(f"{name}: damaged picture ({error!s:.300})") from None
    grey: NDArray[np.uint8] = np.asarray(picture, np.uint8)
    if invert is None:
        border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
        invert = bool(np.median(border) > 127)
    if invert:
        grey = 255 - grey
    if grey.shape == size:
        same: NDArray[np.uint8] = grey.copy()
        return same
    if prepare == "resize":
        return _resized(Image, grey, size)
    return _centred(Image, grey, size, name)


def _upright(image: Any, picture: Any) -> Any:
    """Turned or mirrored as the Exif tag Orientation says (Pillow's own function writes the tags anew, and fails on damaged ones)."""
    picture.load()
    if picture.format == "TIFF":
        return picture  # load has turned it; before Pillow 10.1 the tag stays
    way = {
        2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
    }.get(picture.getexif().get(0x0112, 1))  # fmt: skip
    return picture.transpose(image.Transpose[way]) if way else picture


def _grey(image: Any, picture: Any) -> Any:
    """Grey levels of 8 bits; 16 bits are halved, transparency lies on white."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return image.fromarray((np.clip(np.asarray(picture, np.int64), 0, 65535) >> 8).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        picture = image.alpha_composite(image.new("RGBA", seen.size, "white"), seen)
    return picture.convert("L")


def _resized(image: Any, grey: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    resized: NDArray[np.uint8] = np.array(image.fromarray(grey).resize((width, height), image.Resampling.LANCZOS))
    return resized


def _centred(image: Any, grey: NDArray[np.uint8], size: tuple[int, int], name: str) -> NDArray[np.uint8]:
    """Cut out, scaled into 20 / 28 of `size`, its centre of mass in the middle."""
    grey = np.where(grey < grey.max() / 4, 0, grey).astype(np.uint8)  # paper is never quite white
    rows, columns = np.flatnonzero(grey.any(axis=1)), np.flatnonzero(grey.any(axis=0))
    if not len(rows) or grey.min() == grey.max():
        raise ValueError(f"{name}: nothing is drawn in this picture")
    cut = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    share = min(side * 20 / 28 / own for side, own in zip(size, cut.shape))
    small = _resized(image, cut, (max(1, round(cut.shape[0] * share)), max(1, round(cut.shape[1] * share))))
    result = np.zeros(size, np.uint8)
    weights = small.astype(np.int64)
    total = int(weights.sum()) or 1
    at = []
    for axis in (0, 1):
        centre = int((weights.sum(axis=1 - axis) * np.arange(small.shape[axis])).sum()) / total
        start = round((size[axis] - 1) / 2 - centre)
        at.append(min(max(start, 0), size[axis] - small.shape[axis]))
    result[at[0] : at[0] + small.shape[0], at[1] : at[1] + small.shape[1]] = small
    return result
