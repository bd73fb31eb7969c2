"""Compiles csrc/kernels.c once per instruction set and links it with the Cython bindings; and the tape. Metadata is in
pyproject.toml. What a compiler refuses is left out where the kernels work without it.

TINYTENSOR_BUILD_WERROR=1   warnings of our own C are errors (CI)
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import PlatformError

NEEDED = ["-std=c11", "-ffp-contract=off"]  # without these the results have other bits
WISHED = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
WIDE = "-mprefer-vector-width=512"
# of each instruction set: as GCC 11 and Clang 12 know it, and as older ones do
ISAS = {
    "avx2": [["-march=x86-64-v3"], ["-march=haswell", "-mtune=generic"]],
    "avx512": [["-march=x86-64-v4", WIDE], ["-march=skylake-avx512", "-mtune=generic", WIDE]],
}
WARN = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion"]
# GCC jump-threads the clamps of silu-like functions, which keeps their loops from becoming vectors
QUIRKS = ["-fno-thread-jumps"]
X86 = "#ifndef __x86_64__\n#error\n#endif\nint x;\n"
NOT_X86 = "#ifdef __x86_64__\n#error\n#endif\nint x;\n"
COMPILER = """{what}
tinytensor is compiled from C. It needs a C compiler (GCC or Clang) and the headers of this Python:
  Debian, Ubuntu    apt install build-essential python3-dev
  Fedora            dnf install gcc python3-devel
  Alpine            apk add build-base python3-dev
  macOS             xcode-select --install
Then run pip again. The environment variable CC names another compiler."""


class Plan(NamedTuple):
    """With which options csrc is compiled."""

    common: list[str]
    kernels: list[str]  # of kernels.c, beside those of its set
    isas: dict[str, list[str]]
    threads: list[str]
    link: list[str]
    refused: list[str]  # what the compiler does not know and the kernels would be faster with


def plan(takes: Callable[[list[str], str], bool]) -> Plan:
    """takes(options, source): whether the compiler compiles `source` with them. PlatformError without what must be."""
    lacks = [option for option in NEEDED if not takes([option], "int x;\n")]
    if lacks:
        raise PlatformError(
            COMPILER.format(what=f"the C compiler refuses {' '.join(lacks)}, without which results differ")
        )

    def taken(options: list[str]) -> list[str]:
        return [option for option in options if takes([option], "int x;\n")]

    wished, simd, pthread = taken(WISHED), taken(["-fopenmp-simd"]), taken(["-pthread"])
    warn = taken(WARN) if simd else [*taken(WARN), "-Wno-unknown-pragmas"]
    refused = [option for option in [*WISHED, "-fopenmp-simd"] if option not in wished + simd]
    isas: dict[str, list[str]] = {"generic": []}
    if not takes([], NOT_X86):
        # with several -arch (macOS) one run compiles for arm64, too, which must not see the options of x86-64
        whole = takes([], X86)
        base = ["-march=x86-64"]
        isas["generic"] = base if whole and takes(base, "int x;\n") else []
        for name, spellings in ISAS.items():
            ways = [way if whole else [f for option in way for f in ("-Xarch_x86_64", option)] for way in spellings]
            way = next((way for way in ways if takes(way, "int x;\n")), None)
            if way is None:
                refused.append(spellings[0][0])
            else:
                isas[name] = way
    return Plan(
        common=[*wished, *NEEDED, *warn],
        kernels=[*simd, *taken(QUIRKS)],
        isas=isas,
        threads=[*pthread, *isas["generic"]],
        link=pthread or ["-lpthread"],
        refused=refused,
    )


class Build(build_ext):
    def complaint(self, options: list[str], source: str) -> str | None:
        """What the compiler says of `source` with `options`; None: it compiled it."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "try.c")
            with open(path, "w") as f:
                f.write(source)
            command = [*self.compiler.compiler_so, *options, "-c", path, "-o", os.path.join(folder, "try.o")]
            try:
                done = subprocess.run(command, capture_output=True, text=True, errors="replace")
            except OSError as e:
                return str(e)
        return (done.stderr.strip() or f"exit status {done.returncode}") if done.returncode else None

    def check(self) -> None:
        """PlatformError that says what to install, where there is no compiler that works or no header of Python."""
        if self.compiler.compiler_type == "msvc":
            raise PlatformError(
                "tinytensor needs GCC or Clang and POSIX threads: on Windows use the Linux subsystem (WSL)"
            )
        said = self.complaint([], "int x;\n")
        if said is not None:
            said = f"the C compiler does not work: {' '.join(self.compiler.compiler_so)}\n  {said}"
            raise PlatformError(COMPILER.format(what=said))
        folders = [f"-I{folder}" for folder in self.include_dirs]
        said = self.complaint(folders, "#include <Python.h>\n")
        if said is not None:
            raise PlatformError(COMPILER.format(what=f"the C compiler cannot read Python.h:\n  {said}"))

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count() or 1

    def build_extensions(self) -> None:
        self.check()
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        ext.extra_compile_args = ["-O3", "-std=c11", "-fno-strict-aliasing"]
        if ext.name == "tinytensor._kernels":
            self.add_kernels(ext)
        super().build_extension(ext)

    def add_kernels(self, ext: Extension) -> None:
        """Compile csrc, and link it with the bindings."""
        # an option that Clang ignores is one that it refuses, unless it ignores one of Python's own
        strict = ["-Werror"] if self.complaint(["-Werror"], "int x;\n") is None else []
        p = plan(lambda options, source: self.complaint([*strict, *options], source) is None)
        if p.refused:
            self.warn(f"this C compiler refuses {', '.join(p.refused)}: the kernels are slower than with a newer one")
        werror = ["-Werror"] if os.environ.get("TINYTENSOR_BUILD_WERROR") == "1" else []
        have = [(f"TT_HAVE_{name.upper()}", "1") for name in p.isas]
        common = {"include_dirs": ["csrc"], "debug": self.debug, "depends": ext.depends}

        def compile_as(source: str, folder: str, macros: list[tuple[str, str]], options: list[str]) -> list[str]:
            return self.compiler.compile(
                [f"csrc/{source}.c"],
                output_dir=os.path.join(self.build_temp, folder),
                macros=macros,
                extra_postargs=p.common + options + werror,
                **common,
            )

        with ThreadPoolExecutor(self.parallel) as pool:
            jobs = [
                pool.submit(compile_as, "kernels", name, [("TT_ISA", name)], p.kernels + flags)
                for name, flags in p.isas.items()
            ]
            for source in ("parallel", "dispatch", "drivers", "random"):
                jobs.append(pool.submit(compile_as, source, "", have, p.threads))
            objects = [name for job in jobs for name in job.result()]
        ext.extra_objects = objects
        ext.extra_link_args = p.link


def headers() -> list[str]:
    return [
        os.path.join(d, f) for d, _, files in os.walk("csrc") for f in files if f.endswith((".h", ".def", ".c", ".pxd"))
    ]


def module(name: str, depends: list[str]) -> Extension:
    import numpy as np

    return Extension(
        f"tinytensor.{name}",
        [f"tinytensor/{name}.pyx"],
        include_dirs=["csrc", np.get_include()],
        depends=depends,
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    )


if __name__ == "__main__":
    from Cython.Build import cythonize

    setup(
        ext_modules=cythonize(
            [module("_kernels", headers()), module("_tape", [])], language_level=3, include_path=["csrc"]
        ),
        cmdclass={"build_ext": Build},
    )
