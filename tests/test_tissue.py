"""The tissue physics against formulas, and what instruments do to tissue."""

from dataclasses import replace

import numpy as np
import pytest
import warp as wp

from splatscope.meshes.distance_fields import SampledField
from splatscope.meshes.instruments.tool_state import ToolState
from splatscope.simulate.tissue.body import Body, Bonds, TissueMaterial
from splatscope.simulate.tissue.settings import CYSTIC_ARTERY, CYSTIC_DUCT, LIVER, TissueSettings
from splatscope.simulate.tissue.tissue import Tissue
from tissue_material import WEIGHTLESS, ball, body, box, tool, tube, volumes

FRAME_S = 1 / 60
UNDAMPED = TissueSettings(damping_per_s=0, top_speed_mm_s=1e5, gravity_mm_s2=(0, 0, -9810))


def run(tissue: Tissue, seconds: float, tools=lambda share: {}) -> list:
    """Frames at 60 Hz; `tools(share)` with share 0..1 of the way."""
    events = []
    count = round(seconds / FRAME_S)
    for frame in range(count):
        events += tissue.advance(FRAME_S, tools((frame + 1) / count))
    return events


def kinds(events) -> set[str]:
    return {event.kind for event in events}


def test_free_fall_follows_the_formula():
    mesh = box((2, 2, 2), 5.0)
    tissue = Tissue([body(mesh, young_kpa=3)], settings=UNDAMPED)  # soft enough to need no mass scaling
    run(tissue, 0.2)
    fallen = mesh.vertices - tissue.positions
    step = 1 / UNDAMPED.substeps_per_s
    expected = 0.5 * 9810 * 0.2 * (0.2 + step)  # symplectic Euler: half a step ahead of g t^2 / 2
    assert np.allclose(fallen[:, 2], expected, rtol=2e-4) and np.allclose(fallen[:, :2], 0, atol=0.02)
    assert np.allclose(tissue.velocities[:, 2], -9810 * 0.2, rtol=1e-3)


def test_momentum_is_kept_without_outer_forces():
    mesh = ball(10, 4)
    tissue = Tissue([body(mesh, young_kpa=1.5)], settings=replace(UNDAMPED, gravity_mm_s2=(0, 0, 0)))
    spin = np.cross([0, 0, 6.0], mesh.vertices) + np.array([40, 0, 0])
    stretch = 0.1 * mesh.vertices * [1, -1, 0]
    start = (tissue.positions + stretch).astype(np.float32)
    tissue.fields.write("positions", start)
    tissue.fields.write("previous", start - (spin / UNDAMPED.substeps_per_s).astype(np.float32))
    mass = tissue.masses[:, None]
    linear = (mass * spin).sum(0)
    angular = (mass * np.cross(start, spin)).sum(0)
    run(tissue, 0.3)
    now = tissue.velocities
    assert np.abs((mass * now).sum(0) - linear).max() < 0.01 * np.abs(linear).max()
    assert np.abs((mass * np.cross(tissue.positions, now)).sum(0) - angular).max() < 0.06 * np.abs(angular).max()


@pytest.mark.parametrize("young_kpa", [8.0, 30.0])
def test_hanging_bar_stretches_as_theory_says(young_kpa):
    length, mesh = 60.0, box((3, 3, 12), 5.0)
    material = {"young_kpa": young_kpa, "poisson": 0.3}
    settings = TissueSettings(gravity_mm_s2=(0, 0, -9810), damping_per_s=30, substeps_per_s=4800)
    tissue = Tissue([body(mesh, fixed=mesh.vertices[:, 2] > length - 1e-6, **material)], settings=settings)
    run(tissue, 1.0)
    bottom = mesh.vertices[:, 2] < 1e-6
    sag = -tissue.positions[bottom, 2].mean()
    strain = 1.05e-3 * 9810 * length / (young_kpa * 1e3)  # at the top; E A elongation is half of it times the length
    assert sag == pytest.approx(strain * length / 2, rel=0.08)  # small strains; lateral strain is blocked at the top


