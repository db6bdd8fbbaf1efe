from splatscope.classes import read_class_table
from splatscope.config.simulate import SimulateConfig
from splatscope.digests import provenance
from splatscope.jobs import run_job
from splatscope.simulate.stage import simulate_episode

with run_job(snakemake):
    files, out = snakemake.input, snakemake.output
    simulate_episode(
        int(snakemake.wildcards.episode),
        files.scenario,
        SimulateConfig.model_validate(snakemake.params.config),
        snakemake.params.seed,
        {number: name for name, number in read_class_table(files.classes).items()},
        frames_tar=out.frames,
        triplets_parquet=out.triplets,
        events_parquet=out.events,
        log_parquet=out.steps,
        video_mp4=out.video,
        provenance=provenance(snakemake),
    )
