from pathlib import Path

from splatscope.baselines.comparison import Method, compare_baselines
from splatscope.evaluate.replay import RealRecording
from splatscope.jobs import run_job

with run_job(snakemake):
    files, out, params = snakemake.input, snakemake.output, snakemake.params
    methods = {
        name: Method(
            Path(files[f"{name}_replay"]),
            [Path(path) for path in files[f"{name}_frames"]],
            dict(zip(params.models, map(Path, files[f"{name}_training"]))),
        )
        for name in ("ours", "ngp", "nerfacto")
    }
    real = {
        name: RealRecording(Path(frames), camera=Path(camera))
        for name, frames, camera in zip(params.recordings, files.real, files.cameras)
    }
    paths = map(Path, (out.summary, out.table, out.picture))
    compare_baselines(methods, real, params.sh_degree, **dict(zip(("summary_json", "table_csv", "picture_png"), paths)))
