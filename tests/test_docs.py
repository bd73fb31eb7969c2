"""The Python blocks of a page run as one program, and print what the page says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tinytensor import cli
from tinytensor.train import RECIPES

DOCS = Path(__file__).parent.parent / "docs"


PAGES = [
    ("autograd.md", 4), ("func.md", 5), ("files.md", 5), ("data.md", 5), ("modules.md", 7), ("sklearn.md", 3), ("training.md", 3)
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
    found = re.findall(r"^```(python|text)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    assert sum(kind == "python" for kind, _ in found) >= blocks
    for kind, text in found:
        if kind == "python":
            assert capsys.readouterr().out == ""  # what was printed before is shown on the page
            exec(compile(text, str(page), "exec"), names)
        else:
            assert capsys.readouterr().out == text
    assert capsys.readouterr().out == ""


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
