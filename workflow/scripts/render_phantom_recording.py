from splatscope.config.phantom import PhantomConfig
from splatscope.jobs import run_job
from splatscope.phantom.recording import render_recording

with run_job(snakemake):
    out = snakemake.output
    config = PhantomConfig.model_validate(snakemake.params.config)
    name, seed = snakemake.wildcards.recording, snakemake.params.seed
    render_recording(name, config, seed, out.video, out.tracker, out.truth_frames, out.truth_poses)
