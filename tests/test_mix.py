"""mix: an instrument laid into a frame by depth; labels, colour and meta data must agree about who hides whom."""

from dataclasses import replace

import numpy as np
import pytest

from splat_samples import box_points, gaussians_at
from splatscope.compose.recipe import Rejected
from splatscope.config.mix import MixConfig
from splatscope.errors import InputError
from splatscope.files import read_json, write_json
from splatscope.geometry import Camera, apply, make_transform
from splatscope.meshes.endoscope import display_table
from splatscope.mix.candidate import Candidate
from splatscope.mix.captured import CapturedInstruments
from splatscope.mix.layer import FINE, Layer, cover, lay_labels
from splatscope.mix.light import Filming, blend, contact_shade, to_display, to_linear
from splatscope.mix.placing import View, covering_pinhole, draw_tip, fine_rays
from splatscope.mix.simulated import SimulatedInstruments
from splatscope.mix.stage import FIRST_OBJECT, mix_frame, mix_shard
from splatscope.shards import Frame, manifest_path, read_shard, verify_shard, write_shard
from splatscope.splats.gaussians import write_ply

HEIGHT, WIDTH = 64, 80
CAMERA = Camera(WIDTH, HEIGHT, 75.0, 75.0, 40.0, 32.0)
LENS = replace(CAMERA, distortion=(-0.2, 0.01, 0.0005, -0.0005))
NAMES = {0: "background", 5: "grasper", 9: "l-hook electrocautery", 14: "needle driver", 16: "clip applier"}
BAR = np.s_[20:44, 30:50]  # rows, columns
CONFIG = MixConfig(min_area_px=20, min_depth_mm=15.0)


