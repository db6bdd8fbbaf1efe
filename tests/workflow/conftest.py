"""Running the workflow as a user would, in folders of its own."""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Run:
    """One finished `snakemake` command."""

    code: int
    output: str

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs that ran or, in a dry run, would: rule -> number."""
        table = re.search(r"^job +count\n-+ +-+\n(.*?)\ntotal ", self.output, re.DOTALL | re.MULTILINE)
        return {} if table is None else {(row := line.split())[0]: int(row[1]) for line in table[1].splitlines()}


@pytest.fixture(scope="session")
def run_snakemake(repository) -> Callable[..., Run]:
    """`run_snakemake(folder, *arguments, source=repository)` -> Run"""

    def run(folder: Path, *arguments: str, source: Path = repository, timeout: int = 1500) -> Run:
        environment = os.environ | {"PYTHONPATH": str(source / "workflow" / "src")}
        done = subprocess.run(
            ["snakemake", "--snakefile", str(source / "Snakefile"), "--directory", str(folder), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=folder,
            timeout=timeout,
        )
        return Run(done.returncode, done.stdout)

    return run
