from splatscope.compose import sample_scenes
from splatscope.config.compose import ComposeConfig
from splatscope.jobs import run_job

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    sample_scenes(
        files.site,
        dict(zip(params.tools, files.tools)),
        dict(zip(params.tools, files.extracted)),
        dict(zip(params.recordings, files.tables)),
        dict(zip(params.scenes, files.scene_tables)),
        dict(zip(params.recordings + params.scenes, files.cameras)),
        files.classes,
        ComposeConfig.model_validate(params.config),
        params.seed,
        scenes_parquet=out.scenes,
        scenes_json=out.summary,
        device=params.device,
    )
