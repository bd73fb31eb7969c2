"""The Python blocks of a page run as one program, and print what the page says."""

from __future__ import annotations

import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import cli
from tinytensor.train import RECIPES

DOCS = Path(__file__).parent.parent / "docs"


PAGES = [
    ("autograd.md", 4), ("func.md", 5), ("files.md", 5), ("data.md", 5), ("modules.md", 7), ("sklearn.md", 3), ("training.md", 3),
    ("index.md", 1), ("see_inside.md", 7), ("start_numpy.md", 3), ("start_pytorch.md", 3),
]  # fmt: skip


@pytest.mark.parametrize(("name", "blocks"), PAGES)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # a fit of few iterations has not converged
def test_a_page_runs_and_prints_what_it_says(
    name: str, blocks: int, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(DOCS.parent / "examples", tmp_path / "examples")  # pages name files of the repository
    monkeypatch.chdir(tmp_path)
    if name == "sklearn.md":
        pytest.importorskip("sklearn")
    page = DOCS / name
    names: dict[str, Any] = {"__name__": "page"}
    found = list(re.finditer(r"^```(python|text)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE))
    assert sum(block[1] == "python" for block in found) >= blocks
    for block in found:
        kind, text = block.groups()
        if kind == "python":
            assert capsys.readouterr().out == ""  # what was printed before is shown on the page
            above = "\n" * block.string.count("\n", 0, block.start(2))  # so that lines have the page's numbers
            exec(compile(above + text, str(page), "exec"), names)
        else:
            assert capsys.readouterr().out == text
    assert capsys.readouterr().out == ""


def outcome(code: str, names: dict[str, Any]) -> str:
    """What a Python expression gives: its repr, or the error's name."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return repr(eval(code, {"np": np, **names}))
    except Exception as error:
        return type(error).__name__


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of a table's rows, those that are code and nothing else without their backticks, else empty."""
    _, _, table = (DOCS / page).read_text().partition(heading)
    lines = [line for line in table.partition("\n\n")[0].splitlines() if line.startswith("| `")]
    return [
        [re.fullmatch(r" *(?:`([^`]*)`)?.*", cell)[1] or "" for cell in line.strip("|").split(" | ")] for line in lines
    ]  # type: ignore[index]


def test_the_differences_from_numpy_are_true() -> None:
    table = rows("start_numpy.md", "| NumPy | gives | here | gives | |")
    assert len(table) >= 10
    for numpy, gives, here, then, _ in table:
        assert (outcome(numpy, {}), outcome(here, {"tt": tt})) == (gives, then), (numpy, here)


@pytest.mark.parametrize("library", ["tinytensor", "torch"])
def test_the_differences_from_pytorch_are_true(library: str) -> None:
    table = rows("start_pytorch.md", "| expression | PyTorch | here | |")
    assert len(table) >= 10
    module = tt if library == "tinytensor" else pytest.importorskip("torch")
    for code, torch, here, _ in table:
        assert outcome(code, {"torch": module}) == (here if module is tt else torch), code


@pytest.mark.parametrize("page", ["training.md", "../README.md"])
def test_the_commands_of_a_page_can_be_read(page: str) -> None:
    text = (DOCS / page).read_text()
    lines = [line.partition("#")[0].split() for line in text.splitlines() if line.startswith("tinytensor ")]
    assert len(lines) >= 4
    for words in lines:
        options = cli.read(words[1:])
        assert options.command == words[1]


def test_the_recipes_are_those_of_the_page() -> None:
    text = (DOCS / "training.md").read_text()
    for name, recipe in RECIPES.items():
        assert f"| `{name}` | {recipe.summary} | {recipe.reference} | {recipe.reached} |" in text
