"""Writes the recipes of the environment for those who do not use `make setup`: conda, Docker and Apptainer.

`make envs` runs it. All three install the pins of requirements.txt; a test holds recipes and pins together.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
NOTE = "# Made by `make envs` from requirements.txt, apt.txt and cluster.txt: change those."
BASE = "debian:bookworm-slim"
COPIED = ("envs", "pyproject.toml", "setup.py", "Makefile", "workflow/src")
INSTALL = (
    "apt-get update && apt-get install -y --no-install-recommends make {apt} && rm -rf /var/lib/apt/lists/*",
    "make setup",
    # cluster executors and S3; not in the lock of the environment itself, see cluster.in
    ".venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --require-hashes -r envs/cluster.txt",
)


def pins(lock: str) -> list[str]:
    """`name==version ; marker` of each package in a lock that `uv pip compile` wrote."""
    found = re.findall(r"^([A-Za-z0-9][\w.\-]*(?:\[[\w,\-]+\])?==[^\s\\]+)([^\\\n]*)", lock, flags=re.MULTILINE)
    return [(requirement + marker).strip() for requirement, marker in found]


def conda_yaml(lock: str, python: str) -> str:
    listed = "\n".join(f'      - "{pin}"' for pin in pins(lock))
    return f"""{NOTE}
# In the project's root (PIP_NO_DEPS, because the pins are complete, and leave out a second OpenCV on purpose):
#   PIP_NO_DEPS=1 conda env create --file envs/conda.yaml
#   conda activate splatscope
#   pip install --no-deps --no-build-isolation --editable .
#   pip install --no-deps --require-hashes --requirement envs/cluster.txt    for Slurm, Kubernetes or S3
name: splatscope
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python={python}
  - cxx-compiler # the rasterizer is compiled when the project is installed
  - pip
  - pip:
{listed}
"""


def dockerfile(apt: list[str], version: str) -> str:
    copies = "\n".join(f"COPY {path} {path}" for path in COPIED)
    steps = "\n".join(f"RUN {step}" for step in _steps(apt))
    return f"""{NOTE}
# In the project's root: docker build --file envs/Dockerfile --tag splatscope:{version} .
FROM {BASE}
WORKDIR /splatscope
{copies}
{steps}
ENV PATH=/splatscope/.venv/bin:$PATH
"""


def apptainer_definition(apt: list[str], version: str) -> str:
    copies = "\n".join(f"    {path} /splatscope/{path}" for path in COPIED)
    steps = "\n".join(f"    {step}" for step in _steps(apt))
    return f"""{NOTE}
# In the project's root: apptainer build splatscope-{version}.sif envs/splatscope.def
Bootstrap: docker
From: {BASE}

%files
{copies}

%post
    set -e
    cd /splatscope
{steps}

%environment
    export PATH=/splatscope/.venv/bin:$PATH

%runscript
    exec snakemake "$@"

%labels
    Version {version}
"""


def recipes() -> dict[str, str]:
    """File name in this folder -> content."""
    lock = (FOLDER / "requirements.txt").read_text()
    apt = (FOLDER / "apt.txt").read_text().split()
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]
    python = re.match(r">=([\d.]+)", project["requires-python"])[1]
    package = FOLDER.parent / "workflow" / "src" / "splatscope" / "__init__.py"
    version = re.search(r'__version__ = "(.+)"', package.read_text())[1]
    return {
        "conda.yaml": conda_yaml(lock, python),
        "Dockerfile": dockerfile(apt, version),
        "splatscope.def": apptainer_definition(apt, version),
    }


def _steps(apt: list[str]) -> list[str]:
    return [step.format(apt=" ".join(apt)) for step in INSTALL]


if __name__ == "__main__":
    for name, content in recipes().items():
        (FOLDER / name).write_text(content)
