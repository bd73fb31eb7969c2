"""Random changes of images: what they draw, for whom, and that data sets, batches and loaders give the same ones again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    ImageDataset,
    Subset,
    TensorDataset,
    batches,
    default_collate,
)
from tinytensor.data.transforms import (
    Compose,
    ElasticTransform,
    Normalize,
    RandomAffine,
    RandomApply,
    RandomCrop,
    RandomDistortion,
    RandomErasing,
    RandomHorizontalFlip,
    RandomRotation,
    Transform,
)

ALL: list[Transform] = [
    RandomDistortion(15, (0.1, 0.1), (0.85, 1.15), 10, alpha=34),
    RandomAffine(10, (0.1, 0.2), (0.9, 1.1), (-5, 5, -3, 3)),
    RandomRotation(20),
    ElasticTransform(),
    RandomCrop(12, padding=2),
    RandomHorizontalFlip(),
    RandomErasing(),
    Compose([RandomRotation(20), RandomErasing()]),
    RandomApply([RandomRotation(20)]),
]
IDS = [type(f).__name__ for f in ALL]


def images(*shape: int, dtype: Any = tt.float32) -> tt.Tensor:
    return tt.rand(*shape, dtype=dtype, generator=tt.Generator(3))


# -------------------------------------------------------------------------------------------------------- all transforms
@pytest.mark.parametrize("f", ALL, ids=IDS)
@pytest.mark.parametrize("shape", [(6, 12, 12), (6, 2, 12, 12), (12, 12), (0, 12, 12)])
@pytest.mark.parametrize("dtype", [tt.float32, tt.float64])
def test_new_images_of_the_same_shape_and_dtype(f: Transform, shape: tuple[int, ...], dtype: Any) -> None:
    x = images(*shape, dtype=dtype)
    before = x.numpy().copy()
    y = f(x)
    assert y.shape == shape and y.dtype == dtype and not np.shares_memory(y.numpy(), x.numpy())
    np.testing.assert_array_equal(x.numpy(), before)


@pytest.mark.parametrize("f", ALL, ids=IDS)
def test_each_image_draws_its_own_and_its_channels_share_it(f: Transform) -> None:
    x = tt.tensor(np.tile(images(12, 12).numpy(), (40, 2, 1, 1)))
    y = f(x).numpy()
    np.testing.assert_array_equal(y[:, 0], y[:, 1])
    assert len({image.tobytes() for image in y[:, 0]}) >= (2 if isinstance(f, RandomHorizontalFlip) else 12)


@pytest.mark.parametrize("f", ALL, ids=IDS)
def test_the_seed_fixes_what_is_drawn(f: Transform) -> None:
    x = images(20, 12, 12)
    own = tt.Generator(5)
    state = tt.random.default_generator.get_state()
    first, second = f(x, own), f(x, generator=own)
    assert tt.random.default_generator.get_state() == state
    assert first.tolist() != second.tolist()
    assert f(x, tt.Generator(5)).tolist() == first.tolist()
    tt.manual_seed(5)
    assert f(x).tolist() == first.tolist()


@pytest.mark.parametrize("f", [*ALL, Normalize(0.5, 2.0)], ids=[*IDS, "Normalize"])
def test_what_is_no_batch_of_images_is_refused(f: Transform) -> None:
    name = type(f.transforms[0] if isinstance(f, Compose) else f).__name__  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=f"{name}: expected a Tensor, got ndarray"):
        f(np.zeros((2, 12, 12)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=f"{name}: .* got uint8: images.float"):
        f(tt.zeros(2, 12, 12, dtype=tt.uint8))
    with pytest.raises(ValueError, match=f"{name}: .* got \\(12,\\)"):
        f(tt.zeros(12))
    with pytest.raises(ValueError, match=f"{name}: has no gradient: give images.detach"):
        f(tt.zeros(2, 12, 12, requires_grad=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomAffine(-1), "RandomAffine: degrees must be a number >= 0"),
        (lambda: RandomRotation((3, 1)), "RandomRotation: degrees"),
        (lambda: RandomAffine((1, 2, 3)), "degrees must be two numbers"),
        (lambda: RandomAffine(math.nan), "degrees"),
        (lambda: RandomAffine(0, translate=(0.1, 1.5)), "two fractions from 0 to 1"),
        (lambda: RandomAffine(0, scale=(0, 1)), "0 < low <= high"),
        (lambda: RandomAffine(0, scale=(1.2, 1)), "0 < low <= high"),
        (lambda: RandomAffine(0, shear=90), "between -90 and 90"),
        (lambda: ElasticTransform(alpha=-1), "ElasticTransform: alpha must be a finite number >= 0, got -1"),
        (lambda: RandomDistortion(sigma=math.inf), "sigma must be a finite number >= 0"),
        (lambda: RandomHorizontalFlip(1.5), "p must be a finite number from 0 to 1"),
        (lambda: RandomErasing(scale=(0.5, 0.1)), "RandomErasing: scale must be"),
        (lambda: RandomErasing(ratio=(0, 1)), "RandomErasing: scale must be"),
        (lambda: RandomCrop(0), "RandomCrop: size must be at least 1"),
        (lambda: RandomCrop(14)(images(2, 12, 12)), r"size \(14, 14\) of images \(2, 1, 12, 12\) with padding 0"),
        (lambda: Normalize(0, 0), "std must be a finite number above 0"),
        (lambda: Normalize(float("nan"), 1), "mean must be a finite number or one for each channel, got nan"),
        (lambda: Normalize([0.1, float("inf")], 1), "mean must be a finite number"),
        (lambda: Normalize([1, 2, 3], 1)(images(4, 2, 3, 3)), "3 means and 1 deviations for 2 channels"),
        (lambda: RandomApply([RandomCrop(3)], 1)(images(2, 12, 12)), r"made \(2, 3, 3\) of \(2, 12, 12\)"),
    ],
)
def test_ranges_that_are_none(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("size", "padding"), [(20.0, 0), ((1, 2, 3), 0), ("x", 0), (20, (1, 2)), (20, 1.5)])
def test_crops_that_are_none(size: Any, padding: Any) -> None:
    with pytest.raises(TypeError, match=r"RandomCrop: size must be a whole number or two and padding one.* got "):
        RandomCrop(size, padding)


def test_a_crop_of_numpys_size() -> None:
    assert RandomCrop(np.int64(5))(images(2, 12, 12)).shape == (2, 5, 5)


def test_they_show_their_settings() -> None:
    assert repr(RandomHorizontalFlip(0.25)) == "RandomHorizontalFlip(p=0.25)"
    assert repr(RandomRotation((10, 30), fill=-1)) == "RandomRotation(degrees=(10.0, 30.0), fill=-1.0)"
    assert (
        repr(Compose([ElasticTransform()])) == "Compose(transforms=[ElasticTransform(alpha=34.0, sigma=4.0, fill=0.0)])"
    )


# ---------------------------------------------------------------------------------------------------------------- warps
def matrices(f: RandomDistortion, count: int = 4000, height: int = 21, width: int = 41) -> np.ndarray:
    return f._matrices(count, height, width, tt.Generator(1))


def test_affine_maps_are_the_inverse_of_shear_turn_scale_and_shift() -> None:
    """In (x, y), about the centre (20, 10): torchvision's convention."""
    turn, lean_x, lean_y, size = np.deg2rad(25), np.deg2rad(12), np.deg2rad(-7), 1.3
    f = RandomAffine((25, 25), (0.1, 0.2), (size, size), (12, 12, -7, -7))
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shears = np.array([[1, 0], [-np.tan(lean_y), 1]]) @ np.array([[1, -np.tan(lean_x)], [0, 1]])
    forward, centre = size * rotate @ shears, np.array([20, 10])
    for m in matrices(f, 20):
        back = m[::-1, [1, 0, 2]]  # rows and columns as (x, y)
        np.testing.assert_allclose(back[:, :2], np.linalg.inv(forward), atol=1e-12)
        shift = np.linalg.solve(back[:, :2], centre - back[:, 2]) - centre  # where the centre goes
        assert abs(shift[0]) <= 0.1 * 41 and abs(shift[1]) <= 0.2 * 21


