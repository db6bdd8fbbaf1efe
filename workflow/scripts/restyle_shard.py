from splatscope.classes import read_class_table
from splatscope.config.restyle import RestyleConfig
from splatscope.digests import provenance
from splatscope.jobs import run_job
from splatscope.restyle.stage import restyle_shard

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    restyle_shard(
        files.frames,
        RestyleConfig.model_validate(params.config),
        params.seed,
        read_class_table(files.classes),
        segmenter_file=next(iter(files.segmenter), None),
        frames_tar=out.frames,
        scores_parquet=out.scores,
        device=params.device,
        provenance=provenance(snakemake),
    )
