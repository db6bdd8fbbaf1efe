from pathlib import Path

from splatscope.ablations.gather import gather_cases
from splatscope.config.ablation import AblationConfig
from splatscope.jobs import run_job

with run_job(snakemake):
    out, params = snakemake.output, snakemake.params
    gather_cases(
        params.cases,
        {Path(path).stem: Path(path) for path in snakemake.input},
        AblationConfig.model_validate(params.config),
        table_csv=out.table,
        cells_parquet=out.cells,
        summary_json=out.summary,
        plot_png=out.plot,
    )