def test_shifts_turns_and_sizes_are_uniform() -> None:
    shift = -matrices(RandomAffine(0, (0.1, 0.2)))[:, :, 2]
    for column, bound in ((0, 0.2 * 21), (1, 0.1 * 41)):
        assert -bound <= shift[:, column].min() < -0.99 * bound and 0.99 * bound < shift[:, column].max() <= bound
        assert abs(shift[:, column].mean()) < 0.05 * bound
        assert shift[:, column].std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert abs(np.corrcoef(shift.T)[0, 1]) < 0.05
    m = matrices(RandomAffine((-10, 30)))
    turns = np.rad2deg(np.arctan2(m[:, 0, 1], m[:, 0, 0]))
    angle = -turns
    assert -10 <= angle.min() < -9.5 and 29.5 < angle.max() <= 30 and angle.mean() == pytest.approx(10, abs=1)
    sizes = 1 / matrices(RandomAffine(0, scale=(0.5, 2)))[:, 0, 0]
    assert 0.5 <= sizes.min() < 0.51 and 1.98 < sizes.max() <= 2 and sizes.mean() == pytest.approx(1.25, abs=0.04)
    leans = np.rad2deg(np.arctan(matrices(RandomAffine(0, shear=20))[:, 1, 0]))
    assert -20 <= leans.min() < -19 and 19 < leans.max() <= 20
    assert (matrices(RandomAffine(0, shear=20))[:, 0, :2] == (1, 0)).all()


