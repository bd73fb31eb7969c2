"""Mutation testing: faults drawn by chance are put into the code one at a time, and the tests must notice each.

    python tests/mutate.py --map                     which tests run each line (needs coverage; 10 minutes; once for a tree)
    python tests/mutate.py SEED COUNT [--area ops|optim|tape|core|kernels] [--whole]
    python tests/mutate.py SEED 0                    the table of what was found so far

A line is drawn uniformly among those of an area that do something, then one of the faults that fit it. Python faults change
the syntax tree (operators, comparisons, constants, conditions, slices, arguments, dropped statements, terms and returns), those
of C and Cython the same in tokens. No line: docstrings, comments, messages, annotations, imports, signatures, declarations,
prefetches. A fault whose syntax tree or machine code equals the original's is no fault, one that does not compile neither: another is
drawn. Python faults meet the tests that run the line (--map), those of C and Cython the tests named in TESTS below, and then
all of tests/ops, optim and nn; with --whole the survivors of both meet the whole suite. Caught: a test fails, the process dies, or it
takes longer than its limit. A tree of its own is changed, in --work (build/mutate), and the results are a line each in
SEED-AREA.jsonl there: an interrupted run goes on where it stopped. Kernels are built at -O1 for the best set of this machine.
Two cores: 1 to 20 s for a Python fault, 20 to 120 s for one of C or Cython. Exit code 1 where less than 95 % are caught.

mutmut and cosmic-ray change Python alone: half of the code here is C and Cython.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import gc
import hashlib
import inspect
import json
import os
import random
import re
import resource
import select
import shutil
import subprocess
import sys
import sysconfig
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults import Fault, faults_of

ROOT = Path(__file__).resolve().parents[1]
MAP = ROOT / "build" / "mutate" / "map.json"
AREAS = {
    "ops": ["tinytensor/ops/*.py"],
    "optim": ["tinytensor/optim/*.py"],
    "tape": [
        f"tinytensor/{n}.py"
        for n in (
            "tape",
            "autograd",
            "function",
            "func",
            "checkpoint",
            "tensor",
            "anomaly",
            "op",
            "spelling",
            "testing",
        )
    ],
    "core": [
        f"tinytensor/{n}"
        for n in ("_tape.pyx", "_op.pxi", "_hooks.pxi", "_optim.pxi", "_anomaly.pxi", "_lines.pxi", "_locks.pxi")
    ],
    "kernels": [
        "csrc/*.c",
        "csrc/*.h",
        "csrc/kernels/*.h",
        "tinytensor/_kernels.pyx",
        *(f"tinytensor/_{n}.pxi" for n in ("matmul", "memory", "sparse", "images")),
    ],
}
TESTS = {  # of C and Cython: the room that mirrors a file first
    "_tape.pyx": "test_walk test_tape test_autograd test_tensor test_function test_checkpoint test_anomaly nn/test_hooks test_memory ops/test_inplace viz/test_trace",
    "_op.pxi": "test_op test_spelling test_errors test_tape ops/test_agreement test_autograd test_function test_anomaly test_memory viz/test_trace",
    "_hooks.pxi": "nn/test_hooks test_tape test_autograd test_function test_checkpoint",
    "_anomaly.pxi": "test_anomaly",
    "_lines.pxi": "test_tape test_anomaly viz/test_explain",
    "_locks.pxi": "test_python_threads test_tape",
    "_optim.pxi": "optim/test_optimizers optim/test_against_torch optim/test_bits test_resources test_anomaly",
    "optim.h": "optim/test_against_torch optim/test_optimizers optim/test_bits",
    "_kernels.pyx": "test_kernels test_memory test_threads ops/test_edges",
    "_matmul.pxi": "ops/test_product ops/test_contraction test_kernels",
    "_memory.pxi": "test_memory test_kernels",
    "_sparse.pxi": "test_sparse test_kernels",
    "_images.pxi": "test_warp",
    "matmul.h": "test_kernels ops/test_product ops/test_contraction ops/test_convolution",
    "vmath.h": "test_vmath ops/test_elementary ops/test_activation",
    "vmath_trig.h": "test_vmath ops/test_elementary",
    "isa.h": "test_kernels test_vmath ops/test_product ops/test_reduction ops/test_loss",
    "unary.h": "test_kernels ops/test_activation ops/test_elementary ops/test_inplace",
    "binary.h": "test_kernels ops/test_ops ops/test_elementary ops/test_inplace",
    "map.h": "test_kernels ops/test_ops ops/test_edges ops/test_inplace",
    "reduce.h": "test_kernels ops/test_reduction ops/test_statistics",
    "softmax.h": "ops/test_loss ops/test_activation test_kernels ops/test_losses",
    "sparse.h": "test_sparse test_kernels",
    "warp.h": "test_warp",
    "random.h": "test_random test_sampling",
    "random.c": "test_random test_sampling",
    "gather.h": "ops/test_index test_kernels data/test_loader",
    "parallel.c": "test_threads test_python_threads test_kernels",
    "dispatch.c": "test_kernels test_threads",
    "drivers.c": "test_kernels test_threads ops/test_reduction ops/test_product ops/test_loss ops/test_index test_random test_warp",
}
REST = ["tests/ops", "tests/optim", "tests/nn", "tests/test_kernels.py", "tests/test_tape.py"]
MAPPED = ["tests/ops", "tests/optim", "tests/nn", "tests/viz", "tests/test_*.py"]
SLOW = [
    "threads",
    "same_bits",
    "vmath",
    "readme",
    "pytorch_scripts",
    "docs",
    "mnist",
    "bench",
    "sklearn",
    "site",
    "examples",
    "backprop",
    "programs",
]  # run the package as a whole
PYTEST = ["-q", "-p", "no:xdist", "-p", "no:benchmark", "-p", "no:cacheprovider", "-o", "addopts="]


# ---------------------------------------------------------------------------------------------------------- a tree of its own
class Tree:
    """A copy of the repository in which one fault at a time is put, built and tested."""

    def __init__(self, work: Path) -> None:
        self.root, self.built = work / "tree", work / "objects"
        self.python = [sys.executable, "-X", "faulthandler"]
        shutil.rmtree(self.root, ignore_errors=True)
        self.built.mkdir(parents=True, exist_ok=True)
        named = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        for name in named.stdout.splitlines():
            if (ROOT / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.root / name)
        for module in (ROOT / "tinytensor").glob("_*.so"):
            shutil.copy(module, self.root / "tinytensor")
        self.own = False  # whether its modules are those built here

    # one object of -O1 for each source; `parts` of a file: what has to be made again
    def parts(self, file: str) -> list[str]:
        name = Path(file).name
        if file.startswith("csrc/"):
            return (
                [name.removesuffix(".c")]
                if name in ("drivers.c", "parallel.c", "dispatch.c", "random.c")
                else (["kernels", "drivers", "parallel", "dispatch", "random"] if name == "tt.h" else ["kernels"])
            )
        text = (self.root / "tinytensor" / "_tape.pyx").read_text()
        return ["_tape"] if name == "_tape.pyx" or f'include "{name}"' in text else ["_kernels"]

    @functools.cached_property
    def isa(self) -> str:
        code = "from tinytensor import _kernels; print(_kernels.isa())"
        env = {k: v for k, v in os.environ.items() if not k.startswith("TINYTENSOR")}
        return subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=env, check=True, capture_output=True, text=True
        ).stdout.strip()

    def compile(self, part: str, to: Path) -> bool:
        import numpy as np

        flags = [
            "-O1",
            "-std=c11",
            "-fPIC",
            "-w",
            "-Icsrc",
            "-Itinytensor",
            f"-I{np.get_include()}",
            f"-I{sysconfig.get_paths()['include']}",
        ]
        flags += ["-DNPY_NO_DEPRECATED_API=NPY_2_0_API_VERSION", "-pthread", "-Wno-coverage-mismatch"]
        if part.startswith("_"):
            source = self.built / f"{part}.c"
            words = [
                sys.executable,
                "-m",
                "cython",
                "-3",
                "-I",
                "csrc",
                "-Wextra",
                f"tinytensor/{part}.pyx",
                "-o",
                str(source),
            ]
            if subprocess.run(words, cwd=self.root, capture_output=True, check=False).returncode:
                return False
            flags += ["-fno-strict-aliasing"]
        else:
            isa = self.isa if part != "generic" else "generic"
            arch = {
                "generic": ["-march=x86-64"],
                "avx2": ["-march=x86-64-v3"],
                "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
            }
            kernels = part in ("kernels", "generic")
            source = self.root / "csrc" / ("kernels.c" if kernels else f"{part}.c")
            flags += [
                "-ffp-contract=off",
                "-fno-math-errno",
                "-fno-trapping-math",
                "-fvisibility=hidden",
                "-fopenmp-simd",
            ]
            flags += [*arch[isa], f"-DTT_ISA={isa}"] if kernels else [f"-DTT_HAVE_{isa.upper()}=1"]
        done = subprocess.run(
            ["cc", *flags, "-c", str(source), "-o", str(to)],
            cwd=self.root,
            capture_output=True,
            check=False,
            timeout=300,
        )
        return done.returncode == 0

    def link(self, objects: dict[str, Path]) -> None:
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        for module in ("_kernels", "_tape"):
            names = [module] if module == "_tape" else [n for n in objects if n != "_tape"]
            words = [
                "cc",
                "-shared",
                "-pthread",
                *(str(objects[n]) for n in names),
                "-lm",
                "-o",
                f"tinytensor/{module}{suffix}",
            ]
            subprocess.run(words, cwd=self.root, check=True)

    def build(self) -> None:
        """All objects, without a fault."""
        self.objects = {}
        for part in ("_kernels", "_tape", "drivers", "parallel", "dispatch", "random", "kernels", "generic"):
            if part == "generic" and self.isa == "generic":
                continue
            self.objects[part] = self.built / f"{part}.o"
            if not self.compile(part, self.objects[part]):
                raise RuntimeError(f"{part} does not compile without a fault")
        self.own = True

    def sound(self) -> None:
        """Pass the tests of C and Cython without a fault; once for a tree."""
        text = b"".join(
            p.read_bytes()
            for p in sorted(self.root.rglob("*"))
            if p.suffix in (".py", ".c", ".h", ".pyx", ".pxi", ".def")
        )
        note, digest = self.built / "sound", hashlib.sha256(text).hexdigest()
        if note.exists() and note.read_text() == digest:
            return
        by = self.test(sorted({f"tests/{n}.py" for names in TESTS.values() for n in names.split()}), 3600)
        if by is not None:
            sys.exit(f"without a fault, too: {by}; see {self.built / 'log'}")
        note.write_text(digest)

    def put(self, fault: Fault) -> str:
        """Write the file with the fault; its text before."""
        path = self.root / fault.file
        before = path.read_text()
        lines = before.splitlines(keepends=True)
        at = sum(map(len, lines[: fault.line - 1])) + fault.column
        assert before[at : at + len(fault.old)] == fault.old, fault
        path.write_text(before[:at] + fault.new + before[at + len(fault.old) :])
        return before

    def differs(self, fault: Fault, before: str) -> bool:
        """Build what the fault changed. Whether it compiles to something else."""
        if fault.file.endswith(".py"):
            try:
                return meaning(before) != meaning((self.root / fault.file).read_text())
            except SyntaxError:
                return False
        if not self.own:
            self.build_without(fault, before)
        objects, other = dict(self.objects), False
        for part in self.parts(fault.file):
            objects[part] = self.built / f"{part}.fault.o"
            try:
                if not self.compile(part, objects[part]):
                    return False
            except subprocess.TimeoutExpired:
                return False
            other |= objects[part].read_bytes() != self.objects[part].read_bytes()
        if other:
            self.link(objects)
        return other

    def build_without(self, fault: Fault, before: str) -> None:
        path = self.root / fault.file
        now = path.read_text()
        path.write_text(before)
        self.build()
        self.link(self.objects)
        self.sound()
        path.write_text(now)

    def test(self, names: list[str], limit: float, *, whole: bool = False) -> str | None:
        """Run tests (ids of pytest in this order, or paths); what noticed, or None."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("TINYTENSOR")}
        env |= {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "Agg"}
        listed = self.built / "tests.json"
        listed.write_text(json.dumps(names))
        words = [*self.python, "tests/mutate.py", "--only", str(listed)]
        if whole:
            words = [*self.python, "-m", "pytest", "-q", "-x", "--tb=no", "-rfE", "-p", "no:cacheprovider"]
        with open(self.built / "log", "w+") as log:
            child = subprocess.Popen(
                words,
                cwd=self.root,
                env=env,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=limited,
            )
            try:
                code = child.wait(limit)
            except subprocess.TimeoutExpired:
                return f"longer than {limit:.0f} s"
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, 9)
                child.wait()
            log.seek(0)
            said = log.read()
        if code in (0, 5):
            return None
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
        return failed[1] if failed else f"exit code {code}"


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (32 << 30, 32 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def meaning(text: str) -> str:
    """The syntax tree of a file, without places and brackets."""
    return ast.dump(ast.parse(text))


# ---------------------------------------------------------------------------------------------------------- which tests
def only(listed: str) -> int:
    """What a child does: the tests listed, in this order, up to the first that fails."""
    names: list[str] = json.loads(Path(listed).read_text())
    order = {n: i for i, n in enumerate(names) if "::" in n}

    class Chosen:
        def pytest_collection_modifyitems(self, items: list[Any]) -> None:
            if order:
                items[:] = sorted((i for i in items if i.nodeid in order), key=lambda i: order[i.nodeid])

    files = list(dict.fromkeys(n.partition("::")[0] for n in names))
    return int(pytest.main([*PYTEST, "-x", "--tb=no", "-rfE", *files], plugins=[Chosen()]))


class Forks:
    """The mapped tests, collected once in this process. A Python fault is put into the functions of a fork of it, which runs the
    tests that may notice: what a new interpreter needs for its start and for collecting is a hundred times what most tests take.
    Programs that a test starts do not see the fault."""

    def __init__(self, then: Callable[[Forks], None]) -> None:
        self.then, self.clean, self.pipe = then, {}, -1

    def pytest_runtestloop(self, session: Any) -> bool:
        self.items = {i.nodeid: i for i in session.items}
        self.functions: dict[tuple[str, str, int], list[Any]] = {}
        for f in gc.get_objects():
            if type(f) is types.FunctionType and f.__code__.co_filename.startswith(str(ROOT)):
                self.functions.setdefault(key_of(f.__code__), []).append(f)
        gc.collect()
        gc.freeze()
        self.then(self)
        return True

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        os.write(self.pipe, f"\n{nodeid}".encode())

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            os._exit(1)

    def patch(self, fault: Fault, before: str, after: str) -> list[tuple[Any, Any]] | None:
        """(function, code) of all that the fault changes; None where it changes what is done on import."""
        found: list[tuple[Any, Any]] = []

        def walk(a: types.CodeType, b: types.CodeType) -> bool:
            if a == b:
                return True
            inner = [[c for c in code.co_consts if isinstance(c, types.CodeType)] for code in (a, b)]
            bare = [
                code.replace(
                    co_consts=tuple(None if isinstance(c, types.CodeType) else c for c in code.co_consts),
                    co_linetable=b"",  # a definition's says where its end is
                )
                for code in (a, b)
            ]
            nested = len(inner[0]) == len(inner[1]) and all([*map(walk, *inner)])
            if not a.co_flags & inspect.CO_OPTIMIZED:  # a module or a class
                return nested and bare[0] == bare[1]
            live = self.functions.get(key_of(a), [])
            found.extend((f, b) for f in live)
            return a.co_freevars == b.co_freevars and (bool(live) or (nested and bare[0] == bare[1] and bool(found)))

        name = str(ROOT / fault.file)
        both = [compile(text, name, "exec", dont_inherit=True) for text in (before, after)]
        return found if walk(*both) else None

    def test(self, patch: list[tuple[Any, Any]], names: list[str], limit: float) -> str | None:
        """Run these tests; what noticed, and does not without the fault, or None."""
        names = [n for n in names if n in self.items and self.clean.get(n, True)]
        while True:
            by, how = self.child(patch, names, limit)
            if by is None:
                return None
            if by not in self.clean:
                self.clean[by] = self.child([], [by], 300)[0] is None
            if self.clean[by]:
                return by + how
            names.remove(by)

    def child(self, patch: list[tuple[Any, Any]], names: list[str], limit: float) -> tuple[str | None, str]:
        """The test at which a fork failed, or None; and how, if it did not fail as a test does."""
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                limited()
                self.pipe = theirs
                nothing = os.open(os.devnull, os.O_RDWR)
                for fd in (0, 1, 2):
                    os.dup2(nothing, fd)
                for function, code in patch:
                    function.__code__ = code
                items = [self.items[n] for n in names]
                for item, following in zip(items, [*items[1:], None]):
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                os._exit(0)
            except BaseException:
                os._exit(1)
        os.close(theirs)
        end, said, status = time.monotonic() + limit, b"", None
        while status is None:
            if select.select([ours], [], [], 0.5)[0]:
                more = os.read(ours, 1 << 16)
                said = (said + more)[-4096:]
                if not more:
                    status = os.waitpid(pid, 0)[1]
            elif time.monotonic() > end:
                break
            else:
                done, code = os.waitpid(pid, os.WNOHANG)
                status = code if done else None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, 9)
        if status is None:
            os.waitpid(pid, 0)
        os.close(ours)
        last = said.decode(errors="replace").rpartition("\n")[2]
        if status == 0:
            return None, ""
        return (
            last,
            f" (longer than {limit:.0f} s)" if status is None else f" (signal {status & 127})" if status & 127 else "",
        )


