"""Builds the package from its sdist and tests it with other compilers, versions of Python and of NumPy, each in an environment of
its own.

    python tests/install_matrix.py                        every cell; about an hour on two idle cores
    python tests/install_matrix.py gcc-11 no-simd         these cells
    python tests/install_matrix.py --list                 the cells, and what is here to run them
    python tests/install_matrix.py --tests whole gcc      the whole suite in place of the tests of kernels, ops, threads and bits;
                                                          --tests few is those of the kernels and of equal bits
    python tests/install_matrix.py --sdist FILE gcc       from this sdist: in a container, a chroot or another machine, without git

Prints a row of a Markdown table for each cell, and exits with 1 when a build, a test, `pip check`, the list of files or
`twine check` fails; logs stay in the folder that the first line names. Interpreters are looked for on the path and under
PYENV_ROOT (else ~/.pyenv). A cell whose compiler or interpreter is not here is a row that says so. Packages come from pip's index.

Python 3.14 with GCC 16, where the system has older ones (as root):
    debootstrap --variant=minbase --include=python3.14-venv,python3.14-dev,gcc,libc6-dev,ca-certificates sid ROOT
    cp /etc/resolv.conf ROOT/etc && mount -t proc proc ROOT/proc && cp dist/tinytensor-*.tar.gz tests/install_matrix.py ROOT
    chroot ROOT python3.14 install_matrix.py --sdist tinytensor-*.tar.gz gcc
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
FEW = ("tests/test_kernels.py", "tests/test_same_bits.py")
TESTS = {
    "few": FEW,
    "usual": (*FEW, "tests/ops", "tests/test_threads.py", "tests/test_python_threads.py"),
    "whole": (),
}
OLDEST = (  # what pyproject.toml names; the first Matplotlib that goes with NumPy 2 is 3.8.4
    "numpy==2.0.0",
    "pillow==9.2.0",  # 9.1 fails at the Exif of a TIFF
    "matplotlib==3.8.4",
    "safetensors==0.7.0",
    "tqdm==4.60.0",
    "tomli==2.0.0",
    "scikit-learn==1.6.0",
    "pyparsing<3.3",  # of which Matplotlib 3.8 uses what newer ones warn of, and scikit-learn 1.6 of pytest
    "pytest<9",
)
OLDEST_BUILD = ("setuptools==77.0.1", "Cython==3.1.0", "numpy==2.0.0", "wheel")
FILES_OF_EXTRAS = ("tests/viz", "tests/serialize", "tests/data", "tests/train", "tests/test_sklearn.py")


@dataclass(frozen=True)
class Cell:
    about: str
    python: str = PYTHON
    cc: str = "gcc"
    refuses: tuple[str, ...] = ()  # patterns of options that the compiler is made to refuse
    drops: tuple[str, ...] = ()  # ... and to overlook
    pins: tuple[str, ...] = ()
    build: tuple[str, ...] = ()  # build requirements, in place of the newest
    extras: str = "train"
    tests: tuple[str, ...] = ()
    fails: str = ""  # the build must fail, with this text
    path: bool = True  # False: no folder with a compiler is on the path


CELLS = {
    "gcc": Cell("GCC of this system"),
    "gcc-11": Cell("GCC 11", cc="gcc-11"),
    "clang-14": Cell("Clang 14", cc="clang-14"),
    "clang-19": Cell("Clang 19", cc="clang-19"),
    "no-simd": Cell("no -fopenmp*", refuses=("-fopenmp*",)),
    "no-pthread": Cell("no -pthread", refuses=("-pthread",)),
    "no-levels": Cell("no -march=x86-64-v*, as GCC 10", refuses=("-march=x86-64-v*",)),
    "no-avx512": Cell("nothing for AVX-512", refuses=("-march=x86-64-v4", "-march=skylake-avx512")),
    "no-march": Cell("no -march", refuses=("-march=*",)),
    "python-3.10": Cell("Python 3.10", python="3.10"),
    "python-3.11": Cell("Python 3.11", python="3.11"),
    "python-3.12": Cell("Python 3.12", python="3.12"),
    "python-3.13": Cell("Python 3.13", python="3.13"),
    "python-3.14": Cell("Python 3.14", python="3.14"),
    "oldest": Cell(
        "oldest NumPy, extras and build requirements",
        python="3.10",
        pins=OLDEST,
        build=OLDEST_BUILD,
        extras="train,sklearn",
        tests=FILES_OF_EXTRAS,
    ),
    "no-compiler": Cell("CC=/nonexistent/cc", cc="/nonexistent/cc", fails="apt install build-essential python3-dev"),
    "no-path": Cell("no compiler on the path", cc="", path=False, fails="apt install build-essential python3-dev"),
    "no-headers": Cell("no Python.h", drops=("-I*python3*",), fails="cannot read Python.h"),
}


class Failure(Exception):
    pass


def run(command: Sequence[str | Path], log: Path, cwd: Path, env: dict[str, str], what: str) -> str:
    """Its output, which is appended to the log, too; Failure with the last lines when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with log.open("a") as f:
        f.write(f"$ {' '.join(str(word) for word in command)}\n{done.stdout}\n")
    if done.returncode:
        lines = done.stdout.strip().splitlines()
        telling = [line for line in lines if re.search(r"\berror: (?!subprocess)|^FAILED |Error: ", line)][:2] + lines[
            -1:
        ]
        raise Failure(f"{what}: " + " / ".join(line.strip()[:200] for line in telling), done.stdout)
    return done.stdout


