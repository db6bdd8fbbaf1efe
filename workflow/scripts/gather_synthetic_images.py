from splatscope.classes import read_class_table
from splatscope.config.annotate import AnnotateConfig
from splatscope.jobs import run_job
from splatscope.proof.gathering import write_synthetic_set

with run_job(snakemake):
    files, params = snakemake.input, snakemake.params
    config, classes = AnnotateConfig.model_validate(params.config), read_class_table(files.classes)
    write_synthetic_set(snakemake.output.images, files.frames, classes, tuple(params.size), config)
