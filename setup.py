"""Builds the one extension, fastconv._core.

Switches, from the environment: FASTCONV_OPENMP=0 builds without OpenMP (serial), FASTCONV_DEBUG=1 with assertions and
debugging symbols, FASTCONV_SANITIZE=address,undefined with sanitizers.
"""

import os
import subprocess
import sys
import tempfile
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SANITIZE = os.environ.get("FASTCONV_SANITIZE", "")
DEBUG = os.environ.get("FASTCONV_DEBUG", "0") == "1" or bool(SANITIZE)
OPENMP = os.environ.get("FASTCONV_OPENMP", "1") == "1"

# gnu11 keeps the contraction of a * b + c to a fused multiply-add; errno of sqrt would keep loops from vectors.
compile_flags = ["-std=gnu11", "-O3", "-fno-math-errno", "-fvisibility=hidden", "-Wall"]
link_flags = ["-lm"]
if DEBUG:
    compile_flags += ["-g", "-UNDEBUG"]
else:
    compile_flags += ["-g0", "-DNDEBUG"]
    link_flags += ["-Wl,-s"] if sys.platform == "linux" else []
if SANITIZE:
    compile_flags += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"]
    compile_flags += ["-fno-wrapv"]  # Python's own flags may hide signed overflow from the sanitizer
    link_flags += [f"-fsanitize={SANITIZE}"]


class BuildWithOpenMP(build_ext):
    """Adds OpenMP where the compiler can build and link it; without it the extension runs on one thread and says so."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.force = True  # an object's age does not tell with which compiler and switches it was built

    def build_extensions(self) -> None:
        if OPENMP and self.has_openmp():
            for extension in self.extensions:
                extension.extra_compile_args.append("-fopenmp")
                extension.extra_link_args.append("-fopenmp")
        compile_all = self.compiler.compile

        def compile_in_parallel(sources: list[str], *args: Any, **options: Any) -> list[str]:
            with ThreadPool() as pool:
                return sum(pool.map(lambda source: compile_all([source], *args, **options), sources, 1), [])

        self.compiler.compile = compile_in_parallel
        super().build_extensions()

    def has_openmp(self) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            source, program = Path(folder, "openmp.c"), Path(folder, "openmp")
            source.write_text("extern int omp_get_max_threads(void); int main(void) { return !omp_get_max_threads(); }")
            command = [*self.compiler.linker_exe, "-fopenmp", str(source), "-o", str(program)]
            return subprocess.run(command, capture_output=True).returncode == 0


sources = sorted(str(path) for path in Path("csrc").rglob("*.c"))
headers = sorted(str(path) for pattern in ("*.h", "*.inc", "*.def") for path in Path("csrc").rglob(pattern))
includes = sorted(str(path) for path in Path("fastconv").glob("*.px[di]"))
core = Extension(
    "fastconv._core",
    ["fastconv/_core.pyx", *sources],
    include_dirs=["csrc"],
    depends=[*headers, *includes],
    extra_compile_args=compile_flags,
    extra_link_args=link_flags,
)

setup(ext_modules=cythonize([core], build_dir="build/cython"), cmdclass={"build_ext": BuildWithOpenMP})
