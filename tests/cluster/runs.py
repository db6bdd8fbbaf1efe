"""Running the workflow through an executor, and comparing what came out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from splatscope.files import sha256

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
SMALL = HERE / "small.yaml"
DATASETS = ["results/dataset/simulated/annotations.json", "results/dataset/simulated_restyled/annotations.json"]
NOT_RESULTS = ("logs", "benchmarks", "digests")  # differ from run to run: times, process ids


@dataclass
class Run:
    """A `snakemake` command that was started; its output goes to a file."""

    process: subprocess.Popen
    output_file: Path

    def finish(self, timeout: float = 2400) -> str:
        """The output of the finished command, which must have succeeded."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"not done after {timeout:.0f} s:\n{self.output()[-4000:]}") from None
        assert code == 0, self.output()[-8000:]
        return self.output()

    def output(self) -> str:
        return self.output_file.read_text(errors="replace")

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def start_snakemake(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None, source: Path = REPOSITORY
) -> Run:
    """Start the workflow of a checkout in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "config").exists():
        (folder / "config").mkdir()
        (folder / "config" / "recordings.tsv").write_text((REPOSITORY / "config" / "recordings.tsv").read_text())
    paths = [str(source / "workflow" / "src"), os.environ.get("PYTHONPATH", "")]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
    output_file = folder / "snakemake.out"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(source / "Snakefile"), "--directory", str(folder)]
    with open(output_file, "wb") as out:
        process = subprocess.Popen(
            [*command, *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=variables | (environment or {}),
        )
    return Run(process, output_file)


def result_digests(results: Path) -> dict[str, str]:
    """SHA-256 of every result, by its path below the folder of results."""
    files = (path for path in results.rglob("*") if path.is_file())
    named = {path.relative_to(results): path for path in files}
    return {str(name): sha256(path) for name, path in named.items() if name.parts[0] not in NOT_RESULTS}