def test_default_step_is_near_the_converged_sag():
    mesh = box((3, 3, 12), 5.0)
    fixed = mesh.vertices[:, 2] > 60 - 1e-6
    sags = []
    for rate in (TissueSettings().substeps_per_s, 9600):
        settings = TissueSettings(gravity_mm_s2=(0, 0, -9810), damping_per_s=30, substeps_per_s=rate)
        tissue = Tissue([body(mesh, young_kpa=8, fixed=fixed)], settings=settings)
        run(tissue, 0.8)
        sags.append(-tissue.positions[:, 2].min())
    assert sags[0] == pytest.approx(sags[1], rel=0.1)


@pytest.mark.parametrize("young_kpa", [3.0, 50.0])
def test_rest_stays_at_rest_at_coarse_steps(young_kpa):
    mesh = tube(half_length=5)
    tissue = Tissue([body(mesh, young_kpa=young_kpa)], settings=replace(WEIGHTLESS, substeps_per_s=300))
    run(tissue, 0.3)
    assert np.abs(tissue.positions - mesh.vertices).max() < 1e-3
    assert volumes(tissue).sum() == pytest.approx(mesh.volumes().sum(), rel=1e-4)


def test_pulled_tissue_keeps_its_volume_and_lies_still_afterwards():
    mesh = ball(12, 4)
    tissue = Tissue([body(mesh, fixed=mesh.vertices[:, 2] < -7)])
    run(tissue, 0.2)
    top = np.array([0, 0, tissue.positions[:, 2].max() + 0.5])
    tissue.advance(FRAME_S, {"left": tool(top)})
    assert tissue.grasp("left").amount >= 3
    run(tissue, 0.5, lambda share: {"left": tool(top + np.array([0, 0, 8 * share]))})
    assert tissue.positions[:, 2].max() > top[2] + 5
    now = volumes(tissue)
    assert now.sum() == pytest.approx(mesh.volumes().sum(), rel=0.03) and (now > 0).all()
    run(tissue, 0.6, lambda share: {"left": tool(top + np.array([0, 0, 8]))})
    before = tissue.positions
    run(tissue, 0.1, lambda share: {"left": tool(top + np.array([0, 0, 8]))})
    assert np.abs(tissue.positions - before).max() < 0.05


def test_inverted_tissue_comes_back():
    mesh = box((2, 2, 2), 4.0)
    tissue = Tissue([body(mesh)], settings=replace(WEIGHTLESS, damping_per_s=20))
    turned_out = tissue.positions
    turned_out[13] = [-6, 9, -7]  # the middle vertex, pushed out through a side
    tissue.fields.write("positions", turned_out)
    tissue.fields.write("previous", turned_out)
    assert (volumes(tissue) < 0).any()
    run(tissue, 1.0)
    assert np.isfinite(tissue.positions).all() and (volumes(tissue) > 0).all()


def test_instrument_pushes_tissue_out_of_its_way():
    mesh = ball(12, 4)
    tissue = Tissue([body(mesh, fixed=mesh.vertices[:, 2] < -8)], settings=WEIGHTLESS)
    capsule = [0, 0, 8, 0, 0, -60, 3.0]  # from the grip point upwards

    def pressing(share):
        return {"left": tool([2, 0, 15 - 5 * share], capsules=[capsule])}

    run(tissue, 0.6, pressing)
    corners = tissue.positions[tissue.surface().faces].astype(float)
    shares = np.random.default_rng(0).dirichlet(np.ones(3), (len(corners), 30))
    points = np.einsum("fkc,fcx->fkx", shares, corners).reshape(-1, 3)
    end = np.array([2, 0, 10.0])
    along = np.clip((points - end)[:, 2], 0, 68)
    distance = np.linalg.norm(points - end - along[:, None] * [0, 0, 1], axis=1)
    assert distance.min() > 3.0 - 0.35  # everywhere on the triangles, not at their corners alone
    assert tissue.positions[:, 2].max() < 12.5 and (volumes(tissue) > 0).all()
    run(tissue, 1.0)
    assert np.abs(tissue.positions - mesh.vertices).max() < 0.3


