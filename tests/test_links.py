"""Links of the pages and of the README lead to files and headings that exist, in a checkout as in the built site."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "backprop").glob("*.md"))]
MADE = ("docs/api/", "docs/pictures/", "docs/backprop/pictures/")  # by the build of the site, which checks them itself


def prose(page: Path) -> str:
    """A page without its programs and what they print."""
    return re.sub(r"^```.*?^```$|`[^`\n]+`", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What GitHub and the site call the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


def broken(page: Path) -> list[str]:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue  # outside: sphinx-build -b linkcheck
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if file.relative_to(ROOT.resolve()).as_posix().startswith(MADE):
            continue
        if not file.exists() or (anchor and anchor not in anchors(file)):
            lost.append(target)
    return lost


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# A heading: `x`\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#a-heading-x) [c](lost.md) [d](there.md#lost) [e](https://example.org) `[f](g)`\n"
    )
    assert broken(page) == ["lost.md", "there.md#lost"]


def test_every_page_of_the_lecture_is_on_its_list() -> None:
    index = (ROOT / "docs/backprop/index.md").read_text()
    listed = re.findall(r"^- \[(.+?)\]\((\w+)\.md\): .+\.$", index, re.MULTILINE)
    pages = sorted((ROOT / "docs/backprop").glob("[a-z]_*.md"))
    assert listed == [(page.read_text().partition("\n")[0].removeprefix("# "), page.stem) for page in pages]


def test_every_page_is_in_the_table_of_contents() -> None:
    """The build would warn; this names it without a build."""
    contents = re.findall(r"^(\w+)$", (ROOT / "docs/index.md").read_text(), re.MULTILINE)
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"} <= set(contents)
