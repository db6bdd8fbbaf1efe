from splatscope.config.phantom import PhantomConfig
from splatscope.jobs import run_job
from splatscope.phantom.rig import write_rig

with run_job(snakemake):
    out = snakemake.output
    config = PhantomConfig.model_validate(snakemake.params.config)
    write_rig(config, snakemake.params.seed, out.calibration, out.truth, out.mesh)
