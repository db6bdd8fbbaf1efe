from splatscope.config.render import RenderConfig
from splatscope.digests import provenance
from splatscope.jobs import run_job
from splatscope.render import render_shard

with run_job(snakemake):
    files, params = snakemake.input, snakemake.params
    render_shard(
        files.scenes,
        files.summary,
        int(snakemake.wildcards.shard),
        files.site,
        dict(zip(params.tools, files.tools)),
        RenderConfig.model_validate(params.config),
        frames_tar=snakemake.output.frames,
        provenance=provenance(snakemake),
        device=params.device,
        threads=snakemake.threads,
    )
