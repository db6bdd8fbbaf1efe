from pathlib import Path

from splatscope.config.paper import PaperConfig
from splatscope.jobs import run_job
from splatscope.paper.inputs import PaperInputs
from splatscope.paper.page import write_paper

with run_job(snakemake):
    params, out = snakemake.params, snakemake.output
    results = Path(out.page).parents[1]
    run = {part: results / part for part in params.parts if part != "restyle"}
    inputs = PaperInputs(
        phantom=params.phantom,
        settings=params.settings,
        evaluate=results / "evaluate",
        **run,
        restyled=(params.restyled, results / "restyle" / params.restyled) if params.restyled else None,
        extracts={tool: results / "extract" / tool for tool in params.tools},
        splats={model: results / "splat" / model for model in params.models},
        provenance={"seed": str(params.seed), "configuration digest": params.config_digest},
    )
    config = PaperConfig.model_validate(params.config)
    write_paper(inputs, config, page_html=out.page, tables_csv=out.table, tables_txt=out.text)