def interpreter(version: str) -> str | None:
    if version == PYTHON:
        return sys.executable
    found = shutil.which(f"python{version}")
    # a shim of pyenv is on the path, also for versions that it does not run
    if found and subprocess.run([found, "-c", ""], capture_output=True).returncode == 0:
        return found
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    here = sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
    return str(here[-1]) if here else None


def lacks(cell: Cell) -> str:
    """What this system has not, of what the cell needs; nothing: it can run."""
    if cell.python == PYTHON and cell.about == f"Python {PYTHON}":
        return "the cell gcc"
    if interpreter(cell.python) is None:
        return f"no Python {cell.python} here"
    if not cell.fails and shutil.which(cell.cc) is None:
        return f"no {cell.cc} here"
    return ""


def compiler(cell: Cell, folder: Path) -> str:
    """A command for CC: the cell's compiler, or a script that has it refuse and overlook some options."""
    if not cell.refuses and not cell.drops:
        return cell.cc
    script = folder / "cc"
    lines = ["#!/bin/sh", "for a; do shift; case $a in"]
    if cell.refuses:
        lines.append(
            f"""{"|".join(cell.refuses)}) echo "cc: error: unrecognized command-line option '$a'" >&2; exit 1 ;;"""
        )
    if cell.drops:
        lines.append(f"{'|'.join(cell.drops)}) ;;")
    lines += ['*) set -- "$@" "$a" ;;', "esac; done", f'exec {cell.cc} "$@"', ""]
    script.write_text("\n".join(lines))
    script.chmod(0o755)
    return str(script)


def plain_environment() -> dict[str, str]:
    """Without what would choose another compiler, package or folder for us."""
    drop = ("PYTHON", "TINYTENSOR", "CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "LDSHARED", "VIRTUAL_ENV", "OMP_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(drop)}
    return {
        **env,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "MPLBACKEND": "Agg",
        "LC_ALL": "C.UTF-8",
    }


