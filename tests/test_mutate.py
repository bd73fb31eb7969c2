"""The tool that puts faults into the code: whether it can draw from all of it."""

from __future__ import annotations

import itertools
from pathlib import Path

import mutate
import pytest


@pytest.mark.parametrize("area", mutate.AREAS)
def test_each_file_has_tests_and_faults_stand_where_they_say(area: str) -> None:
    drawn = list(itertools.islice(mutate.draws(area, 0), 300))
    texts = {f.file: (mutate.ROOT / f.file).read_text().splitlines(keepends=True) for f in drawn}
    for f in drawn:
        rest = "".join(texts[f.file][f.line - 1 :])
        assert rest[f.column :].startswith(f.old), f
        assert f.new != f.old


def test_the_tests_it_names_exist() -> None:
    named = {f"tests/{n}.py" for names in mutate.TESTS.values() for n in names.split()} | set(mutate.REST)
    assert not [n for n in named if not (mutate.ROOT / n).exists()]


def test_the_draw_is_the_same_again() -> None:
    first, again = (list(itertools.islice(mutate.draws("optim", 3), 20)) for _ in range(2))
    assert first == again != list(itertools.islice(mutate.draws("optim", 4), 20))


def test_the_first_failing_test_ends_a_run(tmp_path: Path) -> None:
    listed, file = tmp_path / "listed.json", tmp_path / "test_it.py"
    never = tmp_path / "never"
    file.write_text(
        f"def test_good(): pass\ndef test_bad(): assert False\ndef test_never(): open({str(never)!r}, 'w').close()\n"
    )
    listed.write_text(f'["{file}"]')
    assert mutate.only(str(listed)) == pytest.ExitCode.TESTS_FAILED
    assert not never.exists()
