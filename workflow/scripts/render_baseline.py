from splatscope.baselines.stage import render_baseline
from splatscope.config.render import RenderConfig
from splatscope.digests import provenance
from splatscope.jobs import run_job

with run_job(snakemake):
    files, params, wildcards = snakemake.input, snakemake.params, snakemake.wildcards
    render_baseline(
        wildcards.kind,
        files.scenes,
        files.summary,
        int(wildcards.shard),
        files.site,
        dict(zip(params.tools, zip(files.tools, files.splats, files.extracted))),
        params.plane_tolerance_mm,
        RenderConfig.model_validate(params.config),
        frames_tar=snakemake.output.frames,
        provenance=provenance(snakemake),
        device=params.device,
    )
