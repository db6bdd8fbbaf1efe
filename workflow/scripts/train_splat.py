from pathlib import Path

from splatscope.config.splat import SplatConfig
from splatscope.jobs import run_job
from splatscope.splats.stage import train_splat

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    train_splat(
        *([Path(path) for path in column] for column in (files.frames, files.tables, files.cameras, files.valid)),
        Path(files.points),
        SplatConfig.model_validate(params.config),
        params.seed,
        model_path=Path(out.splat),
        curve_path=Path(out.curve),
        summary_path=Path(out.summary),
        heldout_path=Path(out.heldout),
        turntable_path=Path(out.turntable),
        checkpoint_path=Path(out.splat).with_name("checkpoint.pt"),
        device=params.device,
        threads=snakemake.threads,
    )
