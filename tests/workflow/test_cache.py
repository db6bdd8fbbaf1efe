"""The cache that checkouts share finds a result by a hash of what made it: what must be in that hash, and is it."""

import re

import pytest

MAKERS = {  # rules whose results are cached, and those that their inputs come from
    "simulate.smk": ["simulate_episode"],
    "poses.smk": ["reconstruct_group", "solve_poses"],
    "splat.smk": ["train_splat"],
    "ingest.smk": ["ingest_recording"],
    "phantom.smk": ["render_phantom_recording", "write_phantom_rig"],
}


@pytest.mark.parametrize("file, name", [(file, name) for file, names in MAKERS.items() for name in names])
def test_wildcards_are_among_the_parameters(repository, file, name):
    """Snakemake hashes parameters and code, but neither wildcards nor file names: episodes would be taken for one."""
    text = (repository / "workflow" / "rules" / file).read_text()
    rule = re.search(rf"^rule {name}:\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)[1]
    output, params = (
        re.search(rf"^    {part}:\n((?:        .*\n)+)", rule, re.MULTILINE)[1] for part in ("output", "params")
    )
    wildcards = set(re.findall(r"\{(\w+)\}", re.sub(r"expand\(.*?\)", "", output, flags=re.DOTALL)))
    assert wildcards <= set(re.findall(r"^        (\w+)=", params, re.MULTILINE))
    assert wildcards or name in ("solve_poses", "write_phantom_rig")


def test_everything_can_be_hashed(tmp_path, repository, run_snakemake, monkeypatch):
    """A dry run looks each cached job up, by hashing its parameters and those of all jobs before it."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "recordings.tsv").write_text((repository / "config" / "recordings.tsv").read_text())
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path / "cache"))
    run = run_snakemake(tmp_path, "--dry-run", "--cache", "--config", "simulate={'episodes': 1}")
    assert run.code == 0, run.output
    assert (
        run.output.count("written to global between-workflow cache") == 1 + 2 + 2
    )  # an episode, two groups, two splats
