"""State dicts of PyTorch, by name: its files load into the equal model here, and ours there."""

import warnings

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn

library = pytest.importorskip("safetensors.numpy")


def layers(nn):
    """The same lines for tinytensor.nn and torch.nn."""
    image = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.PReLU(4),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, groups=2, bias=False),
        nn.GroupNorm(2, 4),
        nn.Flatten(),
        nn.Linear(16, 6),
        nn.LayerNorm(6),
        nn.GELU(),
        nn.Linear(6, 3),
    )
    words = nn.Sequential(
        nn.Embedding(10, 5), nn.Flatten(), nn.Linear(15, 4), nn.BatchNorm1d(4), nn.RMSNorm(4), nn.PReLU()
    )
    return nn.ModuleDict({"image": image, "words": words})


# What torch.nn gives these layers for names and shapes, written down by hand.
PYTORCH = {
    "image.0.weight": (4, 2, 3, 3),
    "image.0.bias": (4,),
    "image.1.weight": (4,),
    "image.1.bias": (4,),
    "image.1.running_mean": (4,),
    "image.1.running_var": (4,),
    "image.1.num_batches_tracked": (),
    "image.2.weight": (4,),
    "image.4.weight": (4, 2, 3, 3),
    "image.5.weight": (4,),
    "image.5.bias": (4,),
    "image.7.weight": (6, 16),
    "image.7.bias": (6,),
    "image.8.weight": (6,),
    "image.8.bias": (6,),
    "image.10.weight": (3, 6),
    "image.10.bias": (3,),
    "words.0.weight": (10, 5),
    "words.2.weight": (4, 15),
    "words.2.bias": (4,),
    "words.3.weight": (4,),
    "words.3.bias": (4,),
    "words.3.running_mean": (4,),
    "words.3.running_var": (4,),
    "words.3.num_batches_tracked": (),
    "words.4.weight": (4,),
    "words.5.weight": (1,),
}


def written(path, dtype=np.float32):
    """A file of PyTorch's names, and its arrays."""
    generator = np.random.default_rng(3)
    state = {name: np.asarray(generator.uniform(0.1, 1, shape), dtype) for name, shape in PYTORCH.items()}
    for name in state:
        if name.endswith("tracked"):
            state[name] = np.array(7)
    library.save_file(state, path)
    return state


def test_a_file_with_the_names_of_pytorch_fills_the_equal_model(tmp_path):
    state = written(tmp_path / "model.safetensors")
    model = layers(nn)
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == PYTORCH
    result = model.load_state_dict(tt.load(tmp_path / "model.safetensors"))
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    for name, value in model.state_dict().items():
        assert value.numpy().tobytes() == state[name].tobytes(), name


def test_half_floats_fill_a_model_of_float32(tmp_path):
    state = written(tmp_path / "model.safetensors", np.float16)
    model = layers(nn)
    model.load_state_dict(tt.load(tmp_path / "model.safetensors"))
    for name, value in model.state_dict().items():
        assert value.dtype == ("int64" if name.endswith("tracked") else "float32")
        np.testing.assert_array_equal(value.numpy(), state[name])


