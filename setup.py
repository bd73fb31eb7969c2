"""Compiles csrc/kernels.c once per instruction set and links it with the Cython bindings; and the tape. Metadata is in
pyproject.toml.

TINYTENSOR_BUILD_WERROR=1   warnings of our own C are errors (CI)
"""

import os
import platform
import shutil
import tempfile

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

X86 = platform.machine().lower() in ("x86_64", "amd64")
BASE = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
ISAS = {
    "generic": ["-march=x86-64"] if X86 else [],
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}
WARN = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion"]


class Build(build_ext):
    def works(self, flags: list[str]) -> bool:
        """Whether the compiler takes `flags`."""
        folder = tempfile.mkdtemp()
        try:
            path = os.path.join(folder, "try.c")
            with open(path, "w") as f:
                f.write("int x;")
            self.compiler.compile([path], output_dir=folder, extra_postargs=["-Werror", *flags])
            return True
        except Exception:
            return False
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def build_extension(self, ext: Extension) -> None:
        ext.extra_compile_args = ["-O3", "-std=c11", "-fno-strict-aliasing"]
        if ext.name == "tinytensor._kernels":
            self.add_kernels(ext)
        super().build_extension(ext)

    def add_kernels(self, ext: Extension) -> None:
        """Compile csrc, and link it with the bindings."""
        werror = ["-Werror"] if os.environ.get("TINYTENSOR_BUILD_WERROR") == "1" else []
        simd = ["-fopenmp-simd"]
        # GCC jump-threads the clamps of silu-like functions, which keeps their loops from becoming vectors
        quirks = [f for f in ["-fno-thread-jumps"] if self.works([f])]
        isas = {"generic": ISAS["generic"]}
        for name in ("avx2", "avx512"):
            if X86 and self.works(ISAS[name]):
                isas[name] = ISAS[name]
        have = [(f"TT_HAVE_{name.upper()}", "1") for name in isas]
        common = {"include_dirs": ["csrc"], "debug": self.debug, "depends": ext.depends}
        objects = []
        for name, flags in isas.items():
            objects += self.compiler.compile(
                ["csrc/kernels.c"],
                output_dir=os.path.join(self.build_temp, name),
                macros=[("TT_ISA", name)],
                extra_postargs=BASE + simd + quirks + flags + WARN + werror,
                **common,
            )
        for source in ("parallel", "dispatch", "drivers", "random"):
            objects += self.compiler.compile(
                [f"csrc/{source}.c"],
                output_dir=self.build_temp,
                macros=have,
                extra_postargs=BASE + ["-pthread"] + ISAS["generic"] + WARN + werror,
                **common,
            )
        ext.extra_objects = objects
        ext.extra_link_args = ["-pthread"]


def headers() -> list[str]:
    return [
        os.path.join(d, f) for d, _, files in os.walk("csrc") for f in files if f.endswith((".h", ".def", ".c", ".pxd"))
    ]


def module(name: str, depends: list[str]) -> Extension:
    return Extension(
        f"tinytensor.{name}",
        [f"tinytensor/{name}.pyx"],
        include_dirs=["csrc", np.get_include()],
        depends=depends,
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    )


setup(
    ext_modules=cythonize(
        [module("_kernels", headers()), module("_tape", [])], language_level=3, include_path=["csrc"]
    ),
    cmdclass={"build_ext": Build},
)
