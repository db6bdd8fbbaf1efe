from splatscope.classes import read_class_table
from splatscope.jobs import run_job
from splatscope.restyle.stage import train_judge

with run_job(snakemake):
    files, params = snakemake.input, snakemake.params
    train_judge(
        files.frames,
        read_class_table(files.classes),
        snakemake.wildcards.judge,
        params.recipe,
        params.seed,
        backbone_weights=params.backbone,
        device=params.device,
        out=snakemake.output[0],
    )