def check_wheel(wheel: Path, source: Path) -> int:
    """The number of its files: those of the package and two built modules, and nothing else."""
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    built = {name for name in inside if re.fullmatch(r"tinytensor/_(kernels|tape)\.[^/]*\.so", name)}
    package = [p for p in (source / "tinytensor").rglob("*") if p.is_file()]
    expected = {p.relative_to(source).as_posix() for p in package if p.suffix not in (".pyx", ".pxd", ".pxi")}
    if len(built) != 2 or inside - built != expected:
        missing, strays = sorted(expected - inside), sorted(inside - built - expected)
        raise Failure(f"the wheel lacks {missing}, has strays {strays} and {len(built)} built modules")
    return len(inside)


def make_sdist(work: Path, env: dict[str, str]) -> Path:
    """From a clone of this checkout's last commit; Failure where it has other files than those of git."""
    root, log = Path(__file__).resolve().parents[1], work / "sdist.log"
    run(["git", "clone", "-q", "--no-hardlinks", root, work / "clone"], log, work, env, "git clone")
    run([sys.executable, "-m", "venv", work / "tool"], log, work, env, "venv")
    python = work / "tool" / "bin" / "python"
    run([python, "-m", "pip", "install", "-q", "build", "twine", "readme_renderer[md]"], log, work, env, "pip install")
    run([python, "-m", "build", "--sdist", "-o", work / "dist", work / "clone"], log, work, env, "sdist")
    (sdist,) = (work / "dist").glob("*.tar.gz")
    tracked = run(["git", "-C", work / "clone", "ls-files"], log, work, env, "git ls-files").split()
    with tarfile.open(sdist) as tar:
        inside = {m.name.partition("/")[2] for m in tar.getmembers() if m.isfile()}
    made = {"PKG-INFO", "setup.cfg"}
    expected = {name for name in tracked if not name.startswith((".ci/", ".git"))}
    strays = {name for name in inside - expected - made if ".egg-info/" not in name}
    if strays or expected - inside:
        raise Failure(f"the sdist lacks {sorted(expected - inside)} and has strays {sorted(strays)}")
    print(f"sdist: {len(inside)} files, {sdist.stat().st_size / 1e6:.1f} MB", flush=True)
    return sdist