def test_friction_drags_tissue_along():
    mesh = box((4, 4, 1), 5.0)
    moved = []
    for friction in (0.0, 0.6):
        settings = replace(WEIGHTLESS, friction=friction)
        tissue = Tissue([body(mesh, fixed=mesh.vertices[:, 2] < 1e-6)], settings=settings)
        rod = [[0, -40, 8, 0, 40, 8, 2.0]]

        def sweep(share, rod=rod):
            return {"left": tool([8 + 4 * max(0, 2 * share - 1), 10, 5.5 + max(0, 1 - 2 * share)], capsules=rod)}

        run(tissue, 0.4, sweep)
        moved.append((tissue.positions - mesh.vertices)[mesh.vertices[:, 2] > 4, 0].mean())
    assert moved[1] > moved[0] + 0.05


def test_organs_do_not_enter_each_other():
    slab = box((6, 6, 2), 5.0, (-15, -15, -10))
    lump = ball(6, 2.5, (0, 0, 7.0))
    bodies = [body(slab, fixed=slab.vertices[:, 2] < -9), body(lump, "gallbladder", 10)]
    tissue = Tissue(bodies, settings=TissueSettings(gravity_mm_s2=(0, 0, -9810), damping_per_s=8))
    run(tissue, 1.0)
    assert np.abs(tissue.velocities).max() < 15
    upper = tissue.positions[tissue.vertex_body == 1]
    lower = tissue.positions[tissue.vertex_body == 0]
    assert 1 < upper[:, 2].mean() < 7
    ceiling = lower[lower[:, 2] > -4]  # the slab's upper side, dented under the ball
    nearest = np.linalg.norm(upper[:, None, :2] - ceiling[None, :, :2], axis=2).argmin(1)
    assert (upper[:, 2] - ceiling[nearest, 2]).min() > -1.2  # within what the slab slopes to the nearest vertex


def test_organs_rest_on_the_obstacle():
    def bowl(points):
        return 40 - np.linalg.norm(points - np.array([0, 0, 40.0], np.float32), axis=-1)

    floor = SampledField.sample(bowl, (-30, -30, -10), (30, 30, 30), 2.0)
    lump = ball(6, 2.5, (3, 0, 7.5))
    settings = TissueSettings(gravity_mm_s2=(0, 0, -9810), damping_per_s=8)
    tissue = Tissue([body(lump)], settings=settings, obstacle=floor)
    run(tissue, 1.0)
    assert floor(tissue.positions).min() > -0.15
    assert np.abs(tissue.velocities).max() < 80 and tissue.positions[:, 2].mean() < 7


def bonded_boxes(stretch_mm: float) -> Tissue:
    """Two cubes, one above the other, joined by 9 strands; the upper one is held 'stretch' above the rest length."""
    lower, upper = box((2, 2, 2), 4.0), box((2, 2, 2), 4.0, (0, 0, 10 + stretch_mm))
    top = np.flatnonzero(lower.vertices[:, 2] > 7.9)
    bottom = np.flatnonzero(upper.vertices[:, 2] < 10.1 + stretch_mm)
    count = len(top)
    numbers = [np.full(count, value) for value in (2.0, 0.5, 1.0)]
    bonds = Bonds(np.zeros(count), top, np.ones(count), bottom, *numbers)
    held = body(upper, "gallbladder", 10, fixed=upper.vertices[:, 2] > 13)
    return Tissue([body(lower, fixed=lower.vertices[:, 2] < 1), held], bonds, WEIGHTLESS)


