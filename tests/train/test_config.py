"""Options: what each may be, and TOML files that hold them."""

import math
from dataclasses import asdict, fields

import pytest

from tinytensor.train.config import DataConfig, TrainConfig, options, read_toml, write_toml
from tinytensor.train.recipes import RECIPES, TABLE


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"hidden": (16, 0)}, "hidden widths must be at least 1, got 0"),
        ({"activation": "swish"}, "activation must be one of relu, .*, got 'swish'"),
        ({"norm": "group"}, "norm must be one of none, .*, got 'group'"),
        ({"optimizer": "sam"}, "optimizer must be one of adamw, .*, got 'sam'"),
        ({"schedule": "step"}, "schedule must be one of onecycle, .*, got 'step'"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64, got 'float16'"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"holdout": -1}, "holdout must be at least 0, got -1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ({"label_smoothing": 1}, "label_smoothing must be at least 0 and below 1, got 1"),
        ({"lr": 0.0}, "lr must be above 0, got 0.0"),
        ({"lr": math.nan}, "lr must be above 0, got nan"),
        ({"lr": math.inf}, "lr must be above 0, got inf"),
        ({"clip_grad_norm": 0}, "clip_grad_norm must be above 0, got 0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0, got -0.1"),
        ({"ema": 1.0}, "ema must be at least 0 and below 1"),
        ({"scale": 1.0}, "scale must be at least 0 and below 1"),
        ({"shear": 90.0}, "shear must be at least 0 and below 90"),
        ({"early_stopping": 3}, "early_stopping needs samples to watch: set holdout too"),
    ],
)
def test_values_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"hidden": 16}, "hidden must be a list of whole numbers, got 16"),
        ({"hidden": (16.0,)}, "hidden must be a list of whole numbers"),
        ({"hidden": (True,)}, "hidden must be a list of whole numbers"),
        ({"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ({"epochs": True}, "epochs must be a whole number, got True"),
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"optimizer": None}, "optimizer must be a text, got None"),
    ],
)
def test_values_of_another_type(changes, message):
    with pytest.raises(TypeError, match=message):
        TrainConfig(**changes)


def test_data_has_one_source():
    with pytest.raises(ValueError, match="data and csv exclude each other"):
        DataConfig(data="folder", csv="table.csv", target="y")
    with pytest.raises(ValueError, match="csv needs target"):
        DataConfig(csv="table.csv")
    with pytest.raises(ValueError, match="target is a column of a table: give csv too"):
        DataConfig(target="y")
    with pytest.raises(ValueError, match="source must be one of mnist, fashion, kmnist, got 'cifar'"):
        DataConfig(source="cifar")


def test_every_field_is_an_option_with_help():
    for kind in (TrainConfig, DataConfig):
        found = options(kind)
        assert list(found) == [own.name for own in fields(kind)]
        for own, option in found.values():
            assert option.help and option.group
            assert option.problem(own.name, own.default) is None or own.default in (None, ())


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_configurations(name):
    recipe = RECIPES[name]
    TrainConfig(**recipe.train)
    DataConfig(**recipe.data)
    assert recipe.summary and recipe.reference and recipe.reached


def test_a_table_has_defaults_of_its_own():
    assert TrainConfig(**TABLE) != TrainConfig()


def test_toml_holds_everything(tmp_path):
    data = DataConfig(csv='odd "name"\\\n\x7f\u00e9.csv', target="y \u2192")
    train = TrainConfig(hidden=(), lr=1e-7, weight_decay=0.1, dropout=1 / 3, seed=2**62)
    path = tmp_path / "run.toml"
    write_toml(path, data, train, {"python": "3.11", "threads": 2, "flush_denormal": False})
    found = read_toml(path)
    assert DataConfig(**found["data"]) == data
    assert TrainConfig(**found["train"]) == train
    text = path.read_text(encoding="utf-8")
    assert "[environment]" in text and 'python = "3.11"' in text and "flush_denormal = false" in text


def test_toml_leaves_out_what_is_not_set(tmp_path):
    path = tmp_path / "run.toml"
    write_toml(path, DataConfig(), TrainConfig(), {})
    found = read_toml(path)
    assert found["train"] == {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(TrainConfig()).items()
        if value is not None
    }


@pytest.mark.parametrize(
    "text, message",
    [
        ("[train\n", "not a TOML file"),
        ("[train]\nepochs = \n", "not a TOML file"),
        ("epochs = 3\n", r"unknown entry 'epochs': expected the sections \[data\] and \[train\]"),
        ("[model]\n", "unknown entry 'model'"),
        ("[train]\nepoch = 3\n", r"\[train\] has no option 'epoch': did you mean 'epochs'\?"),
        ("[data]\nzzz = 3\n", r"\[data\] has no option 'zzz'"),
        ("train = 3\n", "unknown entry 'train'"),
        ("[train]\nx = " + "[" * 3000 + "]" * 3000, "not a TOML file"),
    ],
)
def test_damaged_toml(tmp_path, text, message):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"run.toml: {message}"):
        read_toml(path)


def test_toml_that_is_no_text(tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"run.toml: not a TOML file"):
        read_toml(path)
    with pytest.raises(FileNotFoundError):
        read_toml(tmp_path / "none.toml")
