from splatscope.config.extract import ExtractConfig
from splatscope.extract import extract_tool
from splatscope.jobs import run_job

with run_job(snakemake):
    files, out = snakemake.input, snakemake.output
    extract_tool(
        snakemake.wildcards.tool,
        files.splat,
        files.table,
        files.camera,
        ExtractConfig.model_validate(snakemake.params.config),
        snakemake.params.seed,
        tool_ply=out.tool,
        paper_ply=out.paper,
        report_json=out.summary,
        picture_png=out.picture,
        frames_tar=files.frames,
        device=snakemake.params.device,
    )