def test_bonds_pull_and_break_at_their_stretch():
    slack, taut, torn = bonded_boxes(0), bonded_boxes(0.8), bonded_boxes(1.2)
    for tissue, most in ((slack, 0.005), (taut, 0.8)):
        assert run(tissue, 0.3) == []
        risen = tissue.positions[tissue.vertex_body == 0, 2].max() - 8
        assert 0 <= risen + 1e-3 < most
    assert taut.positions[:27, 2].max() > 8.02  # the strands pull
    events = run(torn, 0.3)
    assert [(event.kind, event.body, event.amount) for event in events] == [("bond_broken", "liver", 9)]
    assert torn.bonds.broken.all()


def test_grasped_tissue_follows_until_it_slips():
    mesh = box((4, 4, 4), 5.0)
    tissue = Tissue([body(mesh, fixed=mesh.vertices[:, 2] < 1)], settings=WEIGHTLESS)
    grip = np.array([10.0, 10, 20])
    tissue.advance(FRAME_S, {"left": tool(grip)})
    event = tissue.grasp("left")
    assert (event.body, event.class_id) == ("liver", LIVER) and event.amount >= 3
    held = tissue.grips.held["left"].vertices
    run(tissue, 0.4, lambda share: {"left": tool(grip + np.array([0, 3 * share, 4 * share]))})
    moved = (tissue.positions - mesh.vertices)[held]
    assert np.allclose(moved[:, 1:], [3, 4], atol=0.3)
    force = tissue.grips.held["left"].force_n
    assert 0.05 < force < tissue.settings.grip_slip_n
    released = tissue.release("left")
    assert released.amount == len(held) and not tissue.grips.held
    run(tissue, 1.0, lambda share: {"left": tool(grip + np.array([0, 3, 4]))})
    assert np.abs(tissue.positions - mesh.vertices).max() < 0.3

    weak = Tissue([body(mesh, fixed=mesh.vertices[:, 2] < 1)], settings=replace(WEIGHTLESS, grip_slip_n=0.6 * force))
    weak.advance(FRAME_S, {"left": tool(grip)})
    weak.grasp("left")
    events = run(weak, 0.4, lambda share: {"left": tool(grip + np.array([0, 3 * share, 4 * share]))})
    assert [event.kind for event in events] == ["slip"] and events[0].amount > 0.6 * force
    assert not weak.grips.held


def test_grasp_that_catches_nothing_says_so():
    tissue = Tissue([body(box((1, 1, 1), 4.0))], settings=WEIGHTLESS)
    tissue.advance(FRAME_S, {"left": tool([30, 0, 0])})
    event = tissue.grasp("left")
    assert (event.kind, event.amount, event.body) == ("grasp", 0, None)
    assert tissue.release("left").amount == 0
    assert tissue.clip("left").amount == 0


def test_tool_that_leaves_lets_go():
    tissue = Tissue([body(box((2, 2, 2), 4.0))], settings=WEIGHTLESS)
    tissue.advance(FRAME_S, {"left": tool([4, 4, 8])})
    assert tissue.grasp("left").amount > 0
    assert kinds(tissue.advance(FRAME_S, {})) == {"release"}
    with pytest.raises(ValueError, match="expected a tool among"):
        tissue.grasp("left")


def test_clip_closes_the_tube_for_good():
    mesh = tube()
    fixed = np.abs(mesh.vertices[:, 0]) > 11.5
    tissue = Tissue([body(mesh, "gallbladder", CYSTIC_DUCT, fixed, young_kpa=15)], settings=WEIGHTLESS)
    across = np.array([[0, 1.0, 0], [1, 0, 0], [0, 0, -1]]).T  # jaws close along y
    tissue.advance(FRAME_S, {"right": tool([1, 0, 0], rotation=across)})
    event = tissue.clip("right")
    assert (event.kind, event.class_id) == ("clip", CYSTIC_DUCT) and event.amount > 10
    run(tissue, 0.5)
    (clip,) = tissue.clips
    inside = clip.vertices[np.abs(clip.caught[:, 1]) < 0.6]

    def thickness():
        return np.ptp((tissue.positions[inside] - clip.world_from_clip[:3, 3]) @ clip.world_from_clip[:3, 0])

    assert clip.closed_mm == pytest.approx(tissue.settings.clip_gap_mm)
    assert thickness() == pytest.approx(tissue.settings.clip_gap_mm, abs=0.4)
    assert np.abs(clip.world_from_clip[:3, 0] @ [0, 1, 0]) > 0.85  # the soft tube turns a little
    assert (volumes(tissue) < 0).mean() < 0.01
    tissue.advance(FRAME_S, {"left": tool([4, 0, 0], grip_reach_mm=3.0)})
    assert tissue.grasp("left").amount > 0
    run(tissue, 0.4, lambda share: {"left": tool([4, 0, 8 * share], grip_reach_mm=3.0)})
    (clip,) = tissue.clips
    assert clip.world_from_clip[2, 3] > 2  # it goes with the tissue
    assert thickness() == pytest.approx(tissue.settings.clip_gap_mm, abs=0.4)


