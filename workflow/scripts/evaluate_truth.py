from pathlib import Path

from splatscope.config.evaluate import EvaluateConfig
from splatscope.evaluate.truth import EstimatedFiles, TruthFiles, evaluate_truth
from splatscope.jobs import run_job

with run_job(snakemake):
    files, params = snakemake.input, snakemake.params
    by_name = {key: dict(zip(params.recordings, map(Path, files[key]))) for key in ("truth_poses", "poses", "ingest")}
    by_tool = {key: dict(zip(params.tools, map(Path, files[key]))) for key in ("meshes", "splats", "extracted")}
    truth = TruthFiles(Path(files.truth), by_name["truth_poses"], by_tool["meshes"])
    estimated = EstimatedFiles(
        Path(files.alignment), by_name["poses"], by_name["ingest"], by_tool["splats"], by_tool["extracted"]
    )
    config = EvaluateConfig.model_validate(params.config)
    evaluate_truth(estimated, truth, config, snakemake.output.summary, params.seed)