def key_of(code: types.CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_name, code.co_firstlineno


def mapped() -> list[str]:
    """The files whose tests --map looks at."""
    found = [p for pattern in MAPPED for p in sorted(ROOT.glob(pattern))]
    return [str(p.relative_to(ROOT)) for p in found if not any(s in p.name for s in SLOW)]


def make_map() -> int:
    """The tests that run each line of the package, and how long each takes: MAP."""
    import coverage

    seen = coverage.Coverage(data_file=None, source=[str(ROOT / "tinytensor")], config_file=False)
    seconds: dict[str, float] = {}

    class Contexts:
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
            seen.switch_context(item.nodeid)
            try:
                return (yield)  # type: ignore[return-value]
            finally:
                seen.switch_context("")

        def pytest_runtest_logreport(self, report: Any) -> None:
            seconds[report.nodeid] = seconds.get(report.nodeid, 0.0) + report.duration

    os.chdir(ROOT)
    seen.start()
    code = pytest.main([*PYTEST, *mapped()], plugins=[Contexts()])
    seen.stop()
    save_map(seen.get_data(), seconds)
    return int(code)


def save_map(data: Any, seconds: dict[str, float]) -> None:
    tests, number, lines = [], {}, {}
    for file in sorted(data.measured_files()):
        by_line = {}
        for line, contexts in data.contexts_by_lineno(file).items():
            for c in contexts:
                if c and c not in number:
                    number[c] = len(tests)
                    tests.append(c)
            by_line[line] = sorted(number[c] for c in contexts if c)
        lines[str(Path(file).relative_to(ROOT))] = by_line
    MAP.parent.mkdir(parents=True, exist_ok=True)
    MAP.write_text(json.dumps({"tests": tests, "seconds": [seconds.get(t, 0) for t in tests], "lines": lines}))


def covering(fault: Fault, known: dict[str, Any]) -> tuple[list[str], float, bool]:
    """The tests that run the lines of a Python fault (of its file, for what is done on import): its mirror first, short ones first;
    how long they take, and whether there are such that run the lines themselves."""
    by_line = known["lines"].get(fault.file, {})
    numbers = {n for line in range(fault.lines[0], fault.lines[1] + 1) for n in by_line.get(str(line), ())}
    live = bool(numbers)
    if not live:
        imported = any(str(line) in by_line for line in range(fault.lines[0], fault.lines[1] + 1))
        numbers = {n for found in by_line.values() for n in found} if imported else set()
        numbers |= {n for n, name in enumerate(known["tests"]) if imported and "test_pytorch_defaults.py" in name}
    mirror = f"test_{Path(fault.file).stem.lstrip('_')}.py"
    seconds, tests = known["seconds"], known["tests"]
    chosen = sorted(numbers, key=lambda n: (mirror not in tests[n], seconds[n]))
    return [tests[n] for n in chosen], sum(seconds[n] for n in chosen), live


# ------------------------------------------------------------------------------------------------------------------ runs
def draws(area: str, seed: int) -> Iterator[Fault]:
    """Faults without end: a line, uniformly, then one of those that fit it."""
    files = sorted({p for pattern in AREAS[area] for p in ROOT.glob(pattern)})
    lines: dict[tuple[str, int], list[Fault]] = {}
    for path in files:
        name = str(path.relative_to(ROOT))
        for f in faults_of(name, path.read_text()):
            assert path.suffix == ".py" or path.name in TESTS, f"TESTS does not say which tests mirror {name}"
            lines.setdefault((f.file, f.line), []).append(f)
    places, rng = sorted(lines), random.Random(f"{seed} {area}")
    while places:
        yield rng.choice(lines[rng.choice(places)])


def try_fault(tree: Tree, forks: Forks | None, fault: Fault, known: dict[str, Any]) -> dict[str, Any] | None:
    """What came of a fault: by what it was noticed, and of how many tests. None: it is none."""
    python = fault.file.endswith(".py")
    before = tree.put(fault)
    try:
        if not tree.differs(fault, before):
            return None
        if not python:
            first = [f"tests/{n}.py" for n in TESTS[Path(fault.file).name].split()]
            return {"by": tree.test(first, 240) or tree.test([n for n in REST if n not in first], 1200)}
        names, seconds, live = covering(fault, known)
        if not names or forks is None:
            return {"by": None, "tests": 0}
        limit = 120 + 10 * seconds
        patch = forks.patch(fault, before, (tree.root / fault.file).read_text()) if live else None
        return {
            "by": tree.test(names, limit) if patch is None else forks.test(patch, names, limit),
            "tests": len(names),
        }
    finally:
        (tree.root / fault.file).write_text(before)
        if not python and tree.own:
            tree.link(tree.objects)


def whole_suite(tree: Tree, fault: Fault) -> str | None:
    """What notices of the whole suite; the tree has modules of the faults' kind."""
    before = tree.put(fault)
    try:
        return tree.test([], 3600, whole=True) if tree.differs(fault, before) else None
    finally:
        (tree.root / fault.file).write_text(before)


def run(area: str, seed: int, count: int, work: Path, whole: bool, forks: Forks | None) -> None:
    results = work / f"{seed}-{area}.jsonl"
    work.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    before = {tuple(r["fault"][:5]): r for r in done}  # the last for each
    known = json.loads(MAP.read_text()) if forks else {}
    tree, drawn, counted = Tree(work), set(), 0
    for fault in draws(area, seed):
        if counted >= count:
            return
        if fault in drawn:
            continue
        drawn.add(fault)
        r = before.get(tuple(fault[:5]))
        if r is None or (whole and not r["none"] and r["by"] is None and not r.get("whole")):
            began = time.monotonic()
            found = try_fault(tree, forks, fault, known) if r is None else r
            if whole and found and found["by"] is None:
                found |= {"by": whole_suite(tree, fault), "whole": True}
            r = {**(found or {}), "fault": fault, "none": found is None, "seconds": round(time.monotonic() - began, 1)}
            with open(results, "a") as f:
                f.write(json.dumps(r) + "\n")
            if found:
                print(f"{fault}  {'caught by ' + r['by'] if r['by'] else 'SURVIVED'}  ({r['seconds']} s)", flush=True)
        counted += not r["none"]


def table(seed: int, work: Path) -> float:
    """Print what became of all faults of a seed; the share caught."""
    print("\n| area | faults | caught | survived | caught, % |\n| --- | --- | --- | --- | --- |")
    sums = [0, 0]
    for area in AREAS:
        path = work / f"{seed}-{area}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        rows = [r for r in {tuple(r["fault"][:5]): r for r in rows}.values() if not r["none"]]
        caught = sum(r["by"] is not None for r in rows)
        if rows:
            print(f"| {area} | {len(rows)} | {caught} | {len(rows) - caught} | {100 * caught / len(rows):.1f} |")
        sums = [sums[0] + len(rows), sums[1] + caught]
    if not sums[0]:
        return 0.0
    print(f"| all | {sums[0]} | {sums[1]} | {sums[0] - sums[1]} | {100 * sums[1] / sums[0]:.1f} |")
    return sums[1] / sums[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("count", type=int, nargs="?", default=50, help="faults of each area")
    parser.add_argument("--area", choices=AREAS, action="append")
    parser.add_argument("--whole", action="store_true", help="survivors meet the whole suite, too")
    parser.add_argument("--map", action="store_true", help="learn which tests run which line")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "mutate")
    a = parser.parse_args()
    sys.path.insert(0, str(ROOT))  # the package of this tree, whatever is installed
    if a.only:
        return only(a.only)
    if a.map:
        return make_map()
    areas, work = (a.area or list(AREAS)) if a.count else [], a.work.resolve()

    def runs(forks: Forks | None) -> None:
        for area in areas:
            run(area, a.seed, a.count, work, a.whole, forks)

    if not {"ops", "optim", "tape"}.isdisjoint(areas):
        if not MAP.exists():
            sys.exit(f"there is no {MAP}: make it with --map")
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(work / "hypothesis")
        pytest.main([*PYTEST, "-s", *mapped()], plugins=[Forks(runs)])
    else:
        runs(None)
    return int(table(a.seed, a.work) < 0.95)


if __name__ == "__main__":
    sys.exit(main())
