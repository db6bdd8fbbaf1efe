"""The CPU's solver, a group of tetrahedra at a time, against the plain one; and how the groups are filled."""

from dataclasses import replace

import numpy as np
import pytest
import warp as wp

from splatscope.simulate.tissue.elements import Elements
from splatscope.simulate.tissue.launches import Launches
from splatscope.simulate.tissue.settings import CYSTIC_DUCT
from splatscope.simulate.tissue.solver_kernels import GROUP, solve_neo_hookean
from splatscope.simulate.tissue.tissue import Tissue
from tissue_material import WEIGHTLESS, ball, body, tool, tube

FRAME_S = 1 / 60


def strained() -> Tissue:
    """Two organs of unlike stiffness whose vertices are displaced at random, with a few tetrahedra inside out."""
    mesh = ball(10, 3)
    bodies = [body(mesh, young_kpa=4, fixed=mesh.vertices[:, 2] < -7), body(tube(), "duct", CYSTIC_DUCT, young_kpa=40)]
    tissue = Tissue(bodies, settings=WEIGHTLESS)
    tissue.advance(FRAME_S, {})
    shaken = tissue.positions + np.random.default_rng(3).normal(0, 0.4, tissue.rest.shape)
    tissue.fields.write("positions", shaken.astype(np.float32))
    return tissue


def solved_plainly(elements: Elements, positions: wp.array) -> np.ndarray:
    result = wp.clone(positions)
    for first, end in elements.ranges:
        wp.launch(solve_neo_hookean, end - first, [result, elements.corners, elements.numbers, first], device="cpu")
    return result.numpy()


def test_groups_are_solved_as_single_tetrahedra_are():
    tissue = strained()
    before = tissue.fields["positions"].numpy().copy()
    launches = Launches("cpu")
    tissue.elements.add_to(launches, tissue.fields, FRAME_S / 20)
    plain = solved_plainly(tissue.elements, tissue.fields["positions"])
    launches.run(0)
    wide = tissue.fields["positions"].numpy()
    assert np.abs(plain - before).max() > 0.1
    assert wide == pytest.approx(plain, abs=2e-5)


def test_every_tetrahedron_has_one_place_and_groups_share_no_vertex():
    elements = strained().elements
    places = np.concatenate([np.arange(first, end) for first, end in elements.ranges])
    assert (np.bincount(elements.tet_at[places]) == 1).all() and len(places) == len(elements.order)
    corners = elements.corners.numpy().swapaxes(1, 2)  # [groups, GROUP, 4]
    for tets, group in zip(elements.tet_at.reshape(-1, GROUP), corners):
        different = group[np.unique(tets, return_index=True)[1]]
        assert len(np.unique(different)) == different.size


def test_only_what_changed_is_packed_anew_and_nothing_is_forgotten():
    mesh = ball(10, 3)
    quick_to_go = replace(WEIGHTLESS, vaporised=0.9)
    tissue = Tissue([body(mesh, fixed=mesh.vertices[:, 2] < -7)], settings=quick_to_go)
    top = np.array([0, 0, 10.0])
    rod = [[0, 0, 5.5, 0, 0, -60, 2.0]]  # presses vertices, whose inertia grows
    for share in np.linspace(0, 1, 40):
        hot = {"heating_w": 60.0, "heat_point": np.array([0, 0, 8.0])} if share < 0.7 else {}
        tissue.advance(FRAME_S, {"right": tool(top - [0, 0, 2 * share], capsules=rod, **hot)})
    assert not tissue.active.all() and tissue.burn.max() > 0.9
    tissue._weigh()
    step = tissue._step_s
    tissue.elements.add_to(Launches("cpu"), tissue.fields, step)
    kept = tissue.elements.numbers.numpy().copy(), tissue.elements.corners.numpy().copy()
    tissue.elements.material_changed(np.ones(tissue.fields.count, bool))
    tissue.elements.add_to(Launches("cpu"), tissue.fields, step)
    assert np.array_equal(kept[0], tissue.elements.numbers.numpy())
    assert np.array_equal(kept[1], tissue.elements.corners.numpy())
