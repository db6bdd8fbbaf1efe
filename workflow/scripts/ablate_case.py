from pathlib import Path

from splatscope.ablations.stage import CaseFiles, run_case
from splatscope.config.compose import ComposeConfig
from splatscope.config.evaluate import EvaluateConfig
from splatscope.config.render import RenderConfig
from splatscope.evaluate.replay import RealRecording
from splatscope.jobs import run_job


def named(names, paths):
    return {name: Path(path) for name, path in zip(names, paths)}


with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    scenes, tools = params.recordings, params.tools
    truth, valid = {Path(path).stem: Path(path) for path in files.truth}, named(scenes, files.valid)
    real, cameras = named(scenes, files.real), named(scenes, files.cameras)
    given = CaseFiles(
        named(scenes, files.tables),
        cameras,
        Path(files.poses),
        {name: RealRecording(real[name], valid[name], truth.get(name), cameras[name]) for name in scenes},
        Path(files.site),
        named(tools, files.tools),
        named(tools, files.extracted),
        Path(files.classes),
    )
    sections = (ComposeConfig, params.compose), (RenderConfig, params.render), (EvaluateConfig, params.evaluate)
    settings = [model.model_validate(section) for model, section in sections]
    paths = {"rows_parquet": out.rows, "picture_png": out.picture}
    run_case(params.setup, given, params.frames, *settings, params.seed, device=params.device, **paths)
