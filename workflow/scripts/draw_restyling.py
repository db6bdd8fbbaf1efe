from splatscope.jobs import run_job
from splatscope.restyle.pictures import draw_restyling

with run_job(snakemake):
    draw_restyling(snakemake.input.raw, snakemake.input.restyled, snakemake.output.strip, snakemake.output.video)
