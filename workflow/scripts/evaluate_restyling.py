from splatscope.classes import read_class_table
from splatscope.jobs import run_job
from splatscope.restyle.evaluation import evaluate_restyling

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    per_variant = len(files.raw)
    evaluate_restyling(
        files.raw,
        {name: files.restyled[i * per_variant :][:per_variant] for i, name in enumerate(params.variants)},
        read_class_table(files.classes),
        segmenter_file=files.segmenter,
        style_set=params.style_set,
        inception_weights=params.inception_weights,
        lpips_weights=params.lpips_weights,
        seed=params.seed,
        device=params.device,
        summary_json=out.summary,
        table_csv=out.table,
    )
