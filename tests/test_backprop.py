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
from tinytensor import _kernels

ROOT = Path(__file__).parent.parent
NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
PAGES = sorted(path.stem for path in (ROOT / "docs" / "backprop").glob("[a-z]_*.md"))


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def matches(line: str, said: str) -> bool:
    """Whether a printed line is what the page says; `...` there stands for anything, as for a time. Without fused multiply-add
    the bits differ, and after many steps the figures: then only the words, and that there are numbers, can be compared."""
    if not _kernels.fused():
        line, said = (re.sub(rf"\s*{NUMBER}", " 0", text) for text in (line, said))
    return re.fullmatch(".*".join(map(re.escape, said.split("..."))), line) is not None


def run(name: str, folder: Path) -> str:
    """What a program prints, on one thread (the bits are the same); its pictures go into the folder."""
    package = str(Path(tt.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": package, "MPLBACKEND": "Agg", "TINYTENSOR_NUM_THREADS": "1"}
    program = ROOT / "examples" / "backprop" / f"{name}.py"
    grammar = ["-W", "ignore:::pyparsing"]  # which old Matplotlibs use as newer ones warn of
    command = [sys.executable, "-W", "error", *grammar, program, folder / "pictures"]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PAGES)
def test_a_program_prints_what_its_page_says_and_makes_its_pictures(name: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "backprop" / f"{name}.md").read_text()
    output = run(name, tmp_path)
    printed, said = output.splitlines(), "".join(blocks(page, "text")).splitlines()
    differing = [
        f"line {i + 1}: printed {a!r}, the page says {b!r}"
        for i, (a, b) in enumerate(zip(printed, said))
        if not matches(a, b)
    ]
    assert not differing and len(printed) == len(said), (differing, output)
    shown = set(re.findall(r"\]\(pictures/([^)]+)\)", page))
    made = {path.name: path.stat().st_size for path in (tmp_path / "pictures").iterdir()}
    assert shown and shown == set(made), "the pictures of the page, and those that the program made"
    assert all(size > 200 for size in made.values()), made


@pytest.mark.parametrize("name", PAGES)
def test_the_code_of_a_page_is_its_programs(name: str) -> None:
    page = (ROOT / "docs" / "backprop" / f"{name}.md").read_text()
    lines = (ROOT / "examples" / "backprop" / f"{name}.py").read_text().splitlines()
    assert f"(../../examples/backprop/{name}.py)" in page
    shown = blocks(page, "python")
    assert shown
    for block in shown:
        wanted = block.splitlines()
        runs = (textwrap.dedent("\n".join(lines[i : i + len(wanted)])) for i in range(len(lines)))
        assert textwrap.dedent("\n".join(wanted)) in runs, f"{name}.py has not these lines in a row:\n{block}"


def test_every_program_has_its_page() -> None:
    assert sorted(path.stem for path in (ROOT / "examples" / "backprop").glob("*.py")) == PAGES
