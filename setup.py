"""Builds the C++ rasterizer; everything else about the package is in pyproject.toml."""

from glob import glob

from setuptools import Extension, setup

ENGINE = "workflow/src/splatscope/splats/engine"
FLAGS = [
    "-std=c++17",
    "-O3",
    "-fno-wrapv",  # Python's own flags have -fwrapv, which keeps loops over ints from being vectorised
    "-fno-math-errno",
    "-fno-trapping-math",
    "-pthread",
    "-Wno-maybe-uninitialized",  # false alarms from the compiler's own AVX-512 header
]

setup(
    ext_modules=[
        Extension(
            "splatscope.splats._native",  # a plain shared library loaded by ctypes, not a Python module
            sources=sorted(glob(f"{ENGINE}/*.cpp")),
            depends=sorted(glob(f"{ENGINE}/*.h")),
            language="c++",
            extra_compile_args=FLAGS,
            extra_link_args=["-pthread"],
            optional=True,  # without a compiler the package installs and draws with plain PyTorch
        )
    ]
)
