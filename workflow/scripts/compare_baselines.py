from pathlib import Path

from splatscope.baselines.comparison import Method, compare_baselines
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
    real, paths = dict(zip(params.recordings, map(Path, files.real))), map(Path, (out.summary, out.table, out.picture))
    compare_baselines(methods, real, params.sh_degree, **dict(zip(("summary_json", "table_csv", "picture_png"), paths)))
