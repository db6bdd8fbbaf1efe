"""Packages, the native rasterizer, COLMAP, codecs, fonts and programs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from packaging.markers import InvalidMarker, Marker

from splatscope.doctor.check import Check, State

OLDEST_PYTHON, NEWEST_PYTHON = (3, 11), (3, 13)
# by distribution: the module it brings, and what for
PACKAGES = {
    "torch": ("torch", "training, drawing"),
    "torchvision": ("torchvision", "networks"),
    "numpy": ("numpy", "everything"),
    "scipy": ("scipy", "poses"),
    "pandas": ("pandas", "tables"),
    "pyarrow": ("pyarrow", "tables"),
    "opencv-python-headless": ("cv2", "images"),
    "av": ("av", "video"),
    "warp-lang": ("warp", "simulation"),
    "diffusers": ("diffusers", "restyling"),
    "transformers": ("transformers", "restyling"),
    "pycocotools": ("pycocotools.mask", "datasets"),
    "snakemake": ("snakemake", "the workflow"),
}
SETUP = "run `make setup` in the checkout"
_LOADER = """
import importlib, json, sys
problems = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        problems[name] = f"{type(error).__name__}: {error}"[:300]
print("\\n" + json.dumps(problems))
"""


def check_python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return Check("python", State.OK, version)
    return Check("python", State.MISSING, version, "install Python 3.11, 3.12 or 3.13 and set up the checkout with it")


def check_packages(packages: dict[str, tuple[str, str]] = PACKAGES) -> list[Check]:
    """Whether each package is installed and loads; loading is tried in another process, which may die of it."""
    versions = {name: _version(name) for name in packages}
    problems = loading_problems([module for name, (module, _) in packages.items() if versions[name]])
    checks = []
    for name, (module, purpose) in packages.items():
        if versions[name] is None:
            checks.append(Check(name, State.MISSING, f"not installed ({purpose})", SETUP))
        elif module in problems:
            found = f"{versions[name]}, which does not load: {problems[module]}"
            checks.append(Check(name, State.MISSING, found, SETUP))
        else:
            checks.append(Check(name, State.OK, versions[name]))
    return checks


def loading_problems(modules: Sequence[str]) -> dict[str, str]:
    """What happens when these modules are imported, for those that cannot be."""
    command = [sys.executable, "-c", _LOADER, *modules]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):  # one of them ended the process
        if len(modules) == 1:
            return {modules[0]: f"the process ended with code {done.returncode}"}
        return {name: problem for module in modules for name, problem in loading_problems([module]).items()}


def check_pins(lock: Path) -> Check:
    """Whether installed versions are those of the lock, with which everything was tested."""
    if not lock.is_file():
        return Check("lock", State.NOTE, f"no {lock}", "run doctor from a checkout to compare with its lock")
    pins = read_pins(lock.read_text())
    others = [
        f"{name} {found} (tested: {wanted})"
        for name, wanted in pins.items()
        if (found := _version(name)) is not None and found.partition("+")[0] != wanted.partition("+")[0]
    ]
    absent = [name for name in pins if _version(name) is None]
    if not others and not absent:
        return Check("lock", State.OK, f"all {len(pins)} pinned packages as tested")
    parts = [f"other versions: {', '.join(others)}"] * bool(others) + [f"absent: {', '.join(absent)}"] * bool(absent)
    return Check("lock", State.NOTE, "; ".join(parts), f"{SETUP} for the tested versions")


def read_pins(text: str) -> dict[str, str]:
    """Versions by package of a lock, those of its lines that hold on this machine."""
    pins = {}
    for name, version, marker in re.findall(
        r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\\n]+))?", text, re.MULTILINE
    ):
        try:
            if not marker.strip() or Marker(marker.strip()).evaluate():
                pins[name] = version
        except InvalidMarker:
            pins[name] = version
    return pins


def check_rasterizer() -> Check:
    from splatscope.splats import native

    if native.available():
        return Check("rasterizer", State.OK, f"native, compiled ({native.kernels()} kernels)")
    compiler = "" if shutil.which("g++") else "install g++ and python3-dev (`make apt`), then "
    return Check(
        "rasterizer",
        State.NOTE,
        "not compiled: plain PyTorch draws instead, some hundred times slower",
        f"{compiler}{SETUP}",
    )


def check_colmap() -> Check:
    """pycolmap in a process of its own, as the workflow has it."""
    version = _version("pycolmap")
    problem = "not installed" if version is None else loading_problems(["pycolmap"]).get("pycolmap")
    if problem:
        found = f"pycolmap: {problem}"
        return Check("colmap", State.MISSING, found, f"{SETUP}, or bring poses (column `poses` of recordings.tsv)")
    return Check("colmap", State.OK, f"pycolmap {version}")


def check_codecs() -> Check:
    """Codecs of the FFmpeg inside PyAV: one must be written, the others are what endoscope recorders write."""
    import av

    missing = [f"{name} (write)" for name in ("libx264",) if not _has_codec(name, "w")]
    unread = [name for name in ("h264", "hevc", "mpeg4", "mpeg2video", "mjpeg", "vp9", "av1") if not _has_codec(name)]
    library = ".".join(map(str, av.library_versions["libavcodec"]))
    if missing:
        return Check("codecs", State.MISSING, f"libavcodec {library} without {', '.join(missing)}", SETUP)
    found = f"libavcodec {library}: writes H.264"
    if unread:
        remedy = "convert such videos, or install PyAV with its own FFmpeg (`make setup`)"
        return Check("codecs", State.NOTE, f"{found}; does not read {', '.join(unread)}", remedy)
    return Check("codecs", State.OK, f"{found}, reads H.264, HEVC, MPEG-2, MPEG-4, MJPEG, VP9, AV1")


def check_fonts() -> Check:
    """Plots are drawn with the font inside matplotlib; pages use the reader's."""
    from matplotlib import font_manager

    try:
        found = Path(font_manager.findfont("DejaVu Sans", fallback_to_default=False)).name
    except ValueError:
        return Check("fonts", State.NOTE, "no DejaVu Sans: plots look different", SETUP)
    return Check("fonts", State.OK, f"{found} for plots")


def check_programs() -> list[Check]:
    """Programs beside Python that some commands use."""
    chromium = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    if chromium:
        return [Check("chromium", State.OK, chromium)]
    return [Check("chromium", State.NOTE, "none: only tests of web pages use it", "apt-get install chromium")]


def _has_codec(name: str, mode: str = "r") -> bool:
    import av

    try:
        av.Codec(name, mode)
    except (av.codec.codec.UnknownCodecError, ValueError):
        return False
    return True


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
