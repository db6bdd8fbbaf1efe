from itertools import zip_longest
from pathlib import Path

from splatscope.config.evaluate import EvaluateConfig
from splatscope.evaluate import evaluate_replay
from splatscope.evaluate.replay import RealRecording, ReplayOutputs
from splatscope.jobs import run_job

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    paths = [[Path(path) for path in column] for column in (files.real, files.valid, files.truth)]
    real = {name: RealRecording(*row) for name, row in zip(params.recordings, zip_longest(*paths))}
    outputs = ReplayOutputs(*(Path(path) for path in (out.rows, out.table, out.summary, out.best, out.worst)))
    evaluate_replay(files.frames, real, EvaluateConfig.model_validate(params.config), outputs)