def plane_frame(key="000000", depth=80.0, camera=CAMERA, **changes):
    """Reddish tissue that faces the camera; an instrument, number 1 of class 5, over the left eighth at 50 mm."""
    rng = np.random.default_rng(3)
    rgb = np.clip(rng.normal((150, 70, 60), 6, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    instances = np.zeros((HEIGHT, WIDTH), np.uint8)
    instances[:, : WIDTH // 8] = 1
    depths = np.where(instances > 0, 50, depth).astype(np.float32)
    old = {"instance": 1, "name": "old", "class_id": 5, "class_name": "grasper"}
    old |= {"visible_px": int(instances.sum()), "amodal_px": int(instances.sum()), "visibility": 1.0}
    maps = {
        "class_map": np.where(instances > 0, 5, 2).astype(np.uint8),
        "instance_map": instances,
        "amodal_bits": instances.astype(np.uint16),
        "depth_mm": depths,
        "alpha": np.full((HEIGHT, WIDTH), 250, np.uint8),
        "normals": np.tile(np.float32([0, 0, -1]), (HEIGHT, WIDTH, 1)),
        "surface_points": np.ones((HEIGHT, WIDTH, 4), np.float32),
        "flow_forward": np.ones((HEIGHT, WIDTH, 3), np.float32),
    }
    meta = {"camera": camera.to_dict(), "instances": [old], "world_from_camera": np.eye(4).tolist()}
    return Frame(key, rgb, meta, **(maps | changes))


def bar_layer(depth, where=BAR, alpha=1.0):
    """A grey rectangle at one depth, or at depths [H, W]."""
    alphas, depths = np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
    alphas[where] = alpha
    depths[where] = np.broadcast_to(depth, (HEIGHT, WIDTH))[where]
    alphas, depths = (np.kron(value, np.ones((FINE, FINE), np.float32)) for value in (alphas, depths))
    colour = np.repeat(alphas[..., None] * np.float32(0.2), 3, -1)
    points = np.dstack([alphas > 0, depths, depths, depths]).astype(np.float32)
    return Layer(alphas, depths, colour, np.tile(np.float32([1, 0, 0]), (*alphas.shape, 1)), points)


class Bars:
    """A source of the bar, whatever the frame; `depths` are used one draw after the other."""

    kind = "simulated"

    def __init__(self, *depths, where=BAR):
        self.depths, self.where, self.calls = depths, where, 0

    def propose(self, rng, view, filming, config):
        depth = self.depths[min(self.calls, len(self.depths) - 1)]
        self.calls += 1
        layer = bar_layer(depth, self.where)
        points = {"tip": np.array([0, 0, float(np.max(depth))]), "off": np.array([400.0, 0, 50])}
        pose = make_transform(np.eye(3), [1, 2, 3])
        return Candidate(layer, lambda: layer, "bar", 14, pose, "tool", points["tip"], {"opening": 3.0}, points, 1.0)


def laid(frame, layer):
    covered = cover(layer, frame.depth_mm, np.ones((HEIGHT, WIDTH), bool))
    return lay_labels(frame, layer, covered, 2, 14, FIRST_OBJECT), covered


def test_a_layer_in_front_takes_its_pixels():
    frame = plane_frame()
    mixed, covered = laid(frame, bar_layer(60.0))
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[BAR] = True
    assert (mixed.visible_mask(2) == expected).all() and (mixed.amodal_mask(2) == expected).all()
    assert covered.visibility == 1
    assert (mixed.class_map == np.where(expected, 14, frame.class_map)).all()
    assert (mixed.depth_mm == np.where(expected, 60, frame.depth_mm)).all()
    assert (mixed.alpha == np.where(expected, 255, 250)).all()
    assert (mixed.normals[expected] == [1, 0, 0]).all() and (mixed.normals[~expected] == [0, 0, -1]).all()
    assert (mixed.surface_points[expected] == [FIRST_OBJECT, 60, 60, 60]).all()
    assert mixed.flow_forward is None
    assert (mixed.amodal_mask(1) == frame.amodal_mask(1)).all()


def test_a_layer_behind_is_amodal_only():
    frame = plane_frame()
    mixed, covered = laid(frame, bar_layer(90.0))
    assert not mixed.visible_mask(2).any() and mixed.amodal_mask(2).sum() == 24 * 20
    assert covered.visibility == 0
    for name in ("class_map", "instance_map", "depth_mm", "alpha", "normals", "surface_points"):
        np.testing.assert_array_equal(getattr(mixed, name), getattr(frame, name))


def test_a_layer_that_dips_into_the_tissue_is_seen_to_where_it_meets_it():
    depths = 60 + np.arange(HEIGHT, dtype=np.float32)[:, None] * np.ones(WIDTH, np.float32)  # 80 at row 20
    where = np.s_[5:60, 30:50]
    mixed, _ = laid(plane_frame(), bar_layer(depths, where))
    rows = np.flatnonzero(mixed.visible_mask(2).any(1))
    assert rows.min() == 5 and rows.max() == 19
    assert mixed.amodal_mask(2).sum() == 55 * 20
    owned = mixed.visible_mask(2)
    assert (mixed.depth_mm[owned] < 80).all()


def test_each_pixel_shows_the_nearest_of_both():
    """Depth, labels and the layer's own depth agree at every pixel, for a random surface under a random layer."""
    rng = np.random.default_rng(0)
    frame = plane_frame(depth_mm=rng.uniform(40, 100, (HEIGHT, WIDTH)).astype(np.float32))
    depths = rng.uniform(40, 100, (HEIGHT, WIDTH)).astype(np.float32)
    mixed, _ = laid(frame, bar_layer(depths))
    within = np.zeros((HEIGHT, WIDTH), bool)
    within[BAR] = True
    front = within & (depths < frame.depth_mm)
    assert (mixed.visible_mask(2) == front).all()
    np.testing.assert_array_equal(mixed.depth_mm, np.where(front, depths, frame.depth_mm))


def test_half_covered_pixels_mix_colours_without_halo():
    frame = plane_frame()
    layer = bar_layer(60.0)
    half = layer.alpha.copy()
    half[:, 30 * FINE : 30 * FINE + 1] = 0  # a third of the first column is free
    layer = replace(layer, alpha=half, colour=layer.colour * (half > 0)[..., None])
    covered = cover(layer, frame.depth_mm, np.ones((HEIGHT, WIDTH), bool))
    shade, inside = np.zeros((HEIGHT, WIDTH), np.float32), np.ones((HEIGHT, WIDTH), np.float32)
    rgb = blend(frame.rgb, layer, covered, inside, None, shade, 0.0, np.random.default_rng(0))
    edge = np.s_[20:44, 30]
    expected = to_display(to_linear(frame.rgb[edge]) / 3 + np.float32(0.2 * 2 / 3))
    assert np.abs(rgb[edge].astype(int) - expected).max() <= 1
    assert (rgb[20:44, 31:50] == to_display(np.float32(0.2))).all()
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[BAR] = False
    assert (rgb[outside] == frame.rgb[outside]).all()


def test_display_and_linear_are_inverse():
    levels = np.arange(display_table().max() + 1)
    assert np.abs(to_display(to_linear(levels)).astype(int) - levels).max() <= 1


def test_contact_shades_what_is_near_and_only_that():
    frame, everywhere = plane_frame(), np.ones((HEIGHT, WIDTH), bool)
    shades = []
    for depth in (79.0, 60.0, 90.0):
        layer = bar_layer(depth)
        covered = cover(layer, frame.depth_mm, everywhere)
        shades.append(contact_shade(layer, covered, frame.depth_mm, 3.0, CAMERA.fx))
    touching, hovering, hidden = (shade[32, 51] for shade in shades)
    assert touching > 0.15 and hovering < 0.01 and hidden < 0.01
    assert shades[0][2, 78] < 1e-3


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_exposure_is_found_whatever_the_distance(gain):
    """Tissue of known radiance, lit from the camera by the square law, at depths from 50 to 110 mm."""
    depths = np.tile(np.linspace(50, 110, WIDTH, dtype=np.float32), (HEIGHT, 1))
    rays = CAMERA.pixel_rays()
    lit = 0.30 * gain * 70.0**2 / (depths**2 * (1 + (rays**2).sum(-1)))
    rgb = to_display(lit[..., None] * np.array([1, 0.4, 0.3]))
    filming = Filming.of(rgb, depths, rays, np.ones((HEIGHT, WIDTH), bool))
    assert filming.exposure == pytest.approx(gain, rel=0.02)


def test_noise_and_haze_are_found():
    rng = np.random.default_rng(1)
    depths, tissue = np.full((128, 160), 80, np.float32), np.ones((128, 160), bool)
    rays = Camera(160, 128, 150.0, 150.0, 80.0, 64.0).pixel_rays()
    clear = np.clip(np.rint(rng.normal((140, 60, 20), 3, (128, 160, 3))), 0, 255).astype(np.uint8)
    assert Filming.of(clear, depths, rays, tissue).noise == pytest.approx(3, rel=0.25)
    smoky = to_display(to_linear(clear) * 0.7 + 0.3)
    assert Filming.of(clear, depths, rays, tissue).haze < 0.01
    assert Filming.of(smoky, depths, rays, tissue).haze == pytest.approx(0.3, abs=0.02)


def test_a_mixed_frame_describes_its_new_instance():
    frame = plane_frame()
    mixed, rejected = mix_frame(frame, Bars(60.0), CONFIG, [0], NAMES)
    assert not rejected and mixed.meta["mix"] == {"source": "simulated", "instance": 2, "draws": 1}
    old, new = mixed.meta["instances"]
    assert old == frame.meta["instances"][0]
    assert (new["instance"], new["name"], new["class_id"], new["class_name"]) == (2, "bar", 14, "needle driver")
    assert new["visible_px"] == new["amodal_px"] == 480 and new["visibility"] == 1
    assert np.array(new["camera_from_tool"])[:3, 3].tolist() == [1, 2, 3] and new["joints"] == {"opening": 3.0}
    assert new["keypoints"] == {"tip": [40.0, 32.0, 2], "off": [0.0, 0.0, 0]}
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
