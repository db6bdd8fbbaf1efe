from splatscope.classes import read_class_table
from splatscope.config.restyle_proof import ProofConfig
from splatscope.jobs import run_job
from splatscope.restyle.stage import train_judge

with run_job(snakemake):
    files, params = snakemake.input, snakemake.params
    train_judge(
        files.frames,
        read_class_table(files.classes),
        snakemake.wildcards.judge,
        ProofConfig.model_validate(params.config),
        params.seed,
        device=params.device,
        out=snakemake.output[0],
    )