def test_quarter_turns_and_their_direction() -> None:
    x = images(3, 9, 9, dtype=tt.float64)
    np.testing.assert_allclose(RandomRotation((90, 90))(x).numpy(), np.rot90(x.numpy(), 1, (1, 2)), atol=1e-12)
    np.testing.assert_allclose(RandomAffine((90, 90))(x).numpy(), np.rot90(x.numpy(), -1, (1, 2)), atol=1e-12)


def test_nothing_to_do_is_exact() -> None:
    x = images(3, 2, 9, 8)
    for f in (RandomAffine(0), RandomRotation(0), ElasticTransform(alpha=0), RandomDistortion(scale=(1, 1))):
        assert f(x).tolist() == x.tolist()


def test_fill_lies_outside() -> None:
    y = RandomAffine(0, scale=(0.25, 0.25), fill=-3.0)(tt.ones(2, 28, 28)).numpy()
    assert (y[:, :8] == -3).all() and (y[:, 12:16, 12:16] == 1).all()


def smooth_reference(noise: np.ndarray, sigma: float) -> np.ndarray:
    def band(n: int) -> np.ndarray:
        reach = math.ceil(4 * sigma)
        curve = {k: math.exp(-0.5 * (k / sigma) ** 2) for k in range(-reach, reach + 1)}
        return np.array([[curve.get(j - i, 0) / sum(curve.values()) for j in range(n)] for i in range(n)])

    return band(noise.shape[-2]) @ noise @ band(noise.shape[-1]).T


@pytest.mark.parametrize("sigma", [0.7, 4.0, 20.0])
def test_elastic_displacements_are_smoothed_noise_times_alpha(sigma: float) -> None:
    f, x = ElasticTransform(34, sigma), images(5, 1, 28, 24, dtype=tt.float64)
    got = f._field(x.numpy(), tt.Generator(4))
    noise = tt.rand(5, 2, 28, 24, dtype=tt.float64, generator=tt.Generator(4)).numpy() * 2 - 1
    np.testing.assert_allclose(got, 34 * smooth_reference(noise, sigma), atol=1e-12)
    assert f(x, tt.Generator(4)).tolist() != x.tolist()


def test_elastic_displacements_in_pixels() -> None:
    """Far from the border their deviation is alpha / (sqrt(3) 2 sqrt(pi) sigma)."""
    field = ElasticTransform()._field(np.zeros((200, 1, 64, 64), np.float32), tt.Generator(4))
    assert field is not None
    middle = field[:, :, 24:40, 24:40]
    assert middle.std() == pytest.approx(34 / (2 * math.sqrt(3 * math.pi) * 4), rel=0.05)
    assert abs(middle.mean()) < 0.2
    assert field[:, :, 0].std() < 0.8 * middle.std()  # noise is 0 outside


def test_a_displacement_of_noise_without_smoothing() -> None:
    field = ElasticTransform(2.0, 0.0)._field(np.zeros((5, 1, 8, 8), np.float32), tt.Generator(4))
    np.testing.assert_array_equal(field, tt.random.uniform((5, 2, 8, 8), -2, 2, np.float32, tt.Generator(4)))


# ------------------------------------------------------------------------------------------------------ pixels as they are
def test_normalize() -> None:
    x = images(4, 2, 3, 3, dtype=tt.float64)
    y = Normalize([0.1, 0.2], [0.5, 2.0])(x).numpy()
    want = (x.numpy() - np.reshape([0.1, 0.2], (2, 1, 1))) / np.reshape([0.5, 2.0], (2, 1, 1))
    np.testing.assert_allclose(y, want, rtol=1e-15)
    np.testing.assert_allclose(
        Normalize(0.1307, 0.3081)(x.float()).numpy(), (x.numpy() - 0.1307) / 0.3081, rtol=2e-6, atol=1e-7
    )


