"""What runs the lecture's programs for the site."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import tinytensor as tt

pytest.importorskip("sphinx")
DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(DOCS)
    import run_examples

    yield run_examples
    del sys.modules["run_examples"]


def test_a_program_runs_elsewhere_with_the_package_of_the_build(examples, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys, tinytensor\nassert tinytensor.__file__ == {tt.__file__!r}\nopen(sys.argv[1], 'w')\n"
    )
    assert examples.run(program, "made", folder=tmp_path) == ""
    assert (tmp_path / "made").exists()


def test_a_program_that_fails_is_named_with_its_error(examples, tmp_path) -> None:
    program = tmp_path / "program.py"
    program.write_text("1 / 0\n")
    said = examples.run(program, folder=tmp_path)
    assert said.startswith("program.py failed:\n") and "ZeroDivisionError" in said


def test_the_blocks_of_a_page_keep_their_lines(examples, tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A\n```python\nx = 1\n```\n```text\n1\n```\n```python\ny = 2\n```\n")
    lines = examples.blocks(page).splitlines()
    assert {line: i + 1 for i, line in enumerate(lines) if line} == {"x = 1": 3, "y = 2": 9}
