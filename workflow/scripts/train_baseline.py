from pathlib import Path

from splatscope.baselines.stage import train_baseline
from splatscope.config.baselines import BaselinesConfig
from splatscope.jobs import run_job

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    train_baseline(
        snakemake.wildcards.kind,
        *([Path(path) for path in column] for column in (files.frames, files.tables, files.cameras, files.valid)),
        Path(files.points),
        BaselinesConfig.model_validate(params.config),
        params.seed,
        max_width=params.max_width,
        heldout_every=params.heldout_every,
        model_path=Path(out.model),
        curve_path=Path(out.curve),
        summary_path=Path(out.summary),
        device=params.device,
    )
