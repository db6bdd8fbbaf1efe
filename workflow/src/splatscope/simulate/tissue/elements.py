"""The tetrahedra on the device, sorted by colour, and what they weigh."""

from __future__ import annotations

import numpy as np
import warp as wp

from splatscope.simulate.tissue.body import Body
from splatscope.simulate.tissue.colouring import by_colour, colour
from splatscope.simulate.tissue.device_arrays import upload
from splatscope.simulate.tissue.launches import Launches
from splatscope.simulate.tissue.settings import TissueSettings
from splatscope.simulate.tissue.solver_kernels import GROUP, NUMBERS, pack_tets, solve_neo_hookean
from splatscope.simulate.tissue.topology import Topology
from splatscope.simulate.tissue.vertex_fields import VertexFields
from splatscope.simulate.tissue.wide_solver import solve_groups

WAVE = 8.0  # square of the least number of substeps in which a stress wave crosses a tetrahedron


class Elements:
    """Host arrays are in the order of the bodies; device arrays in the order of colours: `order` maps between.

    For the solver, tetrahedra stand in groups (`corners`, `numbers`: see solver_kernels.pack_tets): `tet_at` says which
    stands at each place, `ranges` at which places (start, end) those of each colour.
    """

    def __init__(self, bodies: list[Body], tets: np.ndarray, rest: np.ndarray, settings: TissueSettings, device: str):
        self._device = device
        edges = (rest[tets[:, 1:]] - rest[tets[:, :1]]).swapaxes(1, 2).astype(np.float64)  # columns x1-x0, x2-x0, x3-x0
        self.volume = np.linalg.det(edges) / 6  # mm^3 [T]

        def per_tet(value):
            return np.concatenate([np.full(len(body.mesh.tets), value(body)) for body in bodies])

        self.density = per_tet(lambda body: body.material.density)
        self.young_pa = per_tet(lambda body: body.material.young_kpa) * 1e3
        self.strength_pa = per_tet(lambda body: body.material.strength_kpa) * 1e3
        poisson = per_tet(lambda body: body.material.poisson)
        tubes = np.isin(np.concatenate([body.classes for body in bodies]), sorted(settings.tubes))
        poisson[tubes] = np.minimum(poisson[tubes], settings.tube_poisson)
        mu = self.young_pa / (2 * (1 + poisson))  # Lamé's
        # at small strains the energy of solve_neo_hookean has Lamé's lambda less mu (Smith et al. 2018, section 3.4)
        bulk = 2 * mu * poisson / (1 - 2 * poisson) + mu
        soft = np.stack([1 / (mu * self.volume), 1 / (bulk * self.volume)], -1)
        self.colours = colour(tets, len(rest))
        self.order, ranges = by_colour(self.colours)
        inverse = np.linalg.inv(edges)[self.order]
        self.tets = wp.array(tets[self.order], dtype=wp.vec4i, device=device)
        self.raw_inverse_rest = wp.array(inverse, dtype=wp.mat33, device=device)
        self.inverse_rest = wp.clone(self.raw_inverse_rest)
        self.raw_compliance = wp.array(soft[self.order], dtype=wp.vec2, device=device)
        self.compliance = wp.clone(self.raw_compliance)
        self.device_volume = wp.array(self.volume[self.order], dtype=float, device=device)
        self._place_in_groups(ranges, tets)

    def _place_in_groups(self, ranges: list[tuple[int, int]], tets: np.ndarray) -> None:
        """Every colour begins a group; what is left of its last one repeats the colour's last tetrahedron."""
        filled = [
            np.minimum(np.arange(start, start + -(-(end - start) // GROUP) * GROUP), end - 1) for start, end in ranges
        ]
        self.tet_at = np.concatenate(filled)
        firsts = np.cumsum([0, *map(len, filled)])
        self.ranges = [(int(first), int(first) + end - start) for first, (start, end) in zip(firsts, ranges)]
        groups = len(self.tet_at) // GROUP
        self._tet_at_device = upload(self.tet_at, wp.int32, self._device)
        self.corners = wp.zeros((groups, 4, GROUP), dtype=wp.int32, device=self._device)
        self.numbers = wp.zeros((groups, NUMBERS, GROUP), dtype=float, device=self._device)
        self._tets_by_place = tets[self.order][self.tet_at]
        self._stale = np.ones(len(self.tet_at), bool)
        self._packed_for = 0.0  # substep in s

    def upload(self, topology: Topology) -> None:
        """After tetrahedra changed their vertices or went away."""
        self.tets.assign(topology.tets[self.order])
        for compliance in (self.raw_compliance, self.compliance):
            compliance.assign(np.where(topology.active[self.order, None], compliance.numpy(), 0))
        self._tets_by_place = topology.tets[self.order][self.tet_at]
        self._stale[:] = True

    def material_changed(self, vertices: np.ndarray) -> None:
        """Masses, stiffness or rest shapes are others now about some vertices (bool [V])."""
        self._stale |= vertices[self._tets_by_place].any(1)

    def masses(self, topology: Topology) -> np.ndarray:
        """Gram [V]: a quarter of each tetrahedron goes to each of its corners."""
        return self._lumped(self.density, topology)

    def inertia(self, topology: Topology, step_s: float) -> np.ndarray:
        """Gram [V]: the masses, raised where a stress wave would cross a tetrahedron too fast (selective mass scaling):
        with one iteration a step, small stiff tetrahedra could not pass on the forces that they bear. They keep their
        weight, so what lies and hangs is as it should be, but a loose piece of them falls more slowly."""
        edge = np.cbrt(6 * np.sqrt(2) * self.volume)
        return self._lumped(np.maximum(self.density, WAVE * self.young_pa * (step_s / edge) ** 2), topology)

    def _lumped(self, density: np.ndarray, topology: Topology) -> np.ndarray:
        share = np.where(topology.active, self.volume * density / 4, 0)
        return np.bincount(topology.tets.ravel(), np.repeat(share, 4), minlength=topology.vertex_count)

    def add_to(self, launches: Launches, fields: VertexFields, step_s: float) -> None:
        if self._packed_for != step_s:
            self._packed_for = step_s
            self._stale[:] = True
        stale = np.flatnonzero(self._stale)
        if len(stale):
            self._stale[:] = False
            material = [self.tets, self.inverse_rest, self.compliance, 1 / step_s**2]
            wp.launch(
                pack_tets,
                dim=len(stale),
                inputs=[upload(stale, wp.int32, self._device), self._tet_at_device, fields["inverse_mass"], *material],
                outputs=[self.corners, self.numbers],
                device=self._device,
            )
        packed = [fields["positions"], self.corners, self.numbers]
        if self._device == "cpu":
            launches.add(solve_groups, len(self.tet_at) // GROUP, packed)
        else:
            launches.add_coloured(solve_neo_hookean, self.ranges, packed)
