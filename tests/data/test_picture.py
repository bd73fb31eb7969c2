"""Pictures as a network's images: prepared as MNIST's were, whatever their mode; what is none is refused by name."""

import io
import struct
import zlib

import numpy as np
import pytest

from tinytensor.data import mnist
from tinytensor.data.picture import read_picture

Image = pytest.importorskip("PIL.Image")


def saved(path, array, **more):
    Image.fromarray(array).save(path, **more)
    return path


@pytest.fixture
def drawn(tmp_path):
    """A dark bar, 60 high and 20 wide, on white paper of 200 x 150, away from the middle."""
    paper = np.full((200, 150), 255, np.uint8)
    paper[20:80, 100:120] = 30
    return saved(tmp_path / "bar.png", paper)


def centre(image):
    weights = image.astype(float)
    return [(weights.sum(axis=1 - axis) * np.arange(28)).sum() / weights.sum() for axis in (0, 1)]


def test_a_drawing_is_cut_out_turned_bright_scaled_and_centred(drawn):
    image = read_picture(drawn)
    assert image.shape == (28, 28) and image.dtype == np.uint8
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert len(rows) == 20 and len(columns) in (6, 7)  # 20 high, proportions kept
    assert image.max() > 200
    assert centre(image) == pytest.approx([13.5, 13.5], abs=0.51)


def test_what_lies_off_its_middle_is_centred_by_mass(tmp_path):
    paper = np.full((100, 100), 255, np.uint8)
    paper[20:80, 20:30] = 0  # an L: its mass is at the left and below
    paper[70:80, 20:60] = 0
    assert centre(read_picture(saved(tmp_path / "l.png", paper))) == pytest.approx([13.5, 13.5], abs=0.51)


def test_an_image_of_the_right_size_is_taken_as_it_is(tmp_path):
    digit = mnist().test_images[0]
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "seven.png", digit)), digit)
    np.testing.assert_array_equal(read_picture(saved(tmp_path / "dark.png", 255 - digit)), digit)
    np.testing.assert_array_equal(read_picture(tmp_path / "dark.png", invert=False), 255 - digit)
    np.testing.assert_array_equal(read_picture(tmp_path / "seven.png", invert=True), 255 - digit)


def test_an_mnist_digit_enlarged_comes_back_nearly(tmp_path):
    digit = mnist().test_images[1]
    large = np.kron(digit, np.ones((9, 9), np.uint8))
    image = read_picture(saved(tmp_path / "large.png", 255 - large)).astype(int)
    assert np.abs(image - digit).mean() < 4


def test_resize_keeps_the_whole(drawn):
    image = read_picture(drawn, prepare="resize")
    assert image.shape == (28, 28)
    assert image[5, 20] > 150 and image[20:, :15].max() < 10  # the bar is still at its place, above and to the right


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16", "CMYK"])
def test_every_mode_gives_the_same_shape(tmp_path, drawn, mode):
    with Image.open(drawn) as grey:
        wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        picture = wide if mode == "I;16" else grey.convert(mode)
    path = tmp_path / ("mode.tif" if mode == "CMYK" else "mode.png")
    picture.save(path)
    difference = read_picture(path).astype(int) - read_picture(drawn)
    assert np.abs(difference).mean() < (15 if mode == "1" else 6)  # two shades are dithered


def test_transparent_paper_is_white(tmp_path):
    pixels = np.zeros((100, 100, 4), np.uint8)  # black, but transparent
    pixels[30:70, 45:55, 3] = 255
    image = read_picture(saved(tmp_path / "t.png", pixels))
    assert image.any() and not image[0].any()


def test_another_size(drawn):
    assert read_picture(drawn, (8, 6)).shape == (8, 6)
    assert read_picture(drawn, (8, 6), "resize").shape == (8, 6)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1)])
def test_extreme_shapes(tmp_path, size):
    paper = np.zeros(size, np.uint8)
    path = saved(tmp_path / "thin.png", paper)
    with pytest.raises(ValueError, match=r"thin.png: nothing is drawn"):
        read_picture(path)
    assert read_picture(path, prepare="resize").shape == (28, 28)


def test_blank_paper_is_refused(tmp_path):
    path = saved(tmp_path / "blank.png", np.full((50, 50), 240, np.uint8))
    with pytest.raises(ValueError, match=r"blank.png: nothing is drawn in this picture"):
        read_picture(path)


def test_what_is_no_picture(tmp_path):
    path = tmp_path / "text.png"
    path.write_text("no picture")
    with pytest.raises(ValueError, match=r"text.png: not a picture"):
        read_picture(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"text.png: not a picture"):
        read_picture(path)
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.png")
    with pytest.raises(IsADirectoryError):
        read_picture(tmp_path)
    with pytest.raises(ValueError, match="prepare must be one of digit, resize, got 'crop'"):
        read_picture(path, prepare="crop")


@pytest.mark.parametrize("orientation", range(1, 10))
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_a_photograph_is_turned_as_its_camera_says(tmp_path, orientation, kind):
    upright = np.full((60, 40), 255, np.uint8)
    upright[10:50, 18:24] = 0
    upright[10:16, 18:34] = 0  # a hook, so that no turn looks like another
    camera = Image.Exif()
    camera[0x0112] = orientation
    stored = {  # Exif 2.3, 4.6.4: which sides of the scene the stored rows and columns begin with
        2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T,
        8: np.rot90(upright, 3),
    }.get(orientation, upright)  # fmt: skip
    path = saved(tmp_path / "upright.png", upright)
    turned = saved(tmp_path / f"turned.{kind}", np.ascontiguousarray(stored), exif=camera)
    np.testing.assert_array_equal(read_picture(turned), read_picture(path))


def test_a_damaged_header_names_the_file(drawn):
    raw = bytearray(drawn.read_bytes())
    raw[8:12] = (5).to_bytes(4, "big")  # of 13
    raw[21:25] = zlib.crc32(raw[12:21]).to_bytes(4, "big")
    drawn.write_bytes(raw)
    with pytest.raises(ValueError, match=r"bar.png: (.*Truncated IHDR|not a picture that Pillow knows)"):
        read_picture(drawn)


def test_a_truncated_picture(drawn):
    raw = drawn.read_bytes()
    whole = read_picture(drawn)
    refused = 0
    for cut in range(0, len(raw), 7):
        drawn.write_bytes(raw[:cut])
        try:
            np.testing.assert_array_equal(read_picture(drawn), whole)  # where only what follows the pixels is gone
        except ValueError as error:
            refused += 1
            assert "bar.png: not a picture" in str(error) or "bar.png: damaged" in str(error)
    assert refused > 10


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    chunks = b""
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(30_001))), (b"IEND", b"")):
        chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    with pytest.raises(ValueError, match=r"bomb.png: (damaged|30000 x 30000 pixels are too many)"):
        read_picture(path)


def test_mutations_load_or_are_refused(drawn):
    raw = bytearray(drawn.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(raw)
        for at in rng.integers(0, len(raw), rng.integers(1, 6)):
            damaged[at] = rng.integers(0, 256)
        drawn.write_bytes(damaged)
        try:
            assert read_picture(drawn).shape == (28, 28)
        except ValueError as error:
            assert "bar.png" in str(error)


def test_the_file_is_closed(drawn, monkeypatch):
    opened = []
    real = io.open

    def keep(*arguments, **more):
        opened.append(real(*arguments, **more))
        return opened[-1]

    monkeypatch.setattr("builtins.open", keep)
    read_picture(drawn)
    assert opened and all(file.closed for file in opened)
