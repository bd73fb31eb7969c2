"""The Python blocks of a page run as one program, and print what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize(("name", "blocks"), [("autograd.md", 4), ("func.md", 5), ("modules.md", 7)])
def test_a_page_runs_and_prints_what_it_says(name: str, blocks: int, capsys: pytest.CaptureFixture[str]) -> None:
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
