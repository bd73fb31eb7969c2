"""What setup.py does with compilers of other machines, old ones, and none. They are feigned: macOS, Windows and arm64 builds were
not tried here."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("setuptools", minversion="59")  # where it is not, nothing was built here
from setuptools import Distribution
from setuptools.errors import PlatformError

FILE = Path(__file__).parents[1] / "setup.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tinytensor_setup", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # NamedTuple looks its module up
    spec.loader.exec_module(module)
    return module


build = load()


def compiler(refuses: tuple[str, ...] = (), targets: tuple[str, ...] = ("x86_64",)) -> Callable[[list[str], str], bool]:
    """One that refuses options that begin with these, and makes code for `targets`."""

    def takes(options: list[str], source: str) -> bool:
        if source == build.X86 and any(target != "x86_64" for target in targets):
            return False
        if source == build.NOT_X86 and "x86_64" in targets:
            return False
        for before, option in zip(["", *options], options):
            if option.startswith(refuses):
                return False
            for_x86 = before == "-Xarch_x86_64"
            if option.startswith("-march=") and not for_x86 and any(target != "x86_64" for target in targets):
                return False
        return True

    return takes


def test_a_new_compiler_gets_every_option() -> None:
    p = build.plan(compiler())
    assert p.isas == {
        "generic": ["-march=x86-64"],
        "avx2": ["-march=x86-64-v3"],
        "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    }
    assert p.kernels == ["-fopenmp-simd", "-fno-thread-jumps"]
    assert {"-O3", "-std=c11", "-ffp-contract=off", "-Wall"} <= set(p.common)
    assert p.threads == ["-pthread", "-march=x86-64"]
    assert p.link == ["-pthread"]
    assert p.refused == []
    assert not any(
        "fast-math" in option or "Ofast" in option or "native" in option for part in p[:2] for option in part
    )


def test_clang_which_does_not_know_jump_threading_by_that_name() -> None:
    p = build.plan(compiler(("-fno-thread-jumps",)))
    assert p.kernels == ["-fopenmp-simd"]
    assert p.refused == []


def test_gcc_10_spells_the_sets_by_cpus() -> None:
    p = build.plan(compiler(("-march=x86-64-v",)))
    assert p.isas["avx2"] == ["-march=haswell", "-mtune=generic"]
    assert p.isas["avx512"] == ["-march=skylake-avx512", "-mtune=generic", "-mprefer-vector-width=512"]
    assert p.refused == []


def test_a_compiler_without_wide_vectors_leaves_their_set_out() -> None:
    p = build.plan(compiler(("-mprefer-vector-width",)))
    assert list(p.isas) == ["generic", "avx2"]
    assert p.refused == ["-march=x86-64-v4"]
    p = build.plan(compiler(("-march",)))
    assert p.isas == {"generic": []}
    assert p.threads == ["-pthread"]


def test_a_compiler_without_simd_pragmas_does_not_warn_of_them() -> None:
    p = build.plan(compiler(("-fopenmp",)))
    assert "-fopenmp-simd" not in p.kernels
    assert p.common.index("-Wno-unknown-pragmas") > p.common.index("-Wall")
    assert p.refused == ["-fopenmp-simd"]
    assert "-Wno-unknown-pragmas" not in build.plan(compiler()).common


def test_threads_without_the_option_for_them() -> None:
    p = build.plan(compiler(("-pthread",)))
    assert p.threads == ["-march=x86-64"]
    assert p.link == ["-lpthread"]


@pytest.mark.parametrize("targets", [("arm64",), ("riscv64",)])
def test_other_processors_get_no_option_of_x86(targets: tuple[str, ...]) -> None:
    p = build.plan(compiler((), targets))
    assert p.isas == {"generic": []}
    assert not any(option.startswith("-m") for part in (p.common, p.kernels, p.threads) for option in part)


def test_one_file_for_two_processors_keeps_the_options_of_x86_to_its_half() -> None:
    p = build.plan(compiler((), ("arm64", "x86_64")))
    assert p.isas["generic"] == []
    assert p.threads == ["-pthread"]
    assert p.isas["avx2"] == ["-Xarch_x86_64", "-march=x86-64-v3"]
    assert p.isas["avx512"][::2] == ["-Xarch_x86_64"] * 2


@pytest.mark.parametrize("option", ["-std=c11", "-ffp-contract=off"])
def test_options_without_which_bits_differ_must_be(option: str) -> None:
    with pytest.raises(PlatformError, match=f"refuses {option}, without which results differ"):
        build.plan(compiler((option,)))


def command(*words: str, kind: str = "unix") -> build.Build:
    made = build.Build(Distribution())
    made.compiler = SimpleNamespace(compiler_so=list(words), compiler_type=kind)
    made.include_dirs = []
    return made


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_no_compiler_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(
        PlatformError, match=r"(?s)nonexistent.*No such file.*apt install build-essential python3-dev.*CC names"
    ):
        command(str(tmp_path / "nonexistent")).check()


def test_a_compiler_that_does_not_work_is_quoted(tmp_path: Path) -> None:
    broken = script(tmp_path / "cc", "echo 'cc1: cannot execute' >&2; exit 1")
    with pytest.raises(PlatformError, match=r"(?s)does not work: .*cc -O2\n  cc1: cannot execute\n.*apt install"):
        command(broken, "-O2").check()
    silent = script(tmp_path / "silent", "exit 3")
    with pytest.raises(PlatformError, match="exit status 3"):
        command(silent).check()


def test_python_without_headers_says_what_to_install(tmp_path: Path) -> None:
    text = """for f in "$@"; do
        case $f in *.c) grep -q Python.h "$f" && echo "Python.h: No such file" >&2 && exit 1 ;; esac
    done; exit 0"""
    lacking = command(script(tmp_path / "cc", text))
    lacking.include_dirs = [str(tmp_path)]
    with pytest.raises(PlatformError, match=r"(?s)cannot read Python.h:\n  Python.h: No such file.*python3-dev"):
        lacking.check()
    command(script(tmp_path / "good", "exit 0")).check()


def test_windows_compiler_is_refused() -> None:
    with pytest.raises(PlatformError, match="WSL"):
        command("cl.exe", kind="msvc").check()


def test_options_that_a_compiler_refuses_are_left_out_of_what_it_is_called_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """case "$*" in *-fopenmp*|*-march=x86-64-v4*|*skylake*) exit 1 ;; esac
    for f in "$@"; do case $f in *.c) grep -q 'ifdef __x86_64__' "$f" && exit 1 ;; esac; done; exit 0"""
    refusing = script(tmp_path / "cc", text)
    made = command(refusing)
    calls: list[tuple[list[str], list[str]]] = []

    def compile(sources: list[str], *, extra_postargs: list[str], **_: object) -> list[str]:
        calls.append((sources, extra_postargs))
        return [f"{sources[0]}.o"]

    made.compiler.compile = compile
    made.build_temp, made.debug = str(tmp_path), None
    monkeypatch.setenv("TINYTENSOR_BUILD_WERROR", "1")
    warned: list[str] = []
    monkeypatch.setattr(made, "warn", warned.append)
    ext = build.Extension("tinytensor._kernels", [])
    made.add_kernels(ext)
    assert [sources[0] for sources, _ in calls] == [
        *["csrc/kernels.c"] * 2,
        "csrc/parallel.c",
        "csrc/dispatch.c",
        "csrc/drivers.c",
        "csrc/random.c",
    ]
    assert "-march=x86-64-v3" in calls[1][1]
    for _, options in calls:
        assert "-Werror" in options and "-ffp-contract=off" in options
        assert not any("openmp" in option or "v4" in option for option in options)
    assert len(ext.extra_objects) == len(calls)
    assert ext.extra_link_args == ["-pthread"]
    assert warned == [
        "this C compiler refuses -fopenmp-simd, -march=x86-64-v4: the kernels are slower than with a newer one"
    ]


def test_warnings_are_errors_only_where_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Python's own options make this compiler warn: -Werror refuses all, and is not used to ask
    grumbling = command(script(tmp_path / "cc", 'case "$*" in *-Werror*) exit 1 ;; esac'))
    seen: list[str] = []

    def compile(sources: list[str], *, extra_postargs: list[str], **_: object) -> list[str]:
        seen.extend(extra_postargs)
        return []

    grumbling.compiler.compile = compile
    grumbling.build_temp, grumbling.debug = os.fspath(tmp_path), None
    monkeypatch.delenv("TINYTENSOR_BUILD_WERROR", raising=False)
    grumbling.add_kernels(build.Extension("tinytensor._kernels", []))
    assert "-O3" in seen and "-Werror" not in seen
