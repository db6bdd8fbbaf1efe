"""OpenSplat's CPU path as a module, compiled from the user's checkout with its own release flags."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from torch.utils import cpp_extension

# what trains and draws; readers and writers of files are left out and never called
SOURCES = (
    "model.cpp",
    "kdtree_tensor.cpp",
    "spherical_harmonics.cpp",
    "cv_utils.cpp",
    "project_gaussians.cpp",
    "rasterize_gaussians.cpp",
    "ssim.cpp",
    "input_data.cpp",
    "tensor_math.cpp",
    "undistort.cpp",
    "rasterizer/gsplat-cpu/gsplat_cpu.cpp",
)
HOW_TO_GET = """OpenSplat's sources are not in {folder}. To measure beside it:
    git clone --branch v1.2.0 https://github.com/WebODM/OpenSplat
    apt-get install libopencv-dev
    make bench-splat OPENSPLAT=OpenSplat"""


def load(checkout: Path, build: Path):
    """(module, version) of the OpenSplat in `checkout`; compiled into `build` at the first call, which takes minutes.

    SystemExit with what to do when it is not there.
    """
    if not (checkout / "VERSION").exists():
        raise SystemExit(HOW_TO_GET.format(folder=checkout))
    checkout = checkout.resolve()
    build.mkdir(parents=True, exist_ok=True)
    vendored = [checkout / "vendor" / name for name in ("", "nanoflann", "cxxopts", "tinyglm", "miniz", "spz")]
    flags = sys.getdlopenflags()
    sys.setdlopenflags(os.RTLD_LAZY)  # the functions left out need not be found
    try:
        module = cpp_extension.load(
            "opensplat_peer",
            [str(Path(__file__).with_name("opensplat.cpp")), *(str(checkout / name) for name in SOURCES)],
            extra_include_paths=[str(path) for path in (checkout, checkout / "rasterizer", *vendored)]
            + ["/usr/include/opencv4"],
            extra_cflags=["-O3", "-DNDEBUG", "-w"],
            extra_ldflags=[
                "-Wl,-z,lazy",
                *(f"-lopencv_{part}" for part in ("core", "imgproc", "imgcodecs", "calib3d")),
            ],
            with_cuda=False,
            build_directory=str(build),
        )
    finally:
        sys.setdlopenflags(flags)
    return module, (checkout / "VERSION").read_text().strip()
