"""What the README says holds: its programs print what it claims, its commands are those that .ci/run runs, and its tree
names the files that exist."""

import contextlib
import io
import re
from pathlib import Path

import pytest

import tinytensor as tt
from tinytensor import _kernels, cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
PROGRAMS = [text for language, text in BLOCKS if language == "python" and 'print(f"' in text]
ACCURACIES = [float(number) for number in re.findall(r"prints `(\d+\.\d\d) %`", README)]


def test_there_are_two_programs_and_the_results_of_both():
    assert len(PROGRAMS) == len(ACCURACIES) == 2
    for program in PROGRAMS:
        assert len([line for line in program.splitlines() if line]) <= 20


@pytest.mark.parametrize(("program", "accuracy"), list(zip(PROGRAMS, ACCURACIES)), ids=["by hand", "with nn"])
def test_program_prints_what_the_readme_says(program, accuracy):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), tt.threads(1):  # the same bits as on more
        exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})
    number = re.fullmatch(r"(\d+\.\d\d) %\n", printed.getvalue())
    assert number
    # without fused multiply-add the bits differ, and so a few of 10,000 answers
    assert float(number[1]) == accuracy if _kernels.fused() else abs(float(number[1]) - accuracy) < 0.5


def test_the_table_of_a_graph_is_what_the_readme_shows(tmp_path, monkeypatch, capsys):
    program = BLOCKS[next(i for i, (_, text) in enumerate(BLOCKS) if "explain()" in text)][1]
    shown = BLOCKS[next(i for i, (_, text) in enumerate(BLOCKS) if text.startswith("node "))][1]
    (tmp_path / "README.md").write_text(program)  # as the line's text is read from its file
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == shown


def test_commands_are_those_that_ci_runs():
    script = ROOT / ".ci" / "run"
    if not script.is_file():
        pytest.skip("not in a checkout: an sdist has no .ci")
    lines = [line.strip() for line in script.read_text().splitlines()]
    commands = [
        command.strip()
        for language, text in BLOCKS
        if language == "sh"
        for line in text.splitlines()
        for command in line.partition("#")[0].split("&&")
        if not command.startswith("tinytensor ")  # tests/test_docs.py reads these
    ]
    assert commands == [
        "pip install '.[train]'",
        "tinytensor train",
        "pip install '.[test]'",
        "pytest",
        "pip install '.[docs]'",
        "sphinx-build -W docs site",
        "python bench/run.py",
    ]
    for command in commands[:-1]:
        assert any(line.replace("pip install -q", "pip install").startswith(command) for line in lines), command
    assert (ROOT / "bench" / "run.py").is_file()


def test_options_exist(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    known = capsys.readouterr().out
    named = re.findall(r"[ `](--[a-z][a-z-]*)", README.partition("## Measured")[0])
    assert named
    for option in named:
        assert option in known


def test_tree_names_every_source_file_and_nothing_else():
    (tree,) = (text for language, text in BLOCKS if language == "text" and text.startswith("docs/ "))
    named, folders = set(), []
    for line in tree.splitlines():
        indent, names, about = re.fullmatch(r"( *)(\S+(?: \S+)*) {2,}(\S.*)", line).groups()
        assert about and len(line) <= 120
        depth = len(indent) // 2
        for name in names.split():
            path = "/".join([*folders[:depth], name.rstrip("/")])
            assert (ROOT / path).exists() or path == ".ci/run", path
            named.add(path)
            if name.endswith("/"):
                folders[depth:] = [path.rpartition("/")[2]]
    patterns = (
        "csrc/*.[ch]",
        "csrc/*.def",
        "csrc/*.pxd",
        "csrc/kernels/*.h",
        "tinytensor/*.py",
        "tinytensor/*.pyx",
        "tinytensor/*/*.py",
        "bench/*",
        "docs/*.py",
        "docs/*.md",
    )
    for pattern in patterns:
        for path in ROOT.glob(pattern):
            if path.is_file() and path.name not in ("__init__.py", "__main__.py"):
                assert path.relative_to(ROOT).as_posix() in named, (
                    f"the tree of the README does not name {path.relative_to(ROOT)}"
                )
