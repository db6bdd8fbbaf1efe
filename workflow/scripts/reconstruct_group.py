from pathlib import Path

from splatscope.config.poses import SfmConfig
from splatscope.jobs import run_job
from splatscope.poses.recording_files import IngestedRecording
from splatscope.poses.sfm import reconstruct_group
from splatscope.recordings import Recording

with run_job(snakemake):
    params = snakemake.params
    rows = map(Recording.from_plain, params.recordings)
    folders = [Path(frames).parent for frames in snakemake.input.frames]
    recordings = [IngestedRecording.in_folder(row, folder) for row, folder in zip(rows, folders)]
    config = SfmConfig.model_validate(params.config)
    out = Path(snakemake.output.summary).parent
    reconstruct_group(recordings, config, params.seed, out, camera_sensor_from_camera=params.hand_eye)