def test_what_does_not_fit_is_named_as_pytorch_names_it(tmp_path):
    torch = pytest.importorskip("torch")
    written(tmp_path / "model.safetensors")
    kept = tt.load(tmp_path / "model.safetensors")
    kept["image.7.weight"] = kept["image.7.weight"].T
    kept["image.7.bias"] = kept["image.7.bias"][:5]
    kept["words.6.bias"] = kept.pop("words.2.bias")
    del kept["words.0.weight"]
    theirs = {name: torch.from_numpy(value.numpy()) for name, value in kept.items()}
    model = layers(nn)
    before = {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
    for strict in (True, False):
        messages = []
        for network, state in ((model, kept), (layers(torch.nn), theirs)):
            with pytest.raises(RuntimeError, match="size mismatch for image") as caught:
                network.load_state_dict(state, strict=strict)
            text = str(caught.value).replace("torch.Size([", "(").replace("])", ")").replace(",)", ")")
            messages.append(sorted(line.strip() for line in text.splitlines()))
        assert messages[0] == messages[1]
        assert ("Missing" in "".join(messages[0])) is strict
    assert before == {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
    for name in ("image.7.weight", "image.7.bias"):
        del kept[name], theirs[name]
    ours, other = model.load_state_dict(kept, strict=False), layers(torch.nn).load_state_dict(theirs, strict=False)
    assert set(ours.missing_keys) == set(other.missing_keys) != set()
    assert ours.unexpected_keys == other.unexpected_keys == ["words.6.bias"]


@pytest.fixture
def pair():
    """The equal models, after a step of each norm's statistics in PyTorch."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = layers(torch.nn)
    with torch.no_grad():
        theirs["image"](torch.randn(6, 2, 8, 8) * 3 + 1)
        theirs["words"](torch.randint(10, (6, 3)))
    return layers(nn), theirs


def outputs_agree(ours, theirs):
    import torch

    generator = np.random.default_rng(5)
    inputs = {
        "image": generator.normal(size=(4, 2, 8, 8)).astype(np.float32),
        "words": generator.integers(10, size=(4, 3)),
    }
    ours.eval()
    theirs.eval()
    for part, x in inputs.items():
        with torch.no_grad():
            expected = theirs[part](torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(ours[part](tt.from_numpy(x)).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_file_of_pytorch_gives_the_same_outputs_here(tmp_path, pair):
    save_file = pytest.importorskip("safetensors.torch").save_file
    ours, theirs = pair
    save_file(theirs.state_dict(), tmp_path / "model.safetensors", metadata={"format": "pt"})
    ours.load_state_dict(tt.load(tmp_path / "model.safetensors"))
    assert int(ours["image"][1].num_batches_tracked) == 1
    outputs_agree(ours, theirs)


@pytest.mark.parametrize("nested", [False, True])
def test_a_file_of_ours_gives_the_same_outputs_there(tmp_path, pair, nested):
    load_file = pytest.importorskip("safetensors.torch").load_file
    ours, theirs = pair
    with tt.no_grad():
        ours["image"](tt.randn(6, 2, 8, 8) * 3 + 1)
        ours["words"](tt.randint(10, (6, 3)))
    if nested:
        tt.save({"model": ours.state_dict(), "epoch": 3}, tmp_path / "model.safetensors")
        state = load_file(tmp_path / "model.safetensors")
        state = {name.removeprefix("model."): value for name, value in state.items()}
    else:
        tt.save(ours.state_dict(), tmp_path / "model.safetensors")
        state = load_file(tmp_path / "model.safetensors")
    theirs.load_state_dict(state)
    outputs_agree(ours, theirs)


def test_an_archive_of_ours_gives_the_same_outputs_there(tmp_path, pair):
    import torch

    ours, theirs = pair
    tt.save(ours.state_dict(), tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as archive:
        theirs.load_state_dict({name: torch.from_numpy(archive[name]) for name in archive})
    outputs_agree(ours, theirs)


def test_bfloat16_and_8_bits_are_the_values_that_pytorch_means(tmp_path):
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    bits = torch.arange(256).to(torch.uint8)
    state = {
        "bfloat16": torch.arange(2**16).to(torch.int32).to(torch.int16).view(torch.bfloat16),
        "e4m3": bits.clone().view(torch.float8_e4m3fn),
        "e5m2": bits.view(torch.float8_e5m2),
        "half": torch.linspace(-3, 3, 9).half(),
        "int32": torch.arange(3, dtype=torch.int32),
    }
    save_file(state, tmp_path / "file")
    got = tt.load(tmp_path / "file")
    for name, value in state.items():
        assert got[name].dtype == ("int64" if name == "int32" else "float32")
        np.testing.assert_array_equal(got[name].numpy(), value.to(torch.float64).numpy())


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_save_is_recognised_and_the_advice_works(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    path = tmp_path / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of its older format
        torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"model.pt: this is a pickle, as torch\.save writes") as caught:
        tt.load(path)
    (advice,) = str(caught.value).splitlines()
    command = advice[advice.index("safetensors.torch.save_file(") :].removeprefix("safetensors.torch.")
    exec(
        command.replace('"model.safetensors"', "new"),
        {"save_file": save_file, "torch": torch, "path": path, "new": tmp_path / "new"},
    )
    assert tt.load(tmp_path / "new")["a"].tolist() == [1, 1, 1]


def test_load_takes_the_arguments_that_programs_give(tmp_path):
    tt.save({"w": tt.ones(2)}, tmp_path / "x.safetensors")
    for more in ({"map_location": "cpu"}, {"map_location": tt.device("cpu"), "weights_only": True}):
        assert tt.load(tmp_path / "x.safetensors", **more)["w"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="reads no pickled objects, weights_only=False"):
        tt.load(tmp_path / "x.safetensors", weights_only=False)
    with pytest.raises(RuntimeError, match="cuda"):
        tt.load(tmp_path / "x.safetensors", map_location="cuda")
