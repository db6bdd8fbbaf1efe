"""What `splatscope view` reads, draws, judges and saves; the page itself is tried in test_viewer_in_chromium.py."""

import threading
from collections import Counter

import numpy as np
import pytest
import trimesh
import yaml

from splat_samples import CAMERA
from splatscope.cli import main
from splatscope.compose import sample_scenes
from splatscope.compose.sampling import sample_scene
from splatscope.compose.scene_list import read_scene_list
from splatscope.compositing import composite
from splatscope.config.compose import RecipeConfig
from splatscope.config.load import load_config
from splatscope.config.render import RenderConfig
from splatscope.errors import InputError
from splatscope.geometry import make_transform
from splatscope.viewer.limits import broken_limits, outside_free_draws, verdict
from splatscope.viewer.live_render import Layers, View, caption, draw_layers, render_view
from splatscope.viewer.local_server import LocalServer, is_own_page
from splatscope.viewer.newest_first import NewestFirst
from splatscope.viewer.recipe_file import recipe_text, save_recipe, start_settings
from splatscope.viewer.results import load_results
from splatscope.viewer.splat_nodes import mean_colours
from splatscope.viewer.volumes import camera_volume, drawn_cameras, drawn_tips, tip_volume
from viewer_material import CONFIG, SCENE_ROWS, write_viewable


@pytest.fixture(scope="module")
def results(tmp_path_factory, repository):
    folder = write_viewable(tmp_path_factory.mktemp("viewed"))
    return load_results(folder, repository / "resources/classes.tsv", CONFIG)


@pytest.fixture(scope="module")
def known(results):
    return np.concatenate(list(results.material.known_poses.values()))


def recorded_view(results, row=5, shift_mm=(0, 0, 0)):
    scene = next(one for one in results.recordings if one.name == "scene")
    pose = make_transform(np.eye(3), shift_mm) @ scene.world_from_sensor["needle_driver"][row]
    return View("scene", scene.camera, scene.world_from_camera[row], (("needle_driver", pose),))


def test_results_are_the_recordings_of_the_site_and_the_tools(results):
    assert [one.name for one in results.recordings] == ["background", "scene"]
    background, scene = results.recordings
    assert len(scene.frames) == SCENE_ROWS and background.picture(0) is None
    assert np.array_equal(scene.picture(4), np.full((64, 80, 3), 40, np.uint8))
    assert scene.nearest(scene.world_from_camera[7]) == 7
    assert results.classes == {"needle_driver": "needle driver"} and len(results.material.recorded) == SCENE_ROWS


@pytest.mark.parametrize(
    "missing, message",
    [
        ("splat/site/model.ply", r"no splat/site/model\.ply"),
        ("poses/background.parquet", "background recording"),
        ("ingest/scene/ingest.json", r"ingest\.json"),
        ("poses/scene.camera.json", r"scene\.camera\.json"),
    ],
)
def test_results_without_what_is_needed_are_refused(tmp_path, repository, missing, message):
    folder = write_viewable(tmp_path / "results")
    (folder / missing).unlink()
    with pytest.raises(InputError, match=message):
        load_results(folder, repository / "resources/classes.tsv", CONFIG)


def test_a_role_that_is_none_is_refused(tmp_path, repository):
    folder = write_viewable(tmp_path / "results")
    (folder / "ingest/scene/ingest.json").write_text('{"role": "actor"}')
    with pytest.raises(InputError, match="actor"):
        load_results(folder, repository / "resources/classes.tsv", CONFIG)