def try_cell(name: str, cell: Cell, sdist: Path, source: Path, work: Path, which: str) -> list[str]:
    """The row: compiler, Python, NumPy, sets, result, seconds of the build and of the tests."""
    folder = work / name
    folder.mkdir()
    log, env = folder / "log", plain_environment()
    python = interpreter(cell.python)
    assert python is not None
    run([python, "-m", "venv", folder / "venv"], log, folder, env, "venv")
    binaries = folder / "venv" / "bin"
    pip = [binaries / "python", "-m", "pip"]
    env["PATH"] = f"{binaries}{os.pathsep}{env['PATH']}" if cell.path else str(binaries)
    if cell.cc:
        env["CC"] = compiler(cell, folder)
    if not cell.refuses:
        env["TINYTENSOR_BUILD_WERROR"] = "1"
    version = "-" if cell.fails else subprocess.run([cell.cc, "--version"], capture_output=True, text=True).stdout
    row = [name, cell.about, version.splitlines()[0], cell.python]
    isolation: list[str] = []
    if cell.build:
        run([*pip, "install", "-q", *cell.build], log, folder, env, "build requirements")
        isolation = ["--no-build-isolation"]
    begin = time.monotonic()
    command = [*pip, "wheel", "--no-deps", *isolation, "-w", folder / "dist", sdist]
    if cell.fails:
        try:
            run(command, log, folder, env, "build")
        except Failure as e:
            if cell.fails not in e.args[1]:
                raise Failure(f"the build failed without {cell.fails!r}: {e.args[0]}") from e
            return [*row, "-", "-", "refused, and says what to install", f"{time.monotonic() - begin:.0f}", "-"]
        raise Failure("the build went through, which cannot be")
    said = run([*command, "-v"], log, folder, env, "build")
    built = time.monotonic() - begin
    slower = re.search(r"this C compiler refuses (.*):", said)
    (wheel,) = (folder / "dist").glob("*.whl")
    files = check_wheel(wheel, source)
    tool = work / "tool" / "bin" / "twine"
    if tool.exists():
        run([tool, "check", "--strict", wheel, sdist], log, folder, env, "twine check")
    run(
        [*pip, "install", "-q", f"tinytensor[{cell.extras}] @ {wheel.as_uri()}", *cell.pins],
        log,
        folder,
        env,
        "install",
    )
    run([*pip, "check"], log, folder, env, "pip check")
    ask = "import numpy; from tinytensor import _kernels; print(numpy.__version__, *_kernels.isas())"
    numpy, *sets = run([binaries / "python", "-c", ask], log, folder, env, "import").split()
    begin = time.monotonic()
    trained = run(
        [binaries / "tinytensor", "train", "--epochs", "1", "--no-plots", "--out", folder / "run"],
        log,
        folder,
        env,
        "train",
    )
    accuracy = re.search(r"^test accuracy (9\d\.\d\d %)", trained, re.MULTILINE)
    if accuracy is None:
        raise Failure(f"training: {trained.strip().splitlines()[-1]}")
    needs = ["pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100"]
    if which == "whole":
        needs = [f"tinytensor[test] @ {wheel.as_uri()}"]
    run([*pip, "install", "-q", *needs, *cell.pins], log, folder, env, "install tests")
    tests = [*TESTS[which], *(cell.tests if which == "usual" else ())]
    env["CC"] = cell.cc  # the tests that compile have flags of their own
    tested = run([binaries / "pytest", "-p", "no:cacheprovider", *tests], log, source, env, "pytest")
    count = re.search(r"\d+ passed(, \d+ \w+)*", tested)
    if count is None:
        raise Failure(f"pytest: {tested.strip().splitlines()[-1]}")
    result = f"{count[0]}; {accuracy[1]}; {files} files" + (f"; refused {slower[1]}" if slower else "")
    return [*row, numpy, " ".join(sets), result, f"{built:.0f}", f"{time.monotonic() - begin:.0f}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("cells", nargs="*", metavar="CELL", help="all where none is named")
    parser.add_argument("--list", action="store_true", help="name the cells and end")
    parser.add_argument("--tests", choices=TESTS, default="usual", help="which; usual where not given")
    parser.add_argument("--sdist", type=Path, help="this one, in place of one made from the last commit")
    asked = parser.parse_args()
    if asked.list:
        for name, cell in CELLS.items():
            print(f"{name:14} {cell.about:45} {lacks(cell)}".rstrip())
        return 0
    unknown = set(asked.cells) - set(CELLS)
    if unknown:
        parser.error(f"no cell {', '.join(sorted(unknown))}: there are {', '.join(CELLS)}")
    work = Path(tempfile.mkdtemp(prefix="install_matrix_"))
    print(f"logs: {work}", flush=True)
    try:
        sdist = asked.sdist.resolve() if asked.sdist else make_sdist(work, plain_environment())
    except Failure as e:
        print(f"FAILED: {e.args[0]}")
        return 1
    with tarfile.open(sdist) as tar:
        tar.extractall(work / "source", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (source,) = (work / "source").iterdir()
    print(
        "| cell | what | compiler | Python | NumPy | sets | result | build s | train, test s |\n" + "| --- " * 9 + "|"
    )
    failed = False
    for name in asked.cells or CELLS:
        cell = CELLS[name]
        missing = lacks(cell)
        try:
            row = (
                [name, cell.about, missing, *"------"]
                if missing
                else try_cell(name, cell, sdist, source, work, asked.tests)
            )
        except Failure as e:
            row, failed = (
                [name, cell.about, "FAILED", cell.python, "-", "-", e.args[0].replace("|", "/"), "-", "-"],
                True,
            )
        shutil.rmtree(work / name / "venv", ignore_errors=True)
        print(f"| {' | '.join(row)} |", flush=True)
    print("FAILED" if failed else "no finding")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
