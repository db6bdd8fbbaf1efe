from splatscope.jobs import run_job
from splatscope.simulate.contact_sheet import write_contact_sheet

with run_job(snakemake):
    params = snakemake.params
    write_contact_sheet(snakemake.input.frames, params.pictures, params.columns, params.seed, snakemake.output[0])
