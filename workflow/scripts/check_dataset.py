from splatscope.checks.stage import CheckOutputs, check_dataset
from splatscope.classes import read_class_table
from splatscope.config.annotate import AnnotateConfig
from splatscope.config.checks import CheckLimits
from splatscope.jobs import run_job

with run_job(snakemake):
    params, out = snakemake.params, snakemake.output
    limits, annotate = CheckLimits.model_validate(params.limits), AnnotateConfig.model_validate(params.annotate)
    table = read_class_table(snakemake.input.classes)
    outputs = CheckOutputs(out.results, out.picture, out.frames)
    dataset, processes = snakemake.wildcards.dataset, snakemake.threads
    check_dataset(snakemake.input.frames, table, limits, annotate, outputs, dataset=dataset, processes=processes)