def electrode(point, watts: float) -> ToolState:
    return tool(point, heating_w=watts, heat_point=np.array([0, 0, 8.0]))


def test_heat_is_conserved_and_spreads():
    mesh = ball(8, 2.5)
    settings = replace(WEIGHTLESS, perfusion_per_s=0)
    tissue = Tissue([body(mesh)], settings=settings)
    top = np.array([0, 0, 8.0])
    for _ in range(30):
        tissue.advance(FRAME_S, {"right": electrode(top, 2.0)})
    capacity = tissue.masses * settings.heat_capacity_j_per_g_k
    assert (capacity * (tissue.temperature_c - 37)).sum() == pytest.approx(2.0 * 0.5, rel=0.01)
    hottest = tissue.temperature_c.max()
    run(tissue, 1.0)
    assert (capacity * (tissue.temperature_c - 37)).sum() == pytest.approx(2.0 * 0.5, rel=0.01)
    assert 37.5 < tissue.temperature_c.max() < 0.97 * hottest


def test_electrode_coagulates_then_vaporises_with_smoke():
    mesh = ball(8, 2.5)
    tissue = Tissue([body(mesh, fixed=mesh.vertices[:, 2] < -5)], settings=WEIGHTLESS)
    top = np.array([0, 0, 8.0])
    events, smoke = [], 0.0
    for _ in range(60):
        events += tissue.advance(FRAME_S, {"right": electrode(top, 40.0)})
        smoke += sum(source.rate_mg_per_s for source in tissue.smoke) * FRAME_S
    assert {"coagulate", "vaporise"} <= kinds(events) and all(event.tool == "right" for event in events)
    assert 1 < smoke < 20 and tissue.temperature_c.max() <= 100
    assert (~tissue.active).any() and tissue.surface().inner.any()
    assert tissue.burn.max() > 1 and tissue.burn[mesh.vertices[:, 2] < 0].max() < 0.01
    hanging_air = Tissue([body(mesh)], settings=WEIGHTLESS)
    for _ in range(5):
        hanging_air.advance(FRAME_S, {"right": electrode([0, 0, 11], 40.0)})
    assert hanging_air.temperature_c.max() == 37


def test_heat_breaks_bonds():
    tissue = bonded_boxes(0.8)
    for _ in range(12):
        events = tissue.advance(FRAME_S, {"right": electrode([0, 0, 8.3], 30.0)})
    corner = np.linalg.norm(tissue.rest[tissue.bonds.vertices[:, 0], :2], axis=1)
    assert tissue.bonds.broken[corner < 0.1].all() and not tissue.bonds.broken[corner > 5].any()
    assert "bond_broken" not in kinds(events)  # said once


