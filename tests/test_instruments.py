"""Instruments: closed links, jaws that meet and do not pass through each other, keypoints, trocar kinematics."""

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from splatscope.classes import read_class_table
from splatscope.geometry import apply, invert
from splatscope.meshes.instruments import (
    CLIP,
    ClipApplier,
    Grasper,
    HookElectrode,
    LigatingClip,
    MarylandForceps,
    NeedleDriver,
    Scissors,
)
from splatscope.meshes.instruments.kinematics import roll_towards, through_trocar
from splatscope.meshes.lofting import at_heights, creased, loft, rounded_box, sweep
from splatscope.meshes.materials import laparoscopic_materials
from splatscope.meshes.mesh import Mesh, concatenate

STRAIGHT_JAWS = (Grasper, MarylandForceps, Scissors, ClipApplier)
LAPAROSCOPIC = (*STRAIGHT_JAWS, HookElectrode)
SHAPES = [kind() for kind in LAPAROSCOPIC] + [NeedleDriver.varied(np.random.default_rng(0))]


def named(shape) -> str:
    return type(shape).__name__


def assert_closed(mesh: Mesh, what: str) -> None:
    merged = mesh.to_trimesh()
    merged.merge_vertices()
    assert merged.is_watertight and merged.is_winding_consistent and merged.volume > 0, what
    assert np.isfinite(mesh.vertices).all()
    assert np.allclose(np.linalg.norm(mesh.normals[np.unique(mesh.faces)], axis=1), 1, atol=1e-3), what


def jaw(shape, side: str, joints: dict) -> list[Mesh]:
    pose = shape.link_poses(joints)[f"jaw_{side}"]
    return [part.mesh.transformed(pose) for part in shape.links()[f"jaw_{side}"]]


