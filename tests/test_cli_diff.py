"""`splatscope diff`: counts, distances of distributions against another implementation, equal bytes."""

import json

import numpy as np
import pytest

from project_material import FRAMES, write_results
from splatscope import cli
from splatscope.annotate import annotate_dataset
from splatscope.config.annotate import AnnotateConfig
from splatscope.differences import compare, read_samples
from splatscope.differences.compare import distribution
from splatscope.images import decode_image


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two datasets: the tool of the second is 6 mm further right."""
    results = tmp_path_factory.mktemp("project") / "results"
    write_results(results)
    write_results(results, "moved", 6.0)
    return results


def test_a_dataset_and_itself(results):
    a = read_samples(results / "dataset/sampled")
    found = compare(a, read_samples(results / "dataset/sampled"))
    assert found.same_bytes == found.same_name == found.same_name_and_bytes == FRAMES
    assert found.settings == {} and found.provenance == {}
    assert all(one.kolmogorov_smirnov == 0 for one in found.distributions)


@pytest.mark.parametrize("kind", ["dataset/{}", "render/{}/shard_000000.tar"])
def test_a_moved_tool(results, kind):
    a, b = (read_samples(results / kind.format(name)) for name in ("sampled", "moved"))
    found = compare(a, b)
    assert found.images == (FRAMES, FRAMES) and found.annotations == {"needle driver": (FRAMES, FRAMES)}
    by_name = {one.quantity: one for one in found.distributions}
    assert abs(by_name["tool_x_mm"].median_b - by_name["tool_x_mm"].median_a) == pytest.approx(6.0, abs=1e-3)
    assert by_name["tool_x_mm"].kolmogorov_smirnov == 0.5  # of 0, 4, 8, 12 and 6, 10, 14, 18 mm
    assert by_name["tool_z_mm"].kolmogorov_smirnov == 0
    assert found.same_name == FRAMES and found.same_name_and_bytes == 0


def test_other_settings_are_named(results, tmp_path):
    shard = results / "render/sampled/shard_000000.tar"
    classes = {"background": 0, "needle driver": 14, "ignore": 255}
    annotate_dataset([shard], classes, AnnotateConfig(min_area_px=50), tmp_path / "d", name="d")
    found = compare(read_samples(results / "dataset/sampled"), read_samples(tmp_path / "d"))
    assert found.settings == {"min_area_px": (25, 50)}
    assert found.same_name_and_bytes == FRAMES


def test_the_distance_is_that_of_the_cumulative_distributions():
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 1, 40).tolist(), rng.normal(0.7, 2, 31).tolist()
    steps = np.sort(a + b)
    expected = max(abs(np.mean(np.array(a) <= step) - np.mean(np.array(b) <= step)) for step in steps)
    assert distribution("x", a, b).kolmogorov_smirnov == pytest.approx(expected, rel=1e-5)
    assert distribution("x", a, []).kolmogorov_smirnov is None


def test_the_command(results, tmp_path, capsys):
    paths = [str(results / "dataset" / name) for name in ("sampled", "moved")]
    assert cli.main(["diff", *paths, "--picture", str(tmp_path / "a.jpg")]) == 0
    said = capsys.readouterr().out
    assert "Kolmogorov-Smirnov" in said and "0 of them with the same bytes" in said
    picture = decode_image((tmp_path / "a.jpg").read_bytes())
    above, below = np.split(picture, 2)
    assert above.shape == below.shape and np.abs(above.astype(int) - below).mean() > 1
    assert cli.main(["diff", *paths, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["annotations"] == {"needle driver": [FRAMES, FRAMES]} and document["same_bytes"] == 0


def test_what_is_no_dataset_is_refused(results, tmp_path, capsys):
    assert cli.main(["diff", str(results / "dataset/sampled"), str(tmp_path)]) == 2
    assert "the folder of a dataset" in capsys.readouterr().err
