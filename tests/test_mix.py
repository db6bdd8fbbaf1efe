"""mix: where instruments are put, what is said of them, and shards of such frames."""

from dataclasses import replace

import numpy as np
import pytest

from mix_material import BAR, CAMERA, CONFIG, HEIGHT, LENS, NAMES, WIDTH, Bars, plane_frame
from splat_samples import box_points, gaussians_at
from splatscope.compose.recipe import Rejected
from splatscope.config.mix import MixConfig
from splatscope.errors import InputError
from splatscope.files import read_json, write_json
from splatscope.geometry import apply
from splatscope.mix.captured import CapturedInstruments
from splatscope.mix.light import to_display, to_linear
from splatscope.mix.placing import View, covering_pinhole, draw_tip, fine_rays
from splatscope.mix.simulated import SimulatedInstruments
from splatscope.mix.stage import FIRST_OBJECT, mix_frame, mix_shard
from splatscope.shards import manifest_path, read_shard, verify_shard, write_shard
from splatscope.splats.gaussians import write_ply


def test_a_mixed_frame_describes_its_new_instance():
    frame = plane_frame()
    mixed, rejected = mix_frame(frame, Bars(60.0), CONFIG, [0], NAMES)
    assert not rejected and mixed.meta["mix"] == {"source": "simulated", "instance": 2, "draws": 1}
    old, new = mixed.meta["instances"]
    assert old == frame.meta["instances"][0]
    assert (new["instance"], new["name"], new["class_id"], new["class_name"]) == (2, "bar", 14, "needle driver")
    assert new["visible_px"] == new["amodal_px"] == 480 and new["visibility"] == 1
    assert np.array(new["camera_from_tool"])[:3, 3].tolist() == [1, 2, 3] and new["joints"] == {"opening": 3.0}
    seen = {name: visibility for name, (_, _, visibility) in new["keypoints"].items()}
    assert seen == {"tip": 2, "off": 0, "before": 2, "buried": 1}
    assert new["keypoints"]["tip"][:2] == [40, 32]
    assert frame.meta["instances"] == plane_frame().meta["instances"]  # what came in is not touched


def test_instances_that_the_new_one_hides_are_told():
    frame = plane_frame()
    frame.meta["instances"][0]["keypoints"] = {"tip": [5.5, 30.5, 2], "wrist": [5.5, 3.5, 2], "out": [0.0, 0.0, 0]}
    mixed, rejected = mix_frame(frame, Bars(30.0, where=np.s_[20:44, 0:50]), CONFIG, [0], NAMES)
    assert not rejected
    old, new = mixed.meta["instances"]
    assert old["visible_px"] == 640 - 240 and old["visibility"] == pytest.approx(400 / 640)
    assert old["amodal_px"] == 640 and (mixed.amodal_mask(1) == frame.amodal_mask(1)).all()
    assert [old["keypoints"][name][2] for name in ("tip", "wrist", "out")] == [1, 2, 0]
    assert new["visible_px"] == 24 * 50


@pytest.mark.parametrize(
    "depth, where, reason",
    [
        (44.0, np.s_[20:44, 0:50], "tools_collide"),  # 6 mm before the other instrument
        (90.0, BAR, "too_few_visible_pixels"),
        (np.where(np.arange(WIDTH) < 40, 60, 84) * np.ones((HEIGHT, 1)), BAR, "in_tissue"),
        (10.0, BAR, "too_near"),
        (55.0, np.s_[20:44, 0:12], "tools_collide"),  # 5 mm behind the other instrument
        (60.0, np.s_[20:44, 0:15], "hidden"),  # most of it behind the other instrument
    ],
)
def test_what_does_not_fit_is_drawn_anew_a_bounded_number_of_times(depth, where, reason):
    frame, source = plane_frame(), Bars(depth, where=where)
    left, rejected = mix_frame(frame, source, replace_config(max_draws=4), [0], NAMES)
    assert rejected == {reason: 4} and source.calls == 4
    assert left.meta["mix"] == {"source": "simulated", "instance": None, "draws": 4}
    assert (left.rgb == frame.rgb).all() and left.meta["instances"] == frame.meta["instances"]
    again, rejected = mix_frame(frame, Bars(depth, 60.0, where=BAR), replace_config(max_draws=4), [0], NAMES)
    assert again.meta["mix"]["instance"] == 2


def replace_config(**changes):
    return CONFIG.model_copy(update=changes)


def test_the_first_free_number_is_taken_and_sixteen_are_enough():
    frame = plane_frame()
    bits = frame.amodal_bits | np.uint16(0b10)  # instance 2 is wholly hidden
    mixed, _ = mix_frame(replace(frame, amodal_bits=bits), Bars(60.0), CONFIG, [0], NAMES)
    assert mixed.meta["mix"]["instance"] == 3
    full = replace(frame, amodal_bits=np.full_like(bits, 0xFFFF))
    left, rejected = mix_frame(full, Bars(60.0), CONFIG, [0], NAMES)
    assert left.meta["mix"]["instance"] is None and rejected == {"no_free_instance": 1}


