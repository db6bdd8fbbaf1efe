"""What the page's script works on: sheets, outlines, numbers of frames, clouds of Gaussians, costs of stages."""

import base64
import json
import re
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from skimage.draw import polygon2mask

import fake_results as fake
from splatscope.annotate.coco import encode_rle
from splatscope.config.report import ReportConfig
from splatscope.errors import InputError
from splatscope.files import read_json
from splatscope.images import decode_image, resize_area
from splatscope.report.browser import browser
from splatscope.report.outlines import GRID, mask_polygons, pack_polygons
from splatscope.report.overview import headline
from splatscope.report.sheets import COLUMNS, PER_SHEET, Sheets, depth_picture, fitting_width
from splatscope.report.splat_cloud import first_view, most_visible, quantise, splat_clouds
from splatscope.report.stage_costs import STAGE_OF_RULE, stage_costs
from splatscope.splats.gaussians import Gaussians


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return fake.write_results(tmp_path_factory.mktemp("results"), truth=False, scene=False, frames=15)


@pytest.fixture(scope="module")
def shown(inputs):
    (content,) = browser(inputs, ReportConfig())
    return content, json.loads(content["json"])


def values(stored):
    return np.frombuffer(base64.b64decode(stored["base64"]), stored["type"])


def test_numbers_are_those_of_the_dataset(inputs, shown):
    _, numbers = shown
    coco = read_json(inputs.datasets["sampled"] / "annotations.json")
    assert numbers["frames"] == numbers["images"] == len(coco["images"]) == 30
    assert numbers["names"] == [image["file_name"].removeprefix("images/") for image in coco["images"]]
    assert values(numbers["split"]).tolist() == [int(image["split"] == "val") for image in coco["images"]]
    assert values(numbers["size"]).reshape(-1, 2).tolist() == [[128, 96]] * 30
    names = {category["id"]: category["name"] for category in coco["categories"]}
    first = values(numbers["first"])
    classes, visibility = values(numbers["class"]), values(numbers["visibility"])
    boxes = values(numbers["box"]).reshape(-1, 4)
    for index, image in enumerate(coco["images"]):
        own = [entry for entry in coco["annotations"] if entry["image_id"] == image["id"]]
        found = range(first[index], first[index + 1])
        assert [numbers["classes"][classes[place]] for place in found] == [names[entry["category_id"]] for entry in own]
        assert [visibility[place] for place in found] == [round(1000 * entry["visibility"]) for entry in own]
        assert [boxes[place].tolist() for place in found] == [entry["bbox"] for entry in own]


def test_sheets_show_the_frames_and_their_depth(inputs, shown):
    content, numbers = shown
    assert len(content["thumbnails"]) == len(content["depths"]) == 2  # of 25 frames each
    coco = read_json(inputs.datasets["sampled"] / "annotations.json")
    path = inputs.datasets["sampled"] / coco["images"][27]["file_name"]
    image = decode_image(path.read_bytes()).astype(float)
    sheet = decode_image(base64.b64decode(content["thumbnails"][1])).astype(float)
    width, height = numbers["sheet"]["width"], numbers["sheet"]["height"]
    assert sheet.shape == (COLUMNS * height, COLUMNS * width, 3)
    assert (width, height) == (128, 96)
    differences = [np.abs(sheet[:height, column * width :][:, :width] - image).mean() for column in range(COLUMNS)]
    assert np.argmin(differences) == 2 and differences[2] < 6
    assert values(numbers["depth_range"]).tolist() == [80.0] * 60 and numbers["depth_unit"] == "mm"


def test_larger_datasets_are_thinned_evenly(inputs):
    (content,) = browser(inputs, ReportConfig(browser_frames=7))
    numbers = json.loads(content["json"])
    assert (numbers["frames"], numbers["images"]) == (7, 30)
    assert [name[-10:-4] for name in numbers["names"]] == [f"{index:06d}" for index in (0, 5, 10, 14, 19, 24, 29)]
    assert browser(inputs, ReportConfig(browser_frames=0)) == []
    twice = replace(inputs, datasets=inputs.datasets | {"other": inputs.datasets["sampled"]})
    few = browser(twice, ReportConfig(browser_frames=1))
    assert [json.loads(content["json"])["frames"] for content in few] == [1, 1]  # none is left out wholly


