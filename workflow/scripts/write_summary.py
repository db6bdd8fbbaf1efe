from pathlib import Path

from splatscope.jobs import run_job
from splatscope.summary import SummaryInputs, write_summary

with run_job(snakemake):
    files, params = snakemake.input, snakemake.params
    inputs = SummaryInputs(
        dataset_manifest=Path(files.dataset),
        frame_tables=dict(zip(params.recordings, map(Path, files.tables))),
        sfm=dict(zip(params.groups, map(Path, files.sfm))),
        splats=dict(zip(params.models, map(Path, files.splats))),
        replay=next(map(Path, files.replay), None),
        replay_paper=next(map(Path, files.replay_paper), None),
        truth=next(map(Path, files.truth), None),
        restyling=next(map(Path, files.restyling), None),
        baselines=next(map(Path, params.baselines), None),
        proof=next(map(Path, params.proof), None),
        benchmarks=sorted(Path("results/benchmarks").rglob("*.tsv")),
    )
    write_summary(inputs, snakemake.output[0])
