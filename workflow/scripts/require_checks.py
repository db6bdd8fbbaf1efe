from splatscope.checks.requirement import require_passed
from splatscope.jobs import run_job

with run_job(snakemake):
    require_passed(snakemake.input.results, snakemake.input.picture, snakemake.output[0])
