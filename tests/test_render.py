"""Rendering: labels that agree with the picture, and the paper's way beside the exact one."""

import json

import numpy as np
import pytest

from splat_samples import CAMERA, box_points, gaussians_at, plane_splat
from splatscope.compose.scene_list import Placement, Scene, SceneHeader, write_scene_list
from splatscope.config.render import RenderConfig
from splatscope.errors import InputError
from splatscope.geometry import invert, look_at, make_transform, quaternion_to_matrix
from splatscope.render import paper_displacement, render_frame, render_paper_frame, render_shard, tag_colour
from splatscope.shards import manifest_path, read_shard, verify_shard
from splatscope.splats.gaussians import concatenate, write_ply
from splatscope.splats.spherical_harmonics import BAND_0

ABOVE = look_at(np.array([0.0, 0, 100]), np.zeros(3), np.array([0.0, 1, 0]))  # world_from_camera, looking down
HEADER = SceneHeader(
    "sampled", "exact", {"background": CAMERA}, {"bar": "needle driver", "hook": "hook"}, {"bar": np.eye(4)}
)


def at(x, y, z, quaternion=(1, 0, 0, 0)):
    return make_transform(quaternion_to_matrix(np.array(quaternion, float)), [x, y, z])


def bar(colour=(0.8, 0.8, 0.9), count=900):
    """A flat bar 60 x 12 x 2 mm round its sensor."""
    rng = np.random.default_rng(5)
    return gaussians_at(box_points(rng, count, [-30, -6, -1], [30, 6, 1]), 1.0, colour)


SITE = plane_splat(np.random.default_rng(0), 900, 100, scale=6.0)
TOOLS = {"bar": bar(), "hook": bar((0.2, 0.3, 0.9))}


def scene(*placements, index=0, **options):
    return Scene(index, 0, 11 + index, ABOVE, tuple(placements), "background", **options)


def render(*placements, tools=TOOLS, site=SITE, **config):
    return render_frame(scene(*placements), HEADER, site, tools, RenderConfig(**config))


def test_one_tool_before_the_site():
    frame = render(Placement("bar", 1, 14, at(0, 0, 20)))
    visible, amodal = frame.visible_mask(1), frame.amodal_mask(1)
    assert visible.sum() > 300 and not (visible & ~amodal).any()
    assert (amodal & ~visible).sum() < 0.03 * amodal.sum()  # nothing hides it
    assert (frame.class_map[visible] == 14).all() and (frame.class_map[~visible] == 0).all()
    columns = np.flatnonzero(visible.any(0))  # 60 mm and two sigma at each end, at 79 mm, through f = 75 px
    assert abs(columns[-1] - columns[0] + 1 - 64 / 79 * 75) <= 3
    assert abs(np.median(frame.depth_mm[visible]) - 79) < 1.5
    assert abs(np.median(frame.depth_mm[~amodal]) - 100) < 1.5
    assert frame.alpha.min() > 200
    (entry,) = frame.meta["instances"]
    assert entry["visible_px"] == visible.sum() and entry["amodal_px"] == amodal.sum()
    assert entry["visibility"] == visible.sum() / amodal.sum()


def test_a_tool_behind_the_site_is_amodal_only():
    frame = render(Placement("bar", 1, 14, at(0, 0, -30)))
    assert frame.visible_mask(1).sum() == 0 and frame.amodal_mask(1).sum() > 300
    assert frame.meta["instances"][0]["visibility"] == 0


def test_a_tool_over_another():
    upper, lower = Placement("hook", 1, 9, at(0, 0, 40)), Placement("bar", 2, 14, at(0, 0, 15, (1, 0, 0, 1)))
    frame = render(upper, lower)
    overlap = frame.amodal_mask(1) & frame.amodal_mask(2)
    assert overlap.sum() > 50
    assert frame.visible_mask(1)[overlap].mean() > 0.97  # the upper one hides the lower one
    assert not frame.visible_mask(2)[overlap].any()
    assert (frame.visible_mask(1) & ~frame.amodal_mask(1)).sum() == 0
    assert set(np.unique(frame.class_map)) == {0, 9, 14}
    first, second = frame.meta["instances"]
    assert first["visibility"] > 0.97 and 0.3 < second["visibility"] < 0.9
    blue = frame.rgb[overlap].mean(0)
    assert blue[2] > blue[0] + 80  # colour agrees with the labels


def test_instance_numbers_are_those_of_the_scene_list():
    frame = render(Placement("bar", 3, 14, at(0, 0, 20)))
    assert set(np.unique(frame.instance_map)) == {0, 3}
    assert set(np.unique(frame.amodal_bits)) == {0, 4}


