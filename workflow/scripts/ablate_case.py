from pathlib import Path

from splatscope.ablations.stage import CaseFiles, run_case
from splatscope.config.compose import ComposeConfig
from splatscope.config.evaluate import EvaluateConfig
from splatscope.config.render import RenderConfig
from splatscope.evaluate.replay import RealRecording
from splatscope.jobs import run_job

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    truth = {Path(path).stem: Path(path) for path in files.truth}

    def by_scene(paths):
        return {name: Path(path) for name, path in zip(params.recordings, paths)}

    def by_tool(paths):
        return {name: Path(path) for name, path in zip(params.tools, paths)}

    valid = by_scene(files.valid)
    real = {name: RealRecording(path, valid[name], truth.get(name)) for name, path in by_scene(files.real).items()}
    run_case(
        params.setup,
        CaseFiles(
            by_scene(files.tables),
            by_scene(files.cameras),
            Path(files.poses),
            real,
            Path(files.site),
            by_tool(files.tools),
            by_tool(files.extracted),
            Path(files.classes),
        ),
        params.frames,
        ComposeConfig.model_validate(params.compose),
        RenderConfig.model_validate(params.render),
        EvaluateConfig.model_validate(params.evaluate),
        params.seed,
        rows_parquet=out.rows,
        picture_png=out.picture,
        device=params.device,
    )
