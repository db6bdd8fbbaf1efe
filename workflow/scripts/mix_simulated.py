from splatscope.classes import read_class_table
from splatscope.compose.scene_list import tool_class_names
from splatscope.config.mix import MixConfig
from splatscope.digests import provenance
from splatscope.jobs import run_job
from splatscope.mix.captured import CapturedInstruments
from splatscope.mix.stage import mix_shard

with run_job(snakemake):
    files, params = snakemake.input, snakemake.params
    classes = read_class_table(files.classes)
    names = tool_class_names(params.tools, params.tool_classes, classes, files.classes)
    plys, reports = dict(zip(params.tools, files.tools)), dict(zip(params.tools, files.extracted))
    mix_shard(
        files.frames,
        CapturedInstruments(plys, reports, {tool: classes[name] for tool, name in names.items()}),
        MixConfig.model_validate(params.config),
        params.seed,
        {number: name for name, number in classes.items()},
        dataset="mixed_simulated",
        shard=int(snakemake.wildcards.shard),
        out=snakemake.output.frames,
        provenance=provenance(snakemake),
    )
