from pathlib import Path

from splatscope.config.report import ReportConfig
from splatscope.jobs import run_job
from splatscope.report import write_report
from splatscope.report.inputs import ReportInputs

with run_job(snakemake):
    params, results = snakemake.params, Path(snakemake.input.summary).parent
    inputs = ReportInputs(
        summary=Path(snakemake.input.summary),
        recordings=[{"name": row.name, "role": row.role.value} for row in params.recordings],
        ingest={row.name: results / "ingest" / row.name for row in params.recordings},
        sfm={group: results / "sfm" / group / "sfm.json" for group in params.groups},
        poses=results / "poses",
        splats={model: results / "splat" / model for model in params.models},
        extracts={tool: results / "extract" / tool for tool in params.tools},
        compose={name: results / "compose" / f"{name}.json" for name in params.datasets},
        datasets={name: results / "dataset" / name for name in params.shown},
        shards={name: [results.parent / file for file in files] for name, files in params.shards.items()},
        episodes=[Path(file) for file in snakemake.input.episodes],
        restyled={name: results / "restyle" / name for name in params.restyled},
        checks=[Path(file) for file in snakemake.input.checks],
        evaluate=results / "evaluate",
        benchmarks=sorted((results / "benchmarks").rglob("*.tsv")),
        provenance={"seed": str(params.seed), "configuration digest": params.config_digest},
    )
    write_report(inputs, ReportConfig.model_validate(params.config), snakemake.output[0])
