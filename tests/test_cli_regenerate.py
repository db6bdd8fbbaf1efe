"""`splatscope regenerate`: the same bytes, or what explains others."""

import json
import shutil

import pytest

from project_material import write_results
from splatscope import cli
from splatscope.errors import InputError
from splatscope.regeneration import find_frame
from splatscope.shards import read_shard


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    write_results(folder / "results")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "sampled/000000_000002",
        "{}/results/dataset/sampled/images/000000_000002.png",
        "{}/results/render/sampled/shard_000000.tar:000002",
    ],
)
def test_the_same_bytes(project, name, capsys, tmp_path):
    frame = name.format(project)
    assert cli.main(["regenerate", frame, "--directory", str(project), "--output", str(tmp_path)]) == 0
    assert "the same bytes" in capsys.readouterr().out
    (stored,) = read_shard(project / "results/render/sampled/shard_000000.tar", keys={"000002"})
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        f"000002.{suffix}": content for suffix, content in stored.stored.items()
    }


def test_other_settings_give_other_bytes_and_are_named(project, tmp_path, capsys):
    (tmp_path / "other.yaml").write_text("seed: 3\nrender: {mask_threshold: 0.9}\n")
    frame = ["regenerate", "sampled/000000_000002", "--directory", str(project)]
    assert cli.main([*frame, "--configfile", str(tmp_path / "other.yaml"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert not document["same"] and not document["members"]["instance.png"]["same"]
    assert document["members"]["rgb.png"]["same"]
    assert any("seed 0" in note for note in document["notes"]) and any("render" in note for note in document["notes"])


def test_an_edited_model_gives_other_bytes(project, tmp_path, capsys):
    shutil.copytree(project, tmp_path / "copy")
    shutil.copy(
        tmp_path / "copy/results/extract/needle_driver/tool.ply", tmp_path / "copy/results/splat/site/model.ply"
    )
    assert cli.main(["regenerate", "sampled/000000_000001", "--directory", str(tmp_path / "copy")]) == 1
    assert "OTHER BYTES" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    ["sampled/000000_000099", "sampled/000009_000001", "nothing/000000_000001", "sampled", "a.tar:000000", "x:1"],
)
def test_unknown_frames_are_refused(project, name, capsys):
    assert cli.main(["regenerate", name, "--directory", str(project)]) == 2
    assert "to mend:" in capsys.readouterr().err


def test_mixed_frames_are_not_made_alone(project, tmp_path, capsys):
    results = tmp_path / "results"
    shutil.copytree(project / "results/render/sampled", results / "mix/mixed_captured")
    assert cli.main(["regenerate", "mixed_captured/000000_000001", "--directory", str(tmp_path)]) == 2
    assert "make its whole shard again" in capsys.readouterr().err


def test_names_of_simulated_and_restyled_frames(tmp_path):
    for folder in ("simulate", "restyle/simulated/default"):
        (tmp_path / "results" / folder).mkdir(parents=True)
        (tmp_path / "results" / folder / "episode_000003.tar").touch()
    simulated = find_frame("simulated/episode_000003_000012", tmp_path)
    assert (simulated.dataset, simulated.number, simulated.key) == ("simulated", 3, "000012")
    assert find_frame("simulated_restyled/episode_000003_000012", tmp_path).shard.parent.name == "default"
    with pytest.raises(InputError, match="another form"):
        find_frame("simulated/episode_3_12", tmp_path)


@pytest.mark.slow
def test_a_simulated_frame(tmp_path, repository, capsys):
    from splatscope.classes import read_class_table
    from splatscope.config.load import load_config
    from splatscope.simulate.operation.scenario import find_scenario
    from splatscope.simulate.stage import simulate_episode

    (tmp_path / "config").mkdir()
    settings = "simulate: {episodes: 1, width: 96, height: 80, max_duration_s: 1.5}\n"
    (tmp_path / "config/config.yaml").write_text(settings)
    config = load_config(tmp_path / "config/config.yaml")
    classes = {number: name for name, number in read_class_table(repository / "resources/classes.tsv").items()}
    scenario = find_scenario(config.simulate.scenario, repository / "config/scenarios")
    stem = str(tmp_path / "results/simulate/episode_000000")
    tables = {f"{name}_parquet": f"{stem}.{name}.parquet" for name in ("triplets", "events", "log")}
    files = {"frames_tar": f"{stem}.tar", "video_mp4": f"{stem}.mp4"} | tables
    simulate_episode(0, scenario, config.simulate, config.seed, classes, **files)
    assert cli.main(["regenerate", "simulated/episode_000000_000003", "--directory", str(tmp_path)]) == 0
    assert "the same bytes" in capsys.readouterr().out
