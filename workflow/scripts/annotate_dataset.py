from pathlib import Path

from splatscope.annotate import annotate_dataset
from splatscope.classes import read_class_table
from splatscope.config.annotate import AnnotateConfig
from splatscope.jobs import run_job

with run_job(snakemake):
    files, params = snakemake.input, snakemake.params
    annotate_dataset(
        files.frames,
        read_class_table(files.classes),
        AnnotateConfig.model_validate(params.config),
        Path(snakemake.output.coco).parent,
        name=snakemake.wildcards.dataset,
        seed=params.seed,
        scene_list=next(iter(files.scenes), None),
        processes=snakemake.threads,
    )
