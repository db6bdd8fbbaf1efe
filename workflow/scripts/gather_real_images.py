from pathlib import Path

from splatscope.classes import read_class_table
from splatscope.config.annotate import AnnotateConfig
from splatscope.evaluate.replay import RealRecording
from splatscope.jobs import run_job
from splatscope.proof.gathering import write_real_set

with run_job(snakemake):
    files, params = snakemake.input, snakemake.params
    truth = {Path(path).stem: Path(path) for path in files.truth}
    recordings = {
        name: RealRecording(Path(frames), Path(valid), truth.get(name))
        for name, frames, valid in zip(params.recordings, files.frames, files.valid)
    }
    config, classes = AnnotateConfig.model_validate(params.config), read_class_table(files.classes)
    write_real_set(snakemake.output.images, recordings, params.annotations, classes, tuple(params.size), config)