def test_without_shards_there_is_no_depth(inputs, shown):
    (content,) = browser(replace(inputs, shards={}), ReportConfig())
    assert content["depths"] == [] and json.loads(content["json"])["depth"] is False
    assert content["thumbnails"] == shown[0]["thumbnails"]


def test_shards_of_something_else_are_refused(inputs, tmp_path):
    other = fake.write_results(tmp_path, truth=False, scene=False, frames=2)
    with pytest.raises(InputError, match=r"no frame 000004 in shard 000000"):
        browser(replace(inputs, shards=other.shards), ReportConfig())


def test_thumbnails_shrink_until_they_fit():
    rng = np.random.default_rng(0)
    sample = [rng.integers(0, 256, (240, 320, 3), np.uint8) for _ in range(PER_SHEET)]
    assert fitting_width(sample, 1e6, 240) == 240 and fitting_width(sample, 1e6, 320) == 320
    assert fitting_width(sample, 10, 240) == 64  # what nothing fits
    tight = fitting_width(sample, 6000, 240)
    assert 64 < tight < 240
    sheet = Sheets(tight, tight * 3 // 4)
    for image in sample:
        sheet.add(resize_area(image, tight, tight * 3 // 4))
    assert 3000 < len(sheet.encoded[0]) / PER_SHEET <= 6000


def test_depth_is_bright_where_near_and_black_where_nothing_is():
    depth = np.full((40, 60), 100, np.float32)
    depth[:, 30:] = 50
    depth[:20] = 0
    picture, near_far = depth_picture(depth, 6, 4)
    assert near_far == (50, 100)
    assert (picture[:2] == 0).all() and (picture[2:, :3] == 1).all() and (picture[2:, 3:] == 255).all()
    assert np.isnan(depth_picture(np.zeros((8, 8), np.float32), 4, 4)[1]).all()


def test_outlines_follow_the_mask():
    mask = fake.tool_masks(2)[0]
    mask[60:63, 70:74] = False  # a hole
    drawn = np.zeros_like(mask)
    for polygon in mask_polygons(encode_rle(mask), tolerance_px=0.3):
        corners = polygon[:, ::-1] * np.array(mask.shape) / GRID - 0.5  # pixel centres at integers there
        drawn ^= polygon2mask(mask.shape, corners)
    assert coco_mask.iou([_rle(mask)], [_rle(drawn)], [0])[0, 0] > 0.96
    assert mask_polygons(encode_rle(np.zeros((5, 5), bool))) == []
    assert pack_polygons([np.array([[1, 2], [3, 4], [5, 6]], np.uint8)]) == bytes([1, 3, 1, 2, 3, 4, 5, 6])


def test_every_instance_has_an_outline_of_bytes():
    speck = np.zeros((480, 640), bool)
    speck[100, 200] = True
    assert [len(polygon) for polygon in mask_polygons(encode_rle(speck), tolerance_px=2)] == [4]
    noise = np.random.default_rng(0).random((480, 640)) > 0.5
    packed = pack_polygons(mask_polygons(encode_rle(noise), tolerance_px=0.5))
    assert packed[0] == 255


def _rle(mask):
    return coco_mask.encode(np.asfortranarray(mask, np.uint8))


def gaussians(count=200):
    rng = torch.Generator().manual_seed(0)
    return Gaussians(
        10 * torch.randn(count, 3, generator=rng),
        torch.randn(count, 4, generator=rng),
        torch.randn(count, 3, generator=rng),
        torch.randn(count, generator=rng),
        0.5 * torch.randn(count, 4, 3, generator=rng),
    )


def test_quantised_gaussians_are_close_to_the_model():
    model = gaussians()
    stored = quantise(model)
    means = values(stored["means"]).reshape(-1, 3) / 65535
    low, high = np.array(stored["means_low"]), np.array(stored["means_high"])
    assert np.abs(low + means * (high - low) - model.means.numpy()).max() < 1e-3
    step = (stored["log_scales_high"] - stored["log_scales_low"]) / 255
    log_scales = stored["log_scales_low"] + step * values(stored["log_scales"]).reshape(-1, 3)
    assert np.abs(log_scales - model.log_scales.numpy()).max() < 0.51 * step
    quaternions = values(stored["quaternions"]).reshape(-1, 4) / 127.0
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    exact = torch.nn.functional.normalize(model.quaternions).numpy()
    assert (np.abs((quaternions * exact).sum(1)) > np.cos(np.radians(0.5))).all()
    opacities = values(stored["rgba"]).reshape(-1, 4)[:, 3] / 255
    assert np.abs(opacities - torch.sigmoid(model.opacity_logits).numpy()).max() < 0.003


def test_the_most_visible_gaussians_are_kept_in_order():
    model = gaussians(6)
    model = replace(
        model,
        opacity_logits=torch.tensor([9.0, -9, 9, 9, -9, 9]),
        log_scales=torch.tensor([[1.0, 1, -5], [1, 1, 1], [0, 0, 0], [2, 2, 2], [2, 2, 2], [-1, -1, -1]]),
    )
    assert torch.equal(most_visible(model, 3).means, model.means[[0, 2, 3]])
    assert len(most_visible(model, 100)) == 6


def test_first_view_is_from_where_it_was_filmed_or_on_the_broad_side():
    flat = np.random.default_rng(0).normal(0, [30, 10, 0.5], (500, 3))
    view = first_view(flat, None)
    towards = np.subtract(view["target"], view["eye"])
    assert abs(towards[2]) > 0.99 * np.linalg.norm(towards) and abs(view["up"][1]) > 0.99
    camera = fake.look_at(np.array([0.0, -60, -60]), np.zeros(3), fake.UP)
    filmed = first_view(flat, camera[None])
    assert np.allclose(filmed["eye"], [0, -60, -60]) and np.allclose(filmed["target"], 0, atol=2)
    assert filmed["up"][1] < 0  # y points down in the image


def test_clouds_are_of_models_and_tools(inputs):
    clouds = splat_clouds(inputs, ReportConfig(splat_gaussians=100))
    assert [cloud["name"] for cloud in clouds] == ["site", "needle_driver", "needle_driver, extracted"]
    assert [(cloud["shown"], cloud["total"]) for cloud in clouds] == [(100, 300), (100, 300), (100, 4000)]
    assert splat_clouds(inputs, ReportConfig(splat_gaussians=0)) == []


def test_costs_are_sums_over_a_stages_jobs(inputs, tmp_path):
    rows = {row["name"]: row for row in stage_costs(inputs.benchmarks)}
    assert list(rows) == ["ingest", "poses", "splat", "render"]  # in the order of the flow
    assert rows["splat"]["wall_s"] == 25 and rows["splat"]["processor_s"] == pytest.approx(20, rel=0.9)
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    (tmp_path / "solve_poses.tsv").write_text("s\tcpu_time\tmax_rss\n2.5\tNA\tNA\n")
    (row,) = stage_costs([tmp_path / "solve_poses.tsv", tmp_path / "some_other_rule.tsv"])
    assert (row["jobs"], row["wall_s"], row["processor_s"]) == (1, 2.5, 0)


def test_every_measured_rule_has_a_stage(repository):
    measured = set()
    for path in (repository / "workflow/rules").glob("*.smk"):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.M)[1:]:
            if re.search(r"^    benchmark:", rule, flags=re.M):
                measured.add(rule.split(":")[0])
    assert measured == set(STAGE_OF_RULE)


def test_the_headline_has_no_tile_without_a_figure():
    figures = defaultdict(lambda: None, {"dataset.frames": 30, "splat.site.heldout_psnr": 31.25, "run.wall_s": 9.0})
    assert [tile["label"] for tile in headline(figures)] == ["Annotated images", "Time", "Site splat"]
    everything = defaultdict(lambda: 1.0)
    assert len(headline(everything)) == 8 and headline(everything)[-1]["label"] == "Time"