def test_the_same_tool_twice_is_two_instances():
    frame = render(Placement("bar", 1, 14, at(0, 14, 20)), Placement("bar", 2, 14, at(0, -14, 20)))
    assert frame.visible_mask(1).sum() > 300 and frame.visible_mask(2).sum() > 300
    rows = [np.flatnonzero(frame.visible_mask(instance).any(1)).mean() for instance in (1, 2)]
    assert rows[0] < rows[1]  # y is up in the world, down in the image


def test_a_scene_without_tools():
    frame = render()
    assert not frame.instance_map.any() and not frame.amodal_bits.any() and frame.meta["instances"] == []


def test_nothing_at_all_is_black_with_no_depth():
    frame = render(Placement("bar", 1, 14, at(0, 0, 20)), site=SITE.select(np.arange(len(SITE)) < 1))
    outside = ~frame.amodal_mask(1)
    assert np.median(frame.rgb[outside]) == 0 and np.median(frame.depth_mm[outside]) == 0


def test_a_higher_threshold_gives_smaller_masks():
    sizes = [
        render(Placement("bar", 1, 14, at(0, 0, 20)), mask_threshold=t).visible_mask(1).sum() for t in (0.1, 0.5, 0.9)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_poses_in_the_meta_data():
    pose = at(3, 4, 20, (0.9, 0.1, 0.2, 0.3))
    frame = render(Placement("bar", 1, 14, pose))
    (entry,) = frame.meta["instances"]
    assert np.allclose(entry["world_from_tool_sensor"], pose)
    assert np.allclose(np.array(frame.meta["world_from_camera"]) @ entry["camera_from_tool_sensor"], pose)
    assert frame.meta["seed"] == 11 and frame.meta["source"] == {"recording": "background", "frame": -1}


@pytest.fixture
def files(tmp_path):
    """A scene list of five frames in two shards, with its splats."""
    scenes = [Scene(i, i // 3, i, ABOVE, (Placement("bar", 1, 14, at(3 * i, 0, 20)),), "background") for i in range(5)]
    write_scene_list(tmp_path / "scenes.parquet", tmp_path / "scenes.json", HEADER, scenes)
    write_ply(tmp_path / "site.ply", SITE)
    plys = {}
    for name, gaussians in TOOLS.items():
        plys[name] = tmp_path / f"{name}.ply"
        write_ply(plys[name], gaussians)
    return tmp_path, plys


def shard(folder, plys, number, name="shard.tar", **options):
    render_shard(
        folder / "scenes.parquet",
        folder / "scenes.json",
        number,
        options.pop("site", folder / "site.ply"),
        plys,
        RenderConfig(),
        frames_tar=folder / name,
        **options,
    )
    return folder / name


def test_shards_split_the_scene_list(files):
    folder, plys = files
    tars = [
        shard(folder, plys, number, f"shard_{number:06d}.tar", provenance={"config": "abc"}) for number in (0, 1, 2)
    ]
    assert [[frame.key for frame in read_shard(tar)] for tar in tars] == [
        ["000000", "000001", "000002"],
        ["000003", "000004"],
        [],
    ]
    for tar in tars:
        verify_shard(tar)
        assert json.loads(manifest_path(tar).read_text())["provenance"] == {"config": "abc"}


def test_equal_bytes_whatever_the_number_of_threads(files):
    folder, plys = files
    first = shard(folder, plys, 0, "first.tar").read_bytes()
    assert shard(folder, plys, 0, "second.tar", threads=3).read_bytes() == first


def test_a_frame_alone_equals_its_shard(files):
    folder, plys = files
    stored = next(iter(read_shard(shard(folder, plys, 1))))
    alone = render_frame(
        Scene(3, 1, 3, ABOVE, (Placement("bar", 1, 14, at(9, 0, 20)),), "background"),
        HEADER,
        SITE,
        TOOLS,
        RenderConfig(),
    )
    assert (stored.rgb == alone.rgb).all() and (stored.instance_map == alone.instance_map).all()


def test_a_missing_tool_is_refused(files):
    folder, plys = files
    with pytest.raises(InputError, match="the tool hook"):
        shard(folder, {"bar": plys["bar"]}, 0)


def test_a_splat_without_gaussians_is_refused(files):
    folder, plys = files
    write_ply(folder / "empty.ply", SITE.select(np.zeros(len(SITE), bool)))
    with pytest.raises(InputError, match="no Gaussians"):
        shard(folder, plys | {"bar": folder / "empty.ply"}, 0)
    with pytest.raises(InputError, match="no Gaussians"):
        shard(folder, plys, 0, site=folder / "empty.ply")


def test_a_file_that_is_no_splat_is_refused(files):
    folder, plys = files
    (folder / "broken.ply").write_text("ply\nformat ascii 1.0\nend_header\n")
    with pytest.raises(InputError, match=r"broken\.ply"):
        shard(folder, plys | {"bar": folder / "broken.ply"}, 0)


def paper(*placements, tools=TOOLS, recorded=None, **config):
    recorded = recorded or {name: np.eye(4) for name in tools}
    header = SceneHeader("replay_paper", "paper", {"background": CAMERA}, HEADER.tool_classes, recorded)
    return render_paper_frame(scene(*placements), header, SITE, tools, RenderConfig(**config))


def test_paper_mode_agrees_where_the_tool_only_moves():
    placement = Placement("bar", 1, 14, at(4, 2, 20))
    exact, theirs = render(placement), paper(placement)
    assert np.abs(exact.rgb.astype(int) - theirs.rgb).mean() < 0.1
    overlap = exact.visible_mask(1) & theirs.visible_mask(1)
    assert overlap.sum() / (exact.visible_mask(1) | theirs.visible_mask(1)).sum() > 0.85


def test_paper_mode_does_not_turn_the_tool():
    """Eq. 2 rotates every Gaussian in its place: a bar turned by 90 degrees keeps its long side where it was."""
    placement = Placement("bar", 1, 14, at(0, 0, 20, (1, 0, 0, 1)))
    exact, theirs = render(placement).visible_mask(1), paper(placement).visible_mask(1)
    assert exact.any(1).sum() > 2 * exact.any(0).sum()
    assert theirs.any(0).sum() > 2 * theirs.any(1).sum()


def test_paper_masks_ignore_who_hides_whom():
    frame = paper(Placement("bar", 1, 14, at(0, 0, -30)))
    assert frame.visible_mask(1).sum() > 300  # behind the site, and still "seen"
    assert (frame.visible_mask(1) == frame.amodal_mask(1)).all()


def test_paper_boxes_enclose_the_mask():
    frame = paper(Placement("bar", 1, 14, at(0, 0, 20)))
    mask = frame.visible_mask(1)
    (x, y, width, height) = max(frame.meta["instances"][0]["boxes"], key=lambda box: box[2] * box[3])
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    assert (x, y) == (columns[0], rows[0]) and (x + width, y + height) == (columns[-1] + 1, rows[-1] + 1)


def test_a_higher_contrast_threshold_loses_tool_pixels():
    placement = Placement("bar", 1, 14, at(0, 0, 20))
    sizes = [paper(placement, paper_contrast_threshold=t).visible_mask(1).sum() for t in (10, 100, 250)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_paper_displacement_undoes_the_recorded_pose():
    recorded = at(10, 20, 30, (0.8, 0.1, 0.5, 0.2))
    assert np.allclose(paper_displacement(recorded, recorded), np.eye(4))
    moved = at(1, 2, 3) @ recorded
    assert np.allclose(paper_displacement(moved, recorded), at(1, 2, 3))


def test_the_tag_colours_the_constant_term_only():
    tagged = tag_colour(bar(), (0.0, 1.0, 0.0))
    assert np.allclose(tagged.sh[:, 0].numpy() * BAND_0 + 0.5, [0, 1, 0], atol=1e-6)
    assert (tagged.sh[:, 1:] == bar().sh[:, 1:]).all() and (tagged.means == bar().means).all()


def test_labels_follow_the_camera_not_the_world():
    """Scene, tool and camera moved together give the same frame."""
    move = at(5, -40, 12, (0.6, 0.3, -0.5, 0.2))
    placement = Placement("bar", 1, 14, at(0, 0, 20, (0.9, 0.2, 0.1, 0.4)))
    first = render(placement)
    moved = Scene(
        0, 0, 11, move @ ABOVE, (Placement("bar", 1, 14, move @ placement.world_from_tool_sensor),), "background"
    )
    second = render_frame(moved, HEADER, SITE.transformed(move), TOOLS, RenderConfig())
    assert np.abs(first.rgb.astype(int) - second.rgb).max() <= 1
    assert (first.instance_map != second.instance_map).mean() < 0.002
    assert np.allclose(invert(move @ ABOVE) @ (move @ ABOVE), np.eye(4))


def test_tools_share_one_splat_file_with_the_site_degree():
    """Models of different SH degrees blend in one scene."""
    plain = gaussians_at(
        box_points(np.random.default_rng(5), 900, [-30, -6, -1], [30, 6, 1]), 1.0, (0.8, 0.8, 0.9), sh_degree=0
    )
    frame = render(Placement("bar", 1, 14, at(0, 0, 20)), tools={"bar": plain})
    assert frame.visible_mask(1).sum() > 300
    assert len(concatenate([SITE, plain])) == len(SITE) + 900