def test_nothing_is_laid_outside_a_round_view():
    frame = plane_frame()
    frame.meta["round_view"] = {"x": 40.0, "y": 32.0, "radius": 10.0}
    mixed, _ = mix_frame(frame, Bars(60.0), CONFIG, [0], NAMES)
    across, down = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    outside = np.hypot(across - 40, down - 32) > 11
    assert mixed.visible_mask(2).any()
    assert not mixed.visible_mask(2)[outside].any() and not mixed.amodal_mask(2)[outside].any()
    assert (mixed.rgb[outside] == frame.rgb[outside]).all()


def test_tips_lie_at_the_tissue():
    view = View.of(plane_frame(camera=LENS))
    rng, heights = np.random.default_rng(2), []
    for _ in range(200):
        try:
            tip, normal = draw_tip(rng, view, CONFIG)
        except Rejected:
            continue
        assert normal == pytest.approx([0, 0, -1], abs=1e-3)
        heights.append(80 - tip[2])
    low, high = CONFIG.clearance_mm
    assert -CONFIG.max_indent_mm <= min(heights) < 0 and low + 10 < max(heights) <= high + 1e-3
    assert 0.3 < np.mean(np.array(heights) <= 0) < 0.7


def test_the_pinhole_covers_what_the_lens_sees():
    pinhole = covering_pinhole(LENS, 1.5)
    rays = fine_rays(LENS).reshape(-1, 2)
    pixels = pinhole.project(np.column_stack([rays, np.ones(len(rays))]))
    assert (pixels > 0.5).all() and (pixels < [pinhole.width - 0.5, pinhole.height - 0.5]).all()
    assert pinhole.width < 3 * WIDTH


@pytest.fixture(scope="module")
def simulated():
    return SimulatedInstruments(("l-hook electrocautery", "grasper"), [0])


@pytest.fixture
def bar_files(tmp_path):
    """A bar of 70 mm along x of its sensor, tip at x = -35, seen from all round."""
    write_ply(
        tmp_path / "bar.ply",
        gaussians_at(box_points(np.random.default_rng(5), 9000, [-35, -3, -3], [35, 3, 3]), 0.3, (0.5, 0.5, 0.55)),
    )
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    views = np.column_stack([0.2 + 0 * angles, np.cos(angles), np.sin(angles)])
    report = {"tip_mm": [-35, 0, 0], "shaft_length_mm": 70, "shaft_direction": [1, 0, 0]}
    write_json(tmp_path / "bar.json", report | {"view_directions": views.tolist()})
    return {"bar": tmp_path / "bar.ply"}, {"bar": tmp_path / "bar.json"}


def mixed_by(source, camera):
    """The first frame that the source's instrument fits into."""
    config = MixConfig(min_area_px=40, min_depth_mm=20.0, max_draws=200, wrist_deg=30.0)
    mixed, _ = mix_frame(plane_frame(camera=camera), source, config, [7], NAMES)
    assert mixed.meta["mix"]["instance"] == 2
    return mixed


@pytest.mark.parametrize("camera", [CAMERA, LENS], ids=["pinhole", "lens"])
def test_a_simulated_instrument_lies_where_its_pose_says(simulated, camera):
    mixed = mixed_by(simulated, camera)
    entry = mixed.meta["instances"][1]
    owned = mixed.visible_mask(2)
    assert entry["class_id"] in (5, 9) and (mixed.class_map[owned] == entry["class_id"]).all()
    assert (mixed.depth_mm[owned] < 80 + CONFIG.max_indent_mm).all()
    tip = np.array(entry["camera_from_tool"]) @ [*simulated_tip(simulated, entry), 1]
    x, y, seen = entry["keypoints"]["tip"]
    assert [x, y] == pytest.approx(camera.image_points(tip[None, :3])[0], abs=1e-3) and seen > 0
    rows, columns = np.nonzero(owned)
    assert np.hypot(columns + 0.5 - x, rows + 0.5 - y).min() < 4
    assert set(np.unique(mixed.surface_points[owned][:, 0])) - {1.0}
    assert (mixed.surface_points[owned][:, 0] >= FIRST_OBJECT).all()
    assert np.abs(np.linalg.norm(mixed.normals[owned], axis=-1) - 1).max() < 1e-3


def simulated_tip(source, entry):
    instrument = next(item for item in source._instruments if item.name == entry["name"])
    return instrument.keypoints(entry["joints"])["tip"]


