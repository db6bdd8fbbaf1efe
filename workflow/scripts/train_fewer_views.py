from pathlib import Path

from splatscope.ablations.views import train_on_fewer_views
from splatscope.config.splat import SplatConfig
from splatscope.jobs import run_job

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    train_on_fewer_views(
        int(snakemake.wildcards.percent),
        *([Path(path) for path in column] for column in (files.frames, files.tables, files.cameras, files.valid)),
        Path(files.points),
        SplatConfig.model_validate(params.config),
        params.seed,
        model_path=Path(out.splat),
        summary_path=Path(out.summary),
        device=params.device,
        threads=snakemake.threads,
    )