def test_flips_have_their_probability() -> None:
    x = images(2000, 2, 3)
    y = RandomHorizontalFlip(0.3)(x).numpy()
    flipped = (y == x.numpy()[..., ::-1]).all((1, 2))
    assert (flipped | (y == x.numpy()).all((1, 2))).all() and 0.26 < flipped.mean() < 0.34
    assert RandomHorizontalFlip(0)(x).tolist() == x.tolist()
    assert RandomHorizontalFlip(1)(x).tolist() == x.flip(2).tolist()


def test_crops_are_parts_of_the_padded_image_and_reach_all_places() -> None:
    x = tt.arange(1, 21, dtype=tt.float32).reshape(1, 4, 5).expand(600, 4, 5)
    padded = np.pad(x[0].numpy(), 1, constant_values=-1)
    places = {padded[i : i + 3, j : j + 6].tobytes(): (i, j) for i in range(4) for j in range(2)}
    got = RandomCrop((3, 6), padding=1, fill=-1)(x).numpy()
    counts = dict.fromkeys(places.values(), 0)
    for crop in got:
        counts[places[crop.tobytes()]] += 1
    assert got.shape == (600, 3, 6) and min(counts.values()) > 40


def test_erased_rectangles() -> None:
    x = tt.ones(2000, 1, 20, 30)
    y = RandomErasing(0.5, (0.05, 0.2), (0.5, 2.0), value=7.0)(x).numpy()[:, 0]
    erased = y == 7
    assert ((y == 1) | erased).all() and 0.46 < erased.any((1, 2)).mean() < 0.54
    for image in erased[erased.any((1, 2))]:
        i, j = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        h, w = i[-1] - i[0] + 1, j[-1] - j[0] + 1
        assert image.sum() == h * w  # one whole rectangle
        assert 0.03 < h * w / 600 < 0.24 and 0.4 < h / w < 2.5
    everywhere = erased.mean(0)
    assert everywhere.min() > 0


def test_compose_draws_one_after_the_other_and_takes_any_callable() -> None:
    x, own = images(5, 12, 12), tt.Generator(6)
    want = RandomErasing()(RandomRotation(20)(x, own) * 2, own)
    f = Compose([RandomRotation(20), lambda t: t * 2, RandomErasing()])
    assert f(x, tt.Generator(6)).tolist() == want.tolist()
    with pytest.raises(TypeError, match="gave ndarray, expected a Tensor"):
        Compose([lambda t: t.numpy()])(x)


def test_apply_leaves_the_others_as_they_are() -> None:
    x = images(2000, 2, 3)
    y = RandomApply([lambda t: t + 1], 0.3)(x).numpy()
    changed = (y == x.numpy() + 1).all((1, 2))
    assert (changed | (y == x.numpy()).all((1, 2))).all() and 0.26 < changed.mean() < 0.34


# ---------------------------------------------------------------------------------- data sets, batches and loaders
BYTES = np.random.default_rng(0).integers(0, 256, (23, 8, 8), dtype=np.uint8)
LABELS = np.arange(23)
TURN = RandomRotation(30)


def drawn(loader: Any) -> list[Any]:
    return [(x.tolist(), y.tolist()) for x, y in loader]


def data(transform: Any = TURN) -> ImageDataset:
    return ImageDataset(BYTES, LABELS, transform=transform)


def test_a_data_set_transforms_after_scaling() -> None:
    x, y = data(lambda t: t + 1).batch(np.array([3, 1]))
    np.testing.assert_array_equal(x.numpy(), data(None).batch(np.array([3, 1]))[0].numpy() + np.float32(1))
    assert y.tolist() == [3, 1]
    tt.manual_seed(4)
    one, label = data()[-1]
    assert one.shape == (8, 8) and label.item() == 22
    want = TURN(tt.from_numpy(BYTES[-1:]).float() / 255, tt.Generator(4))[0]
    np.testing.assert_allclose(one.numpy(), want.numpy(), atol=1e-6)


def test_data_sets_say_whether_they_draw() -> None:
    plain, changing = TensorDataset(tt.zeros(3)), data()
    assert not plain.draws and not data(None).draws and not Subset(plain, [0]).draws
    assert changing.draws and Subset(changing, [0]).draws and ConcatDataset([data(None), changing]).draws


