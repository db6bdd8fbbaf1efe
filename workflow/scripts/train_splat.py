from splatscope.config.splat import SplatConfig
from splatscope.jobs import run_job
from splatscope.splats.stage import train_splat

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    train_splat(
        files.frames,
        files.tables,
        files.cameras,
        files.valid,
        files.points,
        SplatConfig.model_validate(params.config),
        params.seed,
        splat=out.splat,
        curve=out.curve,
        summary=out.summary,
        heldout=out.heldout,
        threads=snakemake.threads,
    )