def winding(points: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Winding numbers [N] of a closed mesh about points [N, 3] (van Oosterom and Strackee 1983)."""
    total = np.zeros(len(points))
    for corners in np.array_split(mesh.vertices[mesh.faces].astype(np.float64), max(1, len(mesh.faces) // 100)):
        a, b, c = (corners[None, :, index] - points[:, None] for index in range(3))
        la, lb, lc = (np.linalg.norm(side, axis=-1) for side in (a, b, c))
        numerator = np.einsum("pfi,pfi->pf", a, np.cross(b, c))
        dot = [np.einsum("pfi,pfi->pf", *pair) for pair in ((a, b), (b, c), (c, a))]
        total += np.arctan2(numerator, la * lb * lc + dot[0] * lc + dot[1] * la + dot[2] * lb).sum(1)
    return total / (2 * np.pi)


def inside(first: list[Mesh], second: list[Mesh]) -> int:
    """How many vertices and face centres of closed meshes lie within others."""
    count = 0
    for mesh in first:
        points = np.vstack([mesh.vertices, mesh.vertices[mesh.faces].mean(1)]).astype(np.float64)
        for other in second:
            near = ((points > other.vertices.min(0)) & (points < other.vertices.max(0))).all(1)
            count += int((winding(points[near], other) > 0.5).sum())
    return count


def distance_to_segments(points: np.ndarray, capsules: np.ndarray) -> np.ndarray:
    """Distance [N] of points [N, 3] to the nearest capsule's surface; negative inside."""
    start, along = capsules[:, :3], capsules[:, 3:6] - capsules[:, :3]
    share = np.einsum("nci,ci->nc", points[:, None] - start, along) / np.einsum("ci,ci->c", along, along)
    nearest = start + np.clip(share, 0, 1)[..., None] * along
    return (np.linalg.norm(points[:, None] - nearest, axis=-1) - capsules[:, 6]).min(1)


def test_lofts_are_closed_and_look_outwards_whichever_way_they_run():
    rings = at_heights(rounded_box((-1, -2), (1, 2), 0.2), np.array([0.0, 5]))
    for mesh in (loft(rings), loft(rings[::-1])):
        assert_closed(mesh, "box")
        assert mesh.to_trimesh().volume == pytest.approx(40, rel=0.01)
    bent = sweep([[0, 0, 0], [0, 0, 4], [3, 0, 6]], rounded_box((-0.5, -0.5), (0.5, 0.5), 0.1), [0, 1.0, 0])
    assert_closed(bent, "bent bar")
    ring = np.array(
        [[[np.cos(a) * r, np.sin(a) * r, z] for r, z in ((3, 0), (4, 1), (3, 2))] for a in np.arange(0, 6.2, 0.1)]
    )
    assert_closed(loft(ring, closed=True), "ring")


def test_normals_are_sharp_at_edges_and_smooth_on_curves():
    cube = trimesh.creation.box((2, 2, 2))
    sharp = creased(cube.vertices, cube.faces)
    assert len(sharp.vertices) == 24 and np.allclose(np.abs(sharp.normals).max(1), 1)
    ball = trimesh.creation.icosphere(subdivisions=3)
    smooth = creased(ball.vertices, ball.faces)
    assert len(smooth.vertices) == len(ball.vertices)
    assert ((smooth.normals * smooth.vertices).sum(1) > 0.999).all()


@pytest.mark.parametrize("kind", LAPAROSCOPIC)
def test_varied_shapes_are_closed_and_pass_a_trocar(kind):
    extents = []
    for seed in range(20):
        shape = kind.varied(np.random.default_rng(seed))
        faces = 0
        for link, parts in shape.links(instance=3).items():
            for part in parts:
                assert_closed(part.mesh, f"{shape.name} {seed} {link} {part.material}")
                assert part.class_id == kind.class_id and part.instance == 3
                faces += len(part.mesh.faces)
        assert faces < 8000
        mesh = shape.mesh()
        assert mesh.vertices[:, 2].min() < -250
        behind = mesh.vertices[mesh.vertices[:, 2] < shape.keypoints()["shaft_exit"][2]]
        assert np.linalg.norm(behind[:, :2], axis=1).max() < shape.shaft_radius_mm + 0.2
        assert shape.tip[2] == pytest.approx(shape.mesh(dict.fromkeys(shape.joints, 0.0)).vertices[:, 2].max(), abs=1.6)
        extents.append(mesh.vertices.max(0))
    assert np.ptp(extents, axis=0).max() > 1.5


def test_needle_driver_for_operations_is_closed_and_long():
    shape = NeedleDriver.varied(np.random.default_rng(5))
    for link, parts in shape.links().items():
        for part in parts:
            assert_closed(part.mesh, f"{link} {part.material}")
    assert shape.mesh().vertices[:, 2].min() < -250
    bent = shape.mesh({"pitch": 60.0, "opening": 0.0})
    lost = bent.vertices[(bent.vertices[:, 2] < -3) & (np.linalg.norm(bent.vertices[:, :2], axis=1) > 5)]
    assert len(lost) == 0  # nothing behind the wrist turns out of the shaft


def test_equal_seeds_equal_bytes_and_meshes_are_made_once():
    first, second = (Grasper.varied(np.random.default_rng(7)) for _ in range(2))
    assert first == second and first.links()["shaft"][0].mesh is second.links()["shaft"][0].mesh
    again = concatenate([mesh for mesh, _ in first.build()["jaw_left"]])
    assert again.vertices.tobytes() == concatenate([p.mesh for p in first.links()["jaw_left"]]).vertices.tobytes()


def test_materials_and_classes_exist(repository):
    materials = laparoscopic_materials(0)
    clips = [LigatingClip(), LigatingClip("polymer")]
    parts = [part for shape in SHAPES for part in shape.parts()] + [part for clip in clips for part in clip.parts(1.0)]
    assert {part.material for part in parts} == set(materials)
    table = read_class_table(repository / "resources/classes.tsv")
    assert {shape.class_id for shape in SHAPES} | {CLIP} == {
        table[name]
        for name in ("grasper", "l-hook electrocautery", "scissors", "clip applier", "needle driver", "clip")
    }
    by_id = {number: name for name, number in table.items()}
    assert all(by_id[shape.class_id] == shape.name for shape in SHAPES if not isinstance(shape, MarylandForceps))


@pytest.mark.parametrize("kind", STRAIGHT_JAWS)
def test_jaws_meet_at_the_grip_and_never_pass_through_each_other(kind):
    for shape in (kind(), kind.varied(np.random.default_rng(1))):
        for opening in (0.0, 0.5 * shape.joints["opening"][1], shape.joints["opening"][1]):
            joints = {"opening": opening}
            left, right = jaw(shape, "left", joints), jaw(shape, "right", joints)
            assert inside(left, right) == 0 and inside(right, left) == 0, opening
            grip = shape.grip(joints)
            gaps = []
            for meshes, side in ((left, 1), (right, -1)):
                offset = concatenate(meshes).vertices - grip.point
                here = offset[np.abs(offset[:, 2]) < 1.5]
                gaps.append(float((side * here @ grip.axis).min()))
            if opening == 0:
                assert max(gaps) < 0.35 and min(gaps) > -0.7  # teeth mesh, scissors overlap
            else:
                expected = grip.point[2] * np.sin(np.radians(opening / 2))
                assert expected - 1 < min(gaps) and max(gaps) < expected + 1.5


@pytest.mark.parametrize("shape", SHAPES, ids=named)
def test_keypoints_lie_on_the_instrument(shape):
    openings = [{"opening": angle} for angle in shape.joints["opening"]] if "opening" in shape.joints else [{}]
    for joints in openings:
        points = shape.keypoints(joints)
        mesh = shape.mesh(joints)
        tree = cKDTree(mesh.vertices)
        for name in ("jaw_tip_left", "jaw_tip_right"):
            assert (name in points) == ("opening" in shape.joints)
            if name in points:
                assert tree.query(points[name])[0] < 0.55, name
        if joints in ({}, {"opening": 0.0}):
            assert tree.query(points["tip"])[0] < 0.55
        assert np.allclose(points["wrist"], 0)
        exit_ring = mesh.vertices[np.abs(mesh.vertices[:, 2] - points["shaft_exit"][2]) < 0.6]
        assert np.linalg.norm(exit_ring[:, :2], axis=1).max() == pytest.approx(shape.shaft_radius_mm, abs=0.2)
    if "opening" in shape.joints:
        wide = shape.keypoints({"opening": shape.joints["opening"][1]})
        assert wide["jaw_tip_left"][0] > wide["tip"][0] > wide["jaw_tip_right"][0]


@pytest.mark.parametrize("shape", SHAPES, ids=named)
def test_capsules_hold_the_instrument(shape):
    for opening in shape.joints.get("opening", (None,)):
        joints = {} if opening is None else {"opening": opening}
        capsules = shape.capsules(joints)
        vertices = shape.mesh(joints).vertices
        assert distance_to_segments(vertices, capsules).max() < 1.5
        near = capsules[capsules[:, 5] > -5]
        surface = cKDTree(vertices)
        ends = np.vstack([near[:, :3], near[:, 3:6]])
        assert (surface.query(ends)[0] < 1.6 * shape.shaft_radius_mm).all()


@pytest.mark.parametrize("shape", SHAPES, ids=named)
def test_tool_state_follows_the_joints(shape):
    pose = through_trocar(np.array([10.0, 20, 150]), np.array([0.0, 0, 5]), 0.4, shape.tip)
    state = shape.tool_state(pose)
    assert np.array_equal(state.world_from_tool, pose) and state.capsules.shape[1] == 7 and state.heating_w == 0
    assert np.linalg.norm(state.grip_axis) == pytest.approx(1) and state.grip_reach_mm > 1
    if "opening" in shape.joints:
        low, high = shape.joints["opening"]
        assert (
            shape.tool_state(pose, {"opening": low}).closed == 1
            and shape.tool_state(pose, {"opening": high}).closed == 0
        )
        with pytest.raises(ValueError, match=f"{shape.name}: expected opening within"):
            shape.tool_state(pose, {"opening": high + 1})
    with pytest.raises(ValueError, match=r"expected joints among .* got 'elbow'"):
        shape.link_poses({"elbow": 3.0})
    if shape.electrode:
        hot = shape.tool_state(pose, heating_w=30.0)
        assert hot.heating_w == 30 and np.linalg.norm(hot.heat_point - shape.tip) < 0.7 * shape.tip[2]
    else:
        assert state.heat_point is None
        with pytest.raises(ValueError, match="has no electrode"):
            shape.tool_state(pose, heating_w=30.0)


def test_hook_holds_tissue_on_the_shafts_side_of_its_leg():
    hook = HookElectrode()
    grip = hook.grip()
    assert grip.axis[2] < -0.9 and 0 < grip.point[0] < hook.tip[0] and grip.point[2] < hook.heat_point()[2]
    assert hook.tip == pytest.approx([hook.leg_mm, 0, hook.rod_mm], abs=1.3)


def test_scissors_blades_have_passed_each_other_when_closed():
    shape = Scissors()
    line = shape.jaw_line()
    sheet = {}
    for side, sign in (("left", 1), ("right", -1)):
        blade = jaw(shape, side, {"opening": 0.0})[0].vertices
        middle = blade[np.abs(blade[:, 2] - 10) < 2]
        assert (sign * middle[:, 0]).min() < -0.2
        distance = np.hypot(middle[:, 0], middle[:, 2])
        sheet[side] = middle[:, 1] - np.interp(distance, line[:, 2], line[:, 1])
    assert sheet["left"].min() > -0.02 and sheet["right"].max() < 0.02  # the sheet's chords err a little


@pytest.mark.parametrize("clip", [LigatingClip(), LigatingClip("polymer", 10.0, 2.0, 1.0)], ids=["titanium", "polymer"])
def test_clip_closes_in_the_jaws_of_its_applier(clip):
    shape = ClipApplier(clip=clip)
    faces = clip.mesh(0.0).faces
    for opening in (0.0, 9.0, 18.0):
        joints = {"opening": opening}
        gap = shape.clip_gap_mm(joints)
        mesh = clip.mesh(gap)
        assert_closed(mesh, f"clip {gap}")
        assert np.array_equal(mesh.faces, faces)
        middle = mesh.vertices[np.abs(mesh.vertices[:, 2]) < 1.0]
        slack = 0.5 * np.tan(np.radians(opening / 2)) + 0.3
        assert 2 * np.abs(middle[:, 0]).min() == pytest.approx(gap, abs=2 * slack)
        held = mesh.transformed(shape.tool_from_clip)
        if clip.material == "titanium":
            assert inside([held], jaw(shape, "left", joints) + jaw(shape, "right", joints)) == 0
        assert np.abs(held.vertices[:, 1]).max() < shape.jaw_half_width_mm
    assert shape.clip_gap_mm({"opening": 0.0}) == 0
    assert clip.parts(1.0, instance=4)[0].class_id == CLIP
    with pytest.raises(ValueError, match="expected gap_mm within"):
        clip.mesh(-0.1)


def random_directions(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def off_axis(world_from_tool: np.ndarray, point: np.ndarray) -> float:
    return float(np.hypot(*apply(invert(world_from_tool), point[None])[0, :2]))


def test_shaft_passes_the_trocar_and_the_tip_reaches_its_target():
    rng = np.random.default_rng(0)
    for direction in random_directions(rng, 60):
        trocar = rng.normal(0, 50, 3)
        target = trocar + direction * rng.uniform(20, 200)
        for tip in (18.0, np.array([4.5, -1.0, 8.0])):
            pose = through_trocar(trocar, target, rng.uniform(-4, 4), tip)
            assert off_axis(pose, trocar) < 1e-9
            where = np.array([0, 0, tip]) if np.ndim(tip) == 0 else tip
            assert np.allclose(apply(pose, where[None])[0], target, atol=1e-9, rtol=0)
            assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    with pytest.raises(ValueError, match="expected a target more than 5 mm from the trocar"):
        through_trocar(np.zeros(3), np.array([0, 0, 4.0]), 0.0, np.array([3.0, 4, 8]))


def test_roll_turns_about_the_line_and_varies_smoothly():
    trocar, tip = np.array([30.0, 50, 160]), np.array([4.5, 0, 8.0])
    pose = [through_trocar(trocar, np.array([x, 0.0, 0]), roll, tip) for x, roll in ((0, 0.2), (0, 0.5), (0.1, 0.2))]
    turned, moved = (pose[0][:3, :3].T @ other[:3, :3] for other in pose[1:])
    assert np.linalg.norm(Rotation.from_matrix(turned).as_rotvec()) == pytest.approx(0.3)
    assert np.linalg.norm(Rotation.from_matrix(moved).as_rotvec()) < 0.002


def test_roll_towards_is_the_best_roll():
    rng = np.random.default_rng(1)
    for direction, wanted in zip(random_directions(rng, 10), random_directions(rng, 10)):
        trocar = np.zeros(3)
        axis = np.array([0.8, -0.6, 0.0])

        def agreement(roll, target=100 * direction, axis=axis, wanted=wanted, trocar=trocar):
            return through_trocar(trocar, target, roll, 10.0)[:3, :3] @ axis @ wanted

        best = agreement(roll_towards(trocar, 100 * direction, axis, wanted))
        assert best >= max(agreement(roll) for roll in np.linspace(-np.pi, np.pi, 300)) - 1e-9


def test_wrist_points_the_jaws_where_they_are_wanted():
    rng = np.random.default_rng(2)
    driver = NeedleDriver(shaft_start_mm=-280.0)
    trocar, solved = np.array([40.0, 60, 150]), 0
    for direction, closing in zip(random_directions(rng, 200), random_directions(rng, 200)):
        target = rng.uniform(-20, 20, 3)
        try:
            pose, joints = driver.reach(trocar, target, direction, closing)
        except ValueError as error:
            assert "expected pitch within" in str(error) or "expected yaw within" in str(error)
            continue
        solved += 1
        assert off_axis(pose, trocar) < 1e-9
        assert np.allclose(apply(pose, driver.keypoints(joints)["tip"][None])[0], target, atol=1e-9, rtol=0)
        jaws = pose @ driver.link_poses(joints | {"opening": 0.0})["jaw_left"]
        assert np.allclose(jaws[:3, 2], direction, atol=1e-9)
        assert jaws[:3, 0] @ closing > 0 and abs(jaws[:3, 1] @ closing) < 1e-9
    assert 60 < solved < 200
    shaft = target - trocar
    with pytest.raises(ValueError, match=r"within -85\.\.85"):
        driver.reach(trocar, target, -shaft + [1.0, 2, 0], np.array([1.0, 0, 0]))
    with pytest.raises(ValueError, match="a jaw direction that is not zero"):
        driver.reach(trocar, target, np.zeros(3), np.array([1.0, 0, 0]))


def test_jaws_are_as_long_as_real_ones(shared_data):
    folder = shared_data / "meshes/laparoscopic_instruments"
    for shape, file in (
        (Grasper(), "forceps_jaw_left.stl"),
        (MarylandForceps(), "maryland_dissector_jaw_left.stl"),
        (Scissors(), "scissors_jaw_left.stl"),
    ):
        real = trimesh.load(folder / file)  # pivot at the origin, z towards the tip
        ours = concatenate(jaw(shape, "left", {"opening": 0.0})).vertices
        assert ours[:, 2].max() == pytest.approx(real.bounds[1, 2], rel=0.2), file
