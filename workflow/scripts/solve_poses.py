from pathlib import Path

from splatscope.config.poses import PosesConfig
from splatscope.jobs import run_job
from splatscope.poses.group_state import ReconstructedGroup
from splatscope.poses.recording_files import IngestedRecording
from splatscope.poses.solve import solve_poses
from splatscope.recordings import Recording

with run_job(snakemake):
    params = snakemake.params
    out = Path(snakemake.output.summary).parent
    results = out.parent
    groups = [
        ReconstructedGroup(
            group,
            [IngestedRecording.in_folder(Recording.from_plain(row), results / "ingest" / row["name"]) for row in rows],
            results / "sfm" / group,
        )
        for group, rows in params.groups.items()
    ]
    solve_poses(groups, PosesConfig.model_validate(params.config), params.seed, out)