LOADERS: dict[str, Callable[..., DataLoader[Any]]] = {
    "batches": lambda **k: DataLoader(data(), 5, **k),
    "samples": lambda **k: DataLoader(data(), 5, collate_fn=default_collate, **k),
    "single": lambda **k: DataLoader(data(), None, **k),
    "subset": lambda **k: DataLoader(Subset(data(), range(3, 20)), 5, **k),
    "joined": lambda **k: DataLoader(ConcatDataset([data(), data(None)]), 5, **k),
}


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("shuffle", [False, True])
def test_threads_draw_the_same(kind: str, shuffle: bool) -> None:
    make = LOADERS[kind]
    loaders = [make(shuffle=shuffle, num_workers=n, generator=tt.Generator(7)) for n in (0, 1, 3)]
    first, second = ([drawn(loader) for loader in loaders] for _ in range(2))
    assert first[0] == first[1] == first[2] and second[0] == second[1] == second[2]
    assert [x for x, _ in first[0]] != [x for x, _ in second[0]]
    if not shuffle:
        assert [y for _, y in first[0]] == [y for _, y in second[0]]


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_pass_goes_on_where_it_was(kind: str, workers: int, shuffle: bool) -> None:
    whole = LOADERS[kind](shuffle=shuffle, generator=tt.Generator(7))
    want = drawn(whole) + drawn(whole)
    loader = LOADERS[kind](shuffle=shuffle, num_workers=workers, generator=tt.Generator(7))
    pass_under_way = iter(loader)
    got = drawn(next(pass_under_way) for _ in range(2))
    state = json.loads(json.dumps(loader.state_dict()))
    other = LOADERS[kind](shuffle=shuffle, num_workers=workers, generator=tt.Generator(99))
    other.load_state_dict(state)
    assert got + drawn(other) + drawn(other) == want


def test_no_two_batches_of_a_pass_draw_the_same() -> None:
    same = ImageDataset(np.tile(BYTES[:1], (12, 1, 1)), LABELS[:12], transform=TURN)
    images_drawn = {image.numpy().tobytes() for x, _ in DataLoader(same, 3) for image in x}
    assert len(images_drawn) == 12


class Noise(Dataset[tuple[float, int]]):
    """A data set of one's own that draws."""

    draws = True

    def __len__(self) -> int:
        return 9

    def sample(self, index: int, generator: tt.Generator | None = None) -> tuple[float, int]:
        return tt.rand(1, generator=generator).item(), index

    def __getitem__(self, index: int) -> tuple[float, int]:
        return self.sample(index)


def test_a_data_set_of_ones_own_may_draw() -> None:
    loaders = [DataLoader(Noise(), 2, shuffle=True, num_workers=n, generator=tt.Generator(2)) for n in (0, 3)]
    one, two = map(drawn, loaders)
    assert one == two and len({v for x, _ in one for v in x}) == 9
    assert drawn(DataLoader(Subset(Noise(), [1, 2, 3]), 2, generator=tt.Generator(2), num_workers=2))[1][1] == [3]


def test_the_order_of_data_sets_that_do_not_draw_is_as_it_was() -> None:
    order = tt.randperm(23, generator=tt.Generator(7)).tolist()
    got = drawn(DataLoader(data(None), 5, shuffle=True, generator=tt.Generator(7)))
    assert [i for _, y in got for i in y] == order
    got = drawn(batches(BYTES, LABELS, 5, tt.Generator(7)))
    assert [i for _, y in got for i in y] == order


def test_batches_transformed() -> None:
    first, again = (drawn(batches(BYTES, LABELS, 5, tt.Generator(7), transform=TURN)) for _ in range(2))
    assert first == again and len(first) == 5
    own = tt.Generator(7)
    passes = [drawn(batches(BYTES, LABELS, 5, own, shuffle=False, transform=TURN)) for _ in range(2)]
    assert passes[0] != passes[1] and [y for _, y in passes[0]] == [y for _, y in passes[1]]
    loader = DataLoader(data(), 5, shuffle=True, generator=tt.Generator(7))
    assert first == drawn(loader)  # the same order and the same draws


@pytest.mark.parametrize(
    "make", [lambda x, f: ImageDataset(x, LABELS, transform=f), lambda x, f: batches(x, LABELS, 5, transform=f)]
)
def test_transforms_that_do_not_fit(make: Any) -> None:
    with pytest.raises(ValueError, match=r"RandomRotation\(.*\) needs images \(N, H, W\) .*, got \(23, 64\): reshape"):
        make(BYTES.reshape(23, 64), TURN)
    with pytest.raises(TypeError, match="transform must be callable, got int"):
        make(BYTES, 3)
