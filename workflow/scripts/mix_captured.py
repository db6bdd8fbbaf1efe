from splatscope.classes import read_class_table
from splatscope.config.mix import MixConfig
from splatscope.digests import provenance
from splatscope.jobs import run_job
from splatscope.mix.simulated import SimulatedInstruments
from splatscope.mix.stage import mix_shard

with run_job(snakemake):
    config, shard = MixConfig.model_validate(snakemake.params.config), int(snakemake.wildcards.shard)
    mix_shard(
        snakemake.input.frames,
        SimulatedInstruments(config.instruments, [snakemake.params.seed, shard]),
        config,
        snakemake.params.seed,
        {number: name for name, number in read_class_table(snakemake.input.classes).items()},
        dataset="mixed_captured",
        shard=shard,
        out=snakemake.output.frames,
        provenance=provenance(snakemake),
    )
