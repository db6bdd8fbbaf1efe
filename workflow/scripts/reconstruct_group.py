from pathlib import Path

from splatscope.config.poses import SfmConfig
from splatscope.jobs import run_job
from splatscope.poses.recording_files import IngestedRecording
from splatscope.poses.sfm import reconstruct_group

with run_job(snakemake):
    params = snakemake.params
    recordings = [IngestedRecording.in_folder(row, Path("results/ingest") / row.name) for row in params.recordings]
    config = SfmConfig.model_validate(params.config)
    out = Path(snakemake.output.summary).parent
    reconstruct_group(recordings, config, params.seed, out, camera_sensor_from_camera=params.hand_eye)
