from splatscope.compose import compose_replay
from splatscope.config.compose import ComposeConfig
from splatscope.jobs import run_job

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    compose_replay(
        snakemake.wildcards.dataset,
        dict(zip(params.recordings, files.tables)),
        dict(zip(params.recordings, files.cameras)),
        dict(zip(params.tools, files.extracted)),
        files.classes,
        ComposeConfig.model_validate(params.config),
        params.seed,
        scenes_parquet=out.scenes,
        scenes_json=out.summary,
    )
