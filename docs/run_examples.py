"""Sphinx extension: before the pages are read it runs the programs of examples/backprop, whose pictures go into docs/backprop/pictures,
and the Python blocks of docs/see_inside.md as one program, whose pictures go into docs/pictures. One that fails ends the build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

import tinytensor


def blocks(page: Path) -> str:
    """The Python blocks of a page as one program, each line where it stands in the page."""
    inside, lines = False, []
    for line in page.read_text().splitlines():
        inside = line != "```" and (inside or line == "```python")
        lines.append(line if inside and line != "```python" else "")
    return "\n".join(lines)


def run(program: Path, *arguments: str, folder: Path) -> str:
    """What is to be said of a program that failed; "" for one that ran. It has the package that the build has."""
    package = str(Path(tinytensor.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": package, "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, program, *arguments], env=environment, cwd=folder, capture_output=True, text=True
    )
    return f"{program.name} failed:\n{done.stderr}" if done.returncode else ""


def make_pictures(app: Sphinx) -> None:
    """Run every program anew, two at a time."""
    source = Path(app.srcdir)
    for folder in (source / "pictures", source / "backprop" / "pictures"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    programs = sorted((source.parent / "examples" / "backprop").glob("*.py"))
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(2) as pool:
        page = Path(temporary) / "see_inside.py"
        page.write_text(blocks(source / "see_inside.md"))
        runs = [pool.submit(run, page, folder=source)]
        runs += [pool.submit(run, program, str(folder), folder=Path(temporary)) for program in programs]
        failures = [text for text in (done.result() for done in runs) if text]
    if failures:
        raise ExtensionError("\n".join(failures))


def open_pages(app: Sphinx, tree: nodes.document) -> None:
    """A link to a page or picture that a program made opens it, where Sphinx would offer it as a download."""
    for node in list(tree.findall(addnodes.download_reference)):
        if node["reftarget"].startswith("pictures/"):
            node.replace_self(nodes.reference("", "", *node.children, refuri=node["reftarget"], internal=True))


def copy_pages(app: Sphinx, failed: Exception | None) -> None:
    """Put those where the links lead."""
    if failed is None and app.builder.format == "html":
        for folder in ("pictures", "backprop/pictures"):
            shutil.copytree(Path(app.srcdir, folder), Path(app.outdir, folder), dirs_exist_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", make_pictures)
    app.connect("doctree-read", open_pages)
    app.connect("build-finished", copy_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
