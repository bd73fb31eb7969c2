"""Fashion-MNIST and KMNIST: where they are looked for, in which order, and what is believed."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytensor.data import FASHION_CLASSES, KMNIST_CLASSES, IDXError, ImageData, fashion_mnist, kmnist

MODULE = sys.modules["tinytensor.data.mnist"]
DOWNLOAD = "tinytensor.data.download.download"
NAMES = tuple(MODULE._FASHION.checksums)
READERS = {"fashion-mnist": fashion_mnist, "kmnist": kmnist}


def write(folder: Path, to_idx: Callable[[np.ndarray], bytes], value: int) -> dict[str, str]:
    """A small data set whose pixels are all `value`, and its checksums."""
    folder.mkdir(parents=True)
    checksums = {}
    for name in NAMES:
        array = np.full((6, 2, 3), value, np.uint8) if "images" in name else np.arange(6, dtype=np.uint8) % 3
        content = gzip.compress(to_idx(array), mtime=0)
        (folder / f"{name}.gz").write_bytes(content)
        checksums[name] = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return checksums


@pytest.fixture(params=list(READERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def places(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to_idx: Callable[[np.ndarray], bytes]
) -> dict[str, Path]:
    """Every place with a data set of its own in it: the environment's (pixels 1), the cache (2), the package's (3), the net's (4)."""
    folders = {
        "environment": tmp_path / "data" / name,
        "cache": tmp_path / "cache" / "tinytensor" / name,
        "system": tmp_path / "usr" / name,
        "net": tmp_path / "net",
    }
    sums = {place: write(folder, to_idx, i + 1) for i, (place, folder) in enumerate(folders.items())}
    monkeypatch.setenv("TINYTENSOR_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    which = "_FASHION" if name == "fashion-mnist" else "_KMNIST"
    source = getattr(MODULE, which)._replace(checksums=sums["cache"], system=folders["system"])
    monkeypatch.setattr(MODULE, which, source)
    fetched: list[str] = []

    def fetch(urls: list[str], path: Path, checksum: str, *, limit: int) -> None:
        assert [url.rpartition("/")[2] for url in urls] == [path.name] * len(source.urls)
        assert checksum == source.checksums[path.name.removesuffix(".gz")] and limit > 26_421_880
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folders["net"] / path.name, path)
        fetched.append(path.name)

    monkeypatch.setattr(DOWNLOAD, fetch)
    monkeypatch.setattr(MODULE, "_fetched", fetched, raising=False)
    return folders


def pixel(data: ImageData) -> int:
    assert isinstance(data, ImageData) and data.train_labels.dtype == np.int64
    return int(data.train_images[0, 0, 0])


def test_the_first_place_that_has_it(
    name: str, places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Any = READERS[name]
    assert pixel(read(places["net"])) == 4  # a root comes before all
    assert pixel(read()) == 1
    shutil.rmtree(places["environment"])
    assert pixel(read(download=True)) == 2
    shutil.rmtree(places["cache"])
    assert pixel(read(download=True)) == 3
    shutil.rmtree(places["system"])
    with pytest.raises(FileNotFoundError, match=r"(?s)root.*TINYTENSOR_DATA.*download=True.*cache") as caught:
        read()
    assert ("apt install dataset-fashion-mnist" in str(caught.value)) == (name == "fashion-mnist")
    assert "\n" not in str(caught.value) and not MODULE._fetched
    monkeypatch.delenv("TINYTENSOR_DATA")
    assert pixel(read(download=True)) == 4
    assert MODULE._fetched == [f"{part}.gz" for part in NAMES]
    assert sorted(path.name for path in places["cache"].iterdir()) == sorted(MODULE._fetched)


def test_the_cache_is_checked(name: str, places: dict[str, Path]) -> None:
    read: Any = READERS[name]
    shutil.rmtree(places["environment"])
    damaged = places["cache"] / f"{NAMES[1]}.gz"
    shutil.copy(places["cache"] / f"{NAMES[3]}.gz", damaged)
    assert pixel(read()) == 2  # the same labels: the same file
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(IDXError, match=rf"{damaged}: damaged \(sha256:.*, expected sha256:.*download=True"):
        read()
    assert pixel(read(download=True)) == 2
    assert MODULE._fetched == [damaged.name]


def test_an_unfinished_cache_is_completed_or_said(name: str, places: dict[str, Path]) -> None:
    read: Any = READERS[name]
    shutil.rmtree(places["environment"])
    shutil.rmtree(places["system"])
    for part in NAMES[1:3]:
        (places["cache"] / f"{part}.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"\(2 of the four files are missing in .*cache"):
        read()
    assert len(read(download=True).test_labels) == 6
    assert MODULE._fetched == [f"{part}.gz" for part in NAMES[1:3]]


def test_the_cache_is_in_the_home_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to_idx: Callable[[np.ndarray], bytes]
) -> None:
    sums = write(tmp_path / ".cache" / "tinytensor" / "kmnist", to_idx, 9)
    monkeypatch.setattr(MODULE, "_KMNIST", MODULE._KMNIST._replace(checksums=sums))
    monkeypatch.delenv("TINYTENSOR_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert pixel(kmnist()) == 9


def test_an_incomplete_folder_names_what_is_missing(places: dict[str, Path], name: str) -> None:
    (places["environment"] / f"{NAMES[0]}.gz").unlink()
    with pytest.raises(FileNotFoundError, match=f"no {NAMES[0]}"):
        READERS[name]()


def test_names_of_classes() -> None:
    assert len(set(FASHION_CLASSES)) == len(set(KMNIST_CLASSES)) == 10
    assert FASHION_CLASSES[0] == "T-shirt/top" and FASHION_CLASSES[9] == "Ankle boot"


@pytest.mark.skipif(not MODULE._FASHION.system.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_package_of_debian() -> None:
    data = fashion_mnist(MODULE._FASHION.system)
    assert [part.shape for part in data] == [(60000, 28, 28), (60000,), (10000, 28, 28), (10000,)]
    assert np.bincount(data.train_labels).tolist() == [6000] * 10
