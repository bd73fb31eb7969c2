"""The lecture's pages: each program runs, prints what its page says, makes the pictures that the page shows, and the page's code is
the program's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tinytensor as tt

ROOT = Path(__file__).parent.parent
PAGES = sorted(path.stem for path in (ROOT / "docs" / "backprop").glob("[a-z]_*.md"))


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def matches(line: str, said: str) -> bool:
    """Whether a printed line is what the page says; `...` there stands for anything, as for a time."""
    return re.fullmatch(".*".join(map(re.escape, said.split("..."))), line) is not None


@pytest.mark.parametrize("name", PAGES)
def test_a_program_prints_what_its_page_says_and_makes_its_pictures(name: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "backprop" / f"{name}.md").read_text()
    environment = {**os.environ, "PYTHONPATH": str(Path(tt.__file__).parent.parent), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "backprop" / f"{name}.py", tmp_path / "pictures"],
        env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True, timeout=120, check=True,
    )  # fmt: skip
    printed, said = done.stdout.splitlines(), "".join(blocks(page, "text")).splitlines()
    differing = [
        f"line {i + 1}: printed {a!r}, the page says {b!r}"
        for i, (a, b) in enumerate(zip(printed, said))
        if not matches(a, b)
    ]
    assert not differing and len(printed) == len(said), (differing, done.stdout)
    pictures = re.findall(r"\]\(pictures/([^)]+)\)", page)
    assert pictures and all((tmp_path / "pictures" / picture).stat().st_size > 200 for picture in pictures)


@pytest.mark.parametrize("name", PAGES)
def test_the_code_of_a_page_is_its_programs(name: str) -> None:
    page = (ROOT / "docs" / "backprop" / f"{name}.md").read_text()
    lines = (ROOT / "examples" / "backprop" / f"{name}.py").read_text().splitlines()
    shown = blocks(page, "python")
    assert shown
    for block in shown:
        wanted = block.splitlines()
        runs = (textwrap.dedent("\n".join(lines[i : i + len(wanted)])) for i in range(len(lines)))
        assert textwrap.dedent("\n".join(wanted)) in runs, f"{name}.py has not these lines in a row:\n{block}"


def test_every_program_has_its_page() -> None:
    assert sorted(path.stem for path in (ROOT / "examples" / "backprop").glob("*.py")) == PAGES