@pytest.mark.parametrize("camera", [CAMERA, LENS], ids=["pinhole", "lens"])
def test_a_captured_instrument_lies_where_its_pose_says(bar_files, camera):
    source = CapturedInstruments(*bar_files, {"bar": 14})
    mixed = mixed_by(source, camera)
    entry = mixed.meta["instances"][1]
    assert "keypoints" not in entry and (entry["name"], entry["class_id"]) == ("bar", 14)
    pose = np.array(entry["camera_from_tool_sensor"])
    owned = mixed.visible_mask(2)
    # every pixel that a dense sample of the solid bar covers, by the lens's own projection
    solid = apply(pose, np.random.default_rng(0).uniform([-35, -3, -3], [35, 3, 3], (40_000, 3)))
    pixels = np.floor(camera.image_points(solid[solid[:, 2] > 10])).astype(int)
    pixels = pixels[((pixels >= 0) & (pixels < [WIDTH, HEIGHT])).all(1)]
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[pixels[:, 1], pixels[:, 0]] = True
    expected &= mixed.instance_map != 1
    assert (expected & owned).sum() / (expected | owned).sum() > 0.85
    at_rest = mixed.surface_points[owned]
    assert (at_rest[:, 0] == FIRST_OBJECT).all() and (np.abs(at_rest[:, 2:]) < 6).all()
    assert not mixed.normals[owned].any()


def test_a_captured_instrument_is_as_bright_as_the_frame(bar_files):
    source = CapturedInstruments(*bar_files, {"bar": 14})
    dark, bright = plane_frame(), plane_frame()
    dark.rgb[:] = to_display(to_linear(bright.rgb) / 3)
    config = MixConfig(min_area_px=40, min_depth_mm=20.0, max_draws=200)
    levels = []
    for frame in (dark, bright):
        mixed, _ = mix_frame(frame, source, config, [7], NAMES)
        levels.append(np.median(to_linear(mixed.rgb)[mixed.visible_mask(2)]))
    assert levels[1] / levels[0] == pytest.approx(3, rel=0.15)
    unmatched = config.model_copy(update={"match_exposure": False})
    left, right = (mix_frame(frame, source, unmatched, [7], NAMES)[0] for frame in (dark, bright))
    core = left.visible_mask(2) & right.visible_mask(2)
    assert np.median(left.rgb[core]) == pytest.approx(np.median(right.rgb[core]), abs=2)


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "frames.tar"
    write_shard(path, [plane_frame(f"{index:06d}") for index in range(3)])
    return path


def mixed_shard(shard, source, out, seed=5, **options):
    config = MixConfig(min_area_px=40, min_depth_mm=20.0)
    return mix_shard(shard, source, config, seed, NAMES, dataset="mixed_captured", shard=0, out=out, **options)


def test_equal_seeds_give_equal_bytes(shard, simulated, tmp_path):
    outs = [tmp_path / f"{name}.tar" for name in "abc"]
    for out, seed in zip(outs, (5, 5, 6)):
        mixed_shard(shard, simulated, out, seed)
    assert outs[0].read_bytes() == outs[1].read_bytes() != outs[2].read_bytes()


def test_a_frame_does_not_depend_on_its_neighbours(shard, simulated, tmp_path):
    mixed_shard(shard, simulated, tmp_path / "all.tar")
    write_shard(tmp_path / "one.tar", [plane_frame("000002")])
    mixed_shard(tmp_path / "one.tar", simulated, tmp_path / "alone.tar")
    (alone,) = read_shard(tmp_path / "alone.tar")
    last = list(read_shard(tmp_path / "all.tar"))[2]
    assert (alone.rgb == last.rgb).all() and alone.meta == last.meta


def test_the_manifest_counts(shard, tmp_path):
    counts = mixed_shard(shard, Bars(10.0, 60.0), tmp_path / "out.tar", provenance={"rule": "mix"})
    assert counts == {"mixed": 3, "left": 0, "rejected": {"too_near": 1}}
    verify_shard(tmp_path / "out.tar")
    assert read_json(manifest_path(tmp_path / "out.tar"))["provenance"] == {"rule": "mix", "mix": counts}
    frames = list(read_shard(tmp_path / "out.tar"))
    assert all(frame.meta["dataset"] == "mixed_captured" and frame.flow_forward is None for frame in frames)
    none = mixed_shard(shard, Bars(10.0), tmp_path / "none.tar")
    assert none["left"] == 3 and none["rejected"] == {"too_near": 3 * MixConfig().max_draws}
    assert all(frame.flow_forward is None for frame in read_shard(tmp_path / "none.tar"))


@pytest.mark.parametrize("name", ["depth_mm", "instance_map", "amodal_bits"])
def test_frames_without_the_maps_are_refused(tmp_path, name):
    write_shard(tmp_path / "frames.tar", [plane_frame(**{name: None})])
    with pytest.raises(InputError, match=rf"frames\.tar, frame 000000\n.*no {name}"):
        mixed_shard(tmp_path / "frames.tar", Bars(60.0), tmp_path / "out.tar")
    assert not (tmp_path / "out.tar").exists()


def test_a_missing_splat_is_refused(bar_files, tmp_path):
    _, reports = bar_files
    with pytest.raises(InputError, match=r"nowhere\.ply"):
        CapturedInstruments({"bar": tmp_path / "nowhere.ply"}, reports, {"bar": 14})


def test_settings_that_cannot_be_are_refused():
    for wrong in ({"clearance_mm": (5, 1)}, {"clearance_mm": (-1, 3)}, {"instruments": ()}, {"instruments": ("saw",)}):
        with pytest.raises(ValueError):
            MixConfig(**wrong)
