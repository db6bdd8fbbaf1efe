"""The jobs of a run, as Snakemake itself would start them."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splatscope.config.model import Config
from splatscope.errors import InputError
from splatscope.recordings import Recording


@dataclass(frozen=True)
class Job:
    """One job of the DAG."""

    rule: str
    wildcards: Mapping[str, str]
    threads: int
    gpus: int
    outputs: tuple[str, ...]
    benchmark: str | None
    needed: bool  # it would run; else it is finished
    after: tuple[int, ...]  # positions in the list of the jobs whose outputs it reads


@dataclass(frozen=True)
class Workflow:
    """What was asked for: jobs in an order in which they can run, and the settings they come from."""

    jobs: list[Job]
    config: Config
    recordings: Mapping[str, Recording]


def list_jobs(
    snakefile: str | Path,
    folder: str | Path,
    targets: Sequence[str] = (),
    configfiles: Sequence[str | Path] = (),
    config: Mapping[str, Any] | None = None,
    *,
    cores: int = 1,
    all_jobs: bool = False,
) -> Workflow:
    """Jobs of the targets in a working directory, on a machine of so many cores.

    `all_jobs` counts finished jobs as though they were still to run. Raises InputError with what Snakemake says when it
    cannot plan them.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, Quietness, ResourceSettings

    settings = ConfigSettings(configfiles=[Path(path) for path in configfiles], config=dict(config or {}))
    said = io.StringIO()  # it lists every rule's reasons, however quiet it is asked to be
    with (
        contextlib.redirect_stderr(said),
        SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL}, stdout=False)) as api,
    ):
        try:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=cores),
                config_settings=settings,
                snakefile=Path(snakefile),
                workdir=Path(folder),
            )
            dag = workflow.dag(DAGSettings(targets=frozenset(targets), forceall=all_jobs))
            dag.execute_workflow(executor="dryrun")
        except Exception as error:  # Snakemake's own kinds have no common parent but this
            raise InputError(
                folder,
                found=f"{type(error).__name__}: {error} {said.getvalue()[-1000:]}",
                expected="a workflow that Snakemake can plan",
                remedy="try `snakemake --dry-run` with the same arguments",
            ) from error
        inner = workflow._workflow  # the API gives the jobs to executors only
        return Workflow(_ordered(inner.dag), inner.globals["CONFIG"], inner.globals["RECORDINGS"])


def _ordered(dag: Any) -> list[Job]:
    place: dict[Any, int] = {}
    jobs: list[Job] = []
    for level in dag.toposorted():
        for job in sorted(level, key=lambda job: (job.rule.name, [str(file) for file in job.output])):
            place[job] = len(jobs)
            jobs.append(
                Job(
                    job.rule.name,
                    dict(job.wildcards_dict),
                    job.threads,
                    int(job.resources.get("gpu", 0)),
                    tuple(map(str, job.output)),
                    str(job.benchmark) if job.benchmark else None,
                    dag.needrun(job),
                    tuple(sorted(place[other] for other in dag.dependencies[job])),
                )
            )
    return jobs