@pytest.mark.parametrize("arguments", [["missing"], ["."]])
def test_the_command_refuses_folders_without_results(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert main(["view", *arguments, "--no-browser"]) == 2
    assert "to mend:" in capsys.readouterr().err


def test_layers_change_the_picture_only_where_they_lie(results):
    frame = render_view(recorded_view(results), results.material, results.classes, RenderConfig(), 1.0)
    plain = draw_layers(frame, Layers(masks=False, boxes=False))
    assert np.array_equal(plain, frame.rgb)
    masks, boxes = draw_layers(frame, Layers(boxes=False)), draw_layers(frame, Layers(masks=False))
    mask = frame.visible_mask(1)
    tinted = (masks != plain).any(-1)
    assert mask.sum() > 30 and (tinted & mask).sum() > 0.9 * mask.sum() and not (tinted & ~mask).any()
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    edge = np.zeros_like(mask)
    edge[[rows[0], rows[-1]], columns[0] : columns[-1] + 1] = True
    edge[rows[0] : rows[-1] + 1, [columns[0], columns[-1]]] = True
    assert (boxes[edge] == 255).all() and np.array_equal(boxes[~edge], plain[~edge])
    depth = draw_layers(frame, Layers(depth=True, masks=False, boxes=False)).astype(int).sum(-1)
    near, far = frame.depth_mm == frame.depth_mm[frame.depth_mm > 0].min(), frame.depth_mm == frame.depth_mm.max()
    assert depth[near].min() > depth[far].max() and not depth[frame.depth_mm == 0].any()
    assert f"{mask.sum()} px" in caption(frame, 12.3) and "80 x 64, 12 ms" in caption(frame, 12.3)


def test_a_coarse_picture_shows_the_same(results):
    view = recorded_view(results)
    fine, coarse = (render_view(view, results.material, results.classes, RenderConfig(), scale) for scale in (1.0, 0.5))
    assert coarse.rgb.shape == (32, 40, 3)
    reduced = fine.rgb.reshape(32, 2, 40, 2, 3).mean((1, 3))
    assert np.abs(reduced - coarse.rgb).mean() < 6


def test_what_compose_draws_is_within_the_limits(results):
    recipe = CONFIG.recipe.model_copy(update={"recorded_share": 0.0})
    config = CONFIG.model_copy(update={"recipe": recipe})
    for index in range(3):
        scene = sample_scene(index, results.material, config, 0, Counter())
        camera = results.material.cameras[scene.recording]
        placed = tuple((one.tool, one.world_from_tool_sensor) for one in scene.placements)
        view = View(scene.recording, camera, scene.world_from_camera, placed)
        frame = render_view(view, results.material, results.classes, RenderConfig(), 1.0)
        site = composite(results.material.site, [], camera, scene.world_from_camera)
        assert broken_limits(view, frame, results.material, config) == []
        assert outside_free_draws(view, site, results.material, config) == []


@pytest.mark.parametrize(
    "change, shift_mm, reason",
    [
        ({"min_depth_mm": 150.0, "max_depth_mm": 300.0}, (0, 0, 0), "tool_too_near"),
        ({"shaft_leaves_image": True}, (-40, 0, 0), "shaft_end_in_image"),
        ({"min_area_px": 5000}, (0, 0, 0), "too_few_visible_pixels"),
        ({"min_visibility": 1.0}, (0, 0, -17), "hidden"),  # sunk into the tissue
    ],
)
def test_the_limit_that_is_broken_is_named(results, change, shift_mm, reason):
    view = recorded_view(results, shift_mm=shift_mm)
    config = CONFIG.model_copy(update={"recipe": CONFIG.recipe.model_copy(update=change)})
    frame = render_view(view, results.material, results.classes, RenderConfig(), 1.0)
    broken = broken_limits(view, frame, results.material, config)
    assert reason in broken
    assert reason.replace("_", " ") in verdict(broken, [])
    assert reason not in broken_limits(view, frame, results.material, CONFIG)


def test_what_only_recorded_frames_may_have_is_named(results):
    far = recorded_view(results, shift_mm=(0, 0, 60))
    config = CONFIG.model_copy(update={"recipe": CONFIG.recipe.model_copy(update={"camera_limit_mm": 1.0})})
    moved = make_transform(np.eye(3), [0, 0, 2]) @ far.world_from_camera
    view = View("scene", far.camera, moved, far.placed)
    site = composite(results.material.site, [], view.camera, moved)
    assert "camera_limit_mm, camera_limit_deg" in outside_free_draws(view, site, results.material, config)
    settings = outside_free_draws(far, site, results.material, CONFIG)
    assert {"max_standoff_mm", "tip_margin"} & set(settings)
    assert verdict([], ["max_standoff_mm"]).startswith("**Allowed about a recorded frame**")
    assert verdict([], []) == "**Within the recipe**"


def test_the_camera_volume_holds_all_that_is_drawn_and_no_more(known):
    recipe = CONFIG.recipe
    surface = trimesh.Trimesh(*camera_volume(known, recipe), process=True)
    assert surface.is_watertight
    drawn = drawn_cameras(known, recipe, 100)
    distance = np.linalg.norm(drawn[:, None] - known[None, :, :3, 3], axis=-1).min(1)
    assert len(drawn) > 30 and (distance <= recipe.camera_limit_mm).all()
    vertices = np.linalg.norm(surface.vertices[:, None] - known[None, :, :3, 3], axis=-1).min(1)
    assert np.abs(vertices - recipe.camera_limit_mm).max() < 0.1 * recipe.camera_limit_mm
    assert len(camera_volume(known, recipe.model_copy(update={"camera_limit_mm": 0.01}))[1]) == 0


def test_the_tip_volume_holds_the_tips_that_are_drawn(results, known):
    site = composite(results.material.site, [], CAMERA, known[0])
    recipe = CONFIG.recipe.model_copy(update={"min_depth_mm": 70.0})
    vertices, faces = tip_volume(CAMERA, site, recipe)
    surface = trimesh.Trimesh(vertices, faces, process=True)
    assert surface.is_watertight and surface.volume > 0
    assert vertices[:, 2].min() >= 70 and vertices[:, 2].max() <= recipe.max_depth_mm
    tips = drawn_tips(CAMERA, site, recipe, 60)
    assert len(tips) > 20
    near, far = np.split(vertices, 2)
    inside = np.concatenate([near + share * (far - near) for share in np.linspace(0, 1, 12)])
    distance = np.linalg.norm(tips[:, None] - inside, axis=-1).min(1)
    assert distance.max() < 4  # the sheets' points are some 3 mm apart
    nothing = tip_volume(CAMERA, site, CONFIG.recipe.model_copy(update={"max_depth_mm": 11.0}))
    assert len(nothing[1]) == 0


def test_colours_are_what_the_cameras_see(results, known):
    site = results.material.site
    colours = mean_colours(site, known[:3])
    assert colours.shape == (len(site), 3) and colours.dtype == np.float32
    assert np.allclose(np.median(colours[:900], 0), (0.7, 0.3, 0.3), atol=0.01)
    assert np.allclose(np.median(colours[900:], 0), (0.9, 0.8, 0.3), atol=0.01)


def test_only_the_newest_order_is_done_finely():
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work(order, fine):
        done.append((order, fine))
        if order == 0:
            begun.set()
            assert go_on.wait(10)
        if fine:
            finished.set()

    finished = threading.Event()
    worker = NewestFirst(work, still_s=0.05)
    worker.put(0)
    assert begun.wait(10)
    for order in (1, 2, 3):
        worker.put(order)
    go_on.set()
    assert finished.wait(10)
    worker.stop()
    assert done == [(0, False), (3, False), (3, True)]


def test_work_goes_on_after_a_failure(capsys):
    finished = threading.Event()

    def work(order, fine):
        if order == "bad":
            raise RuntimeError("no picture of this")
        finished.set()

    worker = NewestFirst(work, still_s=0.01)
    worker.put("bad")
    worker.put("good")
    assert finished.wait(10)
    worker.stop()


def test_a_saved_recipe_is_one_that_compose_reads(tmp_path, results, repository):
    recipe = CONFIG.recipe.model_copy(update={"frames": 2, "max_standoff_mm": 7.5, "recorded_share": 0.0})
    save_recipe(tmp_path / "recipe.yaml", recipe)
    config = load_config(tmp_path / "recipe.yaml").compose
    assert config.recipe == recipe
    folder = results.folder
    small = config.model_copy(update={"width": 80, "height": 64})
    sample_scenes(
        folder / "splat/site/model.ply",
        {"needle_driver": folder / "extract/needle_driver/tool.ply"},
        {"needle_driver": folder / "extract/needle_driver/extract.json"},
        {"background": folder / "poses/background.parquet"},
        {},
        {"background": folder / "poses/background.camera.json"},
        repository / "resources/classes.tsv",
        small,
        0,
        scenes_parquet=tmp_path / "sampled.parquet",
        scenes_json=tmp_path / "sampled.json",
    )
    _, scenes = read_scene_list(tmp_path / "sampled.parquet", tmp_path / "sampled.json")
    assert len(scenes) == 2 and all(len(scene.placements) == 1 for scene in scenes)


def test_a_recipe_is_saved_over_a_recipe_only(tmp_path):
    path = tmp_path / "recipe.yaml"
    save_recipe(path, RecipeConfig())
    save_recipe(path, RecipeConfig(frames=5))
    assert load_config(path).compose.recipe.frames == 5
    assert path.read_text() == recipe_text(RecipeConfig(frames=5), "recipe.yaml")
    path.write_text("seed: 3\ncompose:\n  recipe:\n    frames: 9\n")
    with pytest.raises(InputError, match="other settings"):
        save_recipe(path, RecipeConfig())
    assert yaml.safe_load(path.read_text())["seed"] == 3


def test_settings_to_start_from_are_laid_over_each_other(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "seed: 4\ncompose:\n  width: 160\n  recipe:\n    frames: 7\n    tip_margin: 0.2\n"
    )
    config = start_settings([str(tmp_path / "mine.yaml")], tmp_path / "recipe.yaml")
    assert (config.seed, config.compose.width, config.compose.recipe.frames) == (4, 160, 7)
    save_recipe(tmp_path / "recipe.yaml", config.compose.recipe.model_copy(update={"frames": 8}))
    config = start_settings([str(tmp_path / "mine.yaml")], tmp_path / "recipe.yaml")
    assert (config.compose.width, config.compose.recipe.frames, config.compose.recipe.tip_margin) == (160, 8, 0.2)
    (tmp_path / "mine.yaml").write_text("compose:\n  recipe:\n    tip_margins: 0.2\n")
    with pytest.raises(InputError, match="did you mean tip_margin"):
        start_settings([str(tmp_path / "mine.yaml")], tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "origin, host, loopback_only, own",
    [
        (None, "127.0.0.1:8080", True, True),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True, True),
        ("http://localhost:8080", "localhost:8080", True, True),
        ("http://[::1]:8080", "[::1]:8080", True, True),
        ("https://example.org", "127.0.0.1:8080", True, False),
        ("http://example.org:8080", "example.org:8080", True, False),  # a name that was made to lead here
        ("http://127.0.0.1:9000", "127.0.0.1:8080", True, False),
        ("null", "127.0.0.1:8080", True, False),
        ("http://theatre-pc:8080", "theatre-pc:8080", False, True),
        ("https://example.org", "theatre-pc:8080", False, False),
    ],
)
def test_only_the_page_itself_may_connect(origin, host, loopback_only, own):
    assert is_own_page(origin, host, loopback_only) is own


def test_an_address_where_nothing_can_listen_is_refused():
    server = LocalServer("127.0.0.1", 0)
    try:
        with pytest.raises(InputError, match="--port"):
            LocalServer("127.0.0.1", server.get_port())
    finally:
        server.stop()
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(InputError, match="--host"):
            LocalServer(host, 0)
