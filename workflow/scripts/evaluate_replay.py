from pathlib import Path

from splatscope.config.evaluate import EvaluateConfig
from splatscope.evaluate import evaluate_replay
from splatscope.evaluate.replay import RealRecording, ReplayOutputs
from splatscope.jobs import run_job

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    truth = {Path(path).stem: Path(path) for path in files.truth}
    real = {
        name: RealRecording(Path(frames), Path(valid), truth.get(name), Path(camera))
        for name, frames, valid, camera in zip(params.recordings, files.real, files.valid, files.cameras)
    }
    outputs = ReplayOutputs(*(Path(path) for path in (out.rows, out.table, out.summary, out.best, out.worst)))
    evaluate_replay(files.frames, real, EvaluateConfig.model_validate(params.config), outputs)