def test_overstressed_tissue_tears_and_keeps_its_volume():
    mesh = box((2, 2, 8), 4.0)
    fixed = mesh.vertices[:, 2] < 1
    bar = body(mesh, fixed=fixed, strength_kpa=1.5, young_kpa=6)
    tissue = Tissue([bar], settings=replace(WEIGHTLESS, grip_slip_n=50))
    tissue.advance(FRAME_S, {"left": tool([4, 4, 32])})
    tissue.grasp("left")
    events = run(tissue, 0.8, lambda share: {"left": tool([4, 4, 32 + 18 * share])})
    tears = [event for event in events if event.kind == "tear"]
    assert tears and all(event.body == "liver" and event.amount > 0 for event in tears)
    assert "bleed" in kinds(events) and tissue.surface().inner.any()
    run(tissue, 0.2, lambda share: {"left": tool([4, 4, 50])})
    assert (tissue.topology.pieces(tissue.active).max()) >= 1  # torn in two
    assert volumes(tissue).sum() == pytest.approx(mesh.volumes().sum(), rel=0.03)


def test_equal_seeds_give_equal_bytes():
    def play() -> bytes:
        mesh = box((2, 2, 6), 4.0)
        tissue = Tissue([body(mesh, fixed=mesh.vertices[:, 2] < 1, strength_kpa=2.0)], seed=5)
        tissue.advance(FRAME_S, {"left": tool([4, 4, 24])})
        tissue.grasp("left")
        run(tissue, 0.4, lambda share: {"left": tool([4, 4, 24 + 14 * share]), "right": electrode([0, 0, 24], 20.0)})
        return tissue.positions.tobytes() + tissue.burn.tobytes() + tissue.tets.tobytes()

    assert play() == play()


def test_step_changes_do_not_change_velocities():
    tissue = Tissue([body(box((1, 1, 1), 4.0))], settings=replace(UNDAMPED, gravity_mm_s2=(0, 0, 0)))
    tissue.fields.write("previous", tissue.positions - np.float32([0.05, 0, 0]))
    speed = tissue.velocities[0, 0]
    tissue.advance(1 / 60, {})
    tissue.advance(1 / 59.3, {})
    assert tissue.velocities[:, 0] == pytest.approx(speed, rel=1e-3)


def test_wrong_material_and_bonds_are_refused():
    mesh = box((1, 1, 1), 4.0)
    with pytest.raises(ValueError, match=r"expected poisson in 0\.0\.\.0\.495, got 0\.5"):
        TissueMaterial(5, 0.5)
    with pytest.raises(ValueError, match=r"liver: expected classes \[6\], got \[5\]"):
        Body("liver", mesh, TissueMaterial(5), np.zeros(5), np.zeros(8, bool))
    with pytest.raises(ValueError, match="different names"):
        Tissue([body(mesh), body(mesh)])
    with pytest.raises(ValueError, match="number beyond the last vertex"):
        Tissue([body(mesh)], Bonds([0], [3], [0], [8], [1.0], [1.0], [1.0]))
    with pytest.raises(ValueError, match="duration above 0"):
        Tissue([body(mesh)]).advance(0, {})
    with pytest.raises(ValueError, match="at most 31 capsules"):
        Tissue([body(mesh)]).advance(0.1, {"left": tool([0, 0, 0], capsules=np.zeros((32, 7)))})
    with pytest.raises(ValueError, match="heat_point"):
        tool([0, 0, 0], heating_w=3.0)


@pytest.mark.skipif(not wp.is_cuda_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu():
    mesh = ball(10, 3)
    results = []
    for device in ("cpu", "cuda"):
        bodies = [body(mesh, fixed=mesh.vertices[:, 2] < -6), body(tube(half_length=6), "artery", CYSTIC_ARTERY)]
        tissue = Tissue(bodies[:1], device=device)
        tissue.advance(FRAME_S, {"left": tool([0, 0, 10])})
        tissue.grasp("left")
        run(tissue, 0.3, lambda share: {"left": tool([0, 0, 10 + 4 * share]), "right": electrode([5, 0, 8.6], 10.0)})
        results.append((tissue.positions, tissue.temperature_c))
    assert np.abs(results[0][0] - results[1][0]).max() < 0.02
    assert np.abs(results[0][1] - results[1][1]).max() < 0.5
