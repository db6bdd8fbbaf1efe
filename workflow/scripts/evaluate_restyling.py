from splatscope.classes import read_class_table
from splatscope.config.restyle_proof import ProofConfig
from splatscope.jobs import run_job
from splatscope.restyle.evaluation import evaluate_restyling

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    count = len(files.raw)
    evaluate_restyling(
        files.raw,
        {name: files.restyled[i * count : (i + 1) * count] for i, name in enumerate(params.variants)},
        files.scores,
        read_class_table(files.classes),
        ProofConfig.model_validate(params.config),
        segmenter_file=files.segmenter,
        lpips_weights=params.lpips_weights,
        seed=params.seed,
        device=params.device,
        summary_json=out.summary,
        table_csv=out.table,
    )
