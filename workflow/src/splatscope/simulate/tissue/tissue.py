"""Deformable organs on one device, and everything instruments do to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import warp as wp

from splatscope.meshes.distance_fields import SampledField
from splatscope.meshes.instruments.tool_state import ToolState
from splatscope.simulate.tissue import actions, changes
from splatscope.simulate.tissue.bleeding import BleedingSource
from splatscope.simulate.tissue.body import Body, Bonds
from splatscope.simulate.tissue.bond_set import BondSet
from splatscope.simulate.tissue.clips import Clip, Clips
from splatscope.simulate.tissue.contacts import Contacts
from splatscope.simulate.tissue.elements import Elements
from splatscope.simulate.tissue.events import TissueEvent
from splatscope.simulate.tissue.grips import Grips
from splatscope.simulate.tissue.heat import Heat, Smoke
from splatscope.simulate.tissue.launches import Launches
from splatscope.simulate.tissue.settings import TissueSettings
from splatscope.simulate.tissue.solver_kernels import predict
from splatscope.simulate.tissue.tearing import Tearing
from splatscope.simulate.tissue.tool_motion import ToolMotion
from splatscope.simulate.tissue.topology import Parting, Surface, Topology
from splatscope.simulate.tissue.vertex_fields import VertexFields

CARRYING = 10.0  # times its mass, the inertia of a vertex that carries a bond or a contact
LED_GRAM = 0.2  # inertia, at the least, of a vertex in jaws or pressed by an instrument


SETTLING_DAMPING_PER_S = 100.0  # as in honey: things sink at a tenth of a metre a second
CONTACT_SEARCHES_PER_S = 30


class Tissue:
    """All bodies in one set of arrays; tetrahedra and vertices are numbered through in the order of the bodies.

    `obstacle` is the signed distance (mm, negative inside) of rigid surroundings that tissue does not enter. The seed
    varies the tearing strength from tetrahedron to tetrahedron. Raises ValueError for no body, two bodies of one name,
    or bonds to vertices that do not exist.
    """

    def __init__(
        self,
        bodies: list[Body],
        bonds: Bonds | None = None,
        settings: TissueSettings | None = None,
        device: str = "cpu",
        seed: int = 0,
        obstacle: SampledField | None = None,
    ):
        self.settings, self.device = settings or TissueSettings(), device
        self.bodies = [body.name for body in bodies]
        if not bodies or len(set(self.bodies)) < len(bodies):
            raise ValueError(f"expected one or more bodies of different names, got {self.bodies}")
        sizes = [len(body.mesh.vertices) for body in bodies]
        self.body_starts = np.cumsum([0, *sizes])  # first vertex of each body; its own vertices follow in order
        bonds = bonds if bonds is not None else Bonds.none()
        _check_bonds(bonds, sizes)
        self.rest = np.concatenate([body.mesh.vertices for body in bodies]).astype(np.float32)
        tets = np.concatenate([body.mesh.tets + start for body, start in zip(bodies, self.body_starts)])
        self.topology = Topology(tets, len(self.rest))
        self.tet_class = np.concatenate([body.classes for body in bodies])
        self.tet_body = np.repeat(np.arange(len(bodies), dtype=np.int32), [len(body.mesh.tets) for body in bodies])
        self.vertex_body = np.repeat(np.arange(len(bodies), dtype=np.int32), sizes)
        self.fixed = np.concatenate([body.fixed for body in bodies])
        self.origin = np.arange(len(self.rest))  # vertex before all cuts that each vertex is a copy of, or is

        self.fields = VertexFields(len(self.rest), device)
        for name in ("positions", "previous"):
            self.fields.add(name, self.rest, wp.vec3)
        for name in ("inverse_mass", "weight"):  # weight: over inertia, the share of gravity that a vertex feels
            self.fields.add(name, np.zeros(len(self.rest), np.float32), float)
        self.elements = Elements(bodies, tets, self.rest, self.settings, device)
        self.heat = Heat(self.settings, self.elements, self.fields, device)
        self.bonds = BondSet(bonds, self.body_starts, device)
        self.clip_set = Clips(self.settings, device)
        self.grips = Grips(self.settings, device)
        self._contacts = Contacts(self.settings, obstacle, device)
        spread = np.random.default_rng(seed).normal(1, self.settings.strength_spread, len(tets))
        strength_pa = self.elements.strength_pa * np.clip(spread, 0.5, 1.5)
        self.tearing = Tearing(strength_pa, self.elements, device)
        self.coagulated = np.zeros(len(tets), bool)

        self.time_s = 0.0
        self.bleeding: list[BleedingSource] = []
        self._tools: dict[str, ToolState] = {}
        self._step_s = 1 / self.settings.substeps_per_s
        self._pending: list[TissueEvent] = []
        self._update_mass()

    # what it is now

    @property
    def positions(self) -> np.ndarray:
        """float32 [V, 3] mm; V grows with cuts."""
        return self.fields.read("positions")

    @property
    def velocities(self) -> np.ndarray:
        """float32 [V, 3] mm/s over the last substep."""
        return (self.fields.read("positions") - self.fields.read("previous")) / np.float32(self._step_s)

    @property
    def temperature_c(self) -> np.ndarray:
        """float32 [V]."""
        return self.fields.read("temperature")

    @property
    def burn(self) -> np.ndarray:
        """float32 [V]: 0 raw, 1 coagulated white, above 1 dried and charred."""
        return self.fields.read("burn")

    @property
    def tets(self) -> np.ndarray:
        """int32 [T, 4] into the vertices; cuts change vertices, never the numbering of tetrahedra."""
        return self.topology.tets

    @property
    def active(self) -> np.ndarray:
        """bool [T]; False where the tetrahedron was vaporised."""
        return self.topology.active

    @property
    def topology_version(self) -> int:
        """Grows whenever `tets`, `active` or the surface change."""
        return self.topology.version

    @property
    def clips(self) -> list[Clip]:
        """All clips, with their poses now."""
        return self.clip_set.placed

    @property
    def smoke(self) -> list[Smoke]:
        """Vapour of the last interval."""
        return self.heat.smoke

    def surface(self) -> Surface:
        return self.topology.surface()

    # what happens to it

    def advance(self, duration_s: float, tools: Mapping[str, ToolState]) -> list[TissueEvent]:
        """Let time pass while every tool moves steadily from where it was to its given state.

        A tool that is no longer there lets go of what it held. Returns what happened, with what happened between the
        calls (bleeding that a cut began). Raises FloatingPointError when the solver has lost the tissue.
        """
        if not duration_s > 0:
            raise ValueError(f"expected a duration above 0 s, got {duration_s}")
        for name in [name for name in self.grips.held if name not in tools]:
            self._pending.append(self.release(name))
        steps = max(1, math.ceil(duration_s * self.settings.substeps_per_s - 1e-6))
        self._set_step(duration_s / steps)
        self._weigh()
        motion = ToolMotion(self._tools, tools, steps, self.device)
        launches = self._launches(motion, self.positions)
        for step in range(steps):
            launches.run(step)
        self._tools = dict(tools)
        self.time_s += duration_s
        events, self._pending = self._pending, []
        positions = self.positions
        if not np.isfinite(positions).all():
            raise FloatingPointError(f"the tissue's motion has no solution from {self.time_s:.2f} s on")
        self.clip_set.finish(duration_s)
        events += changes.slip(self, duration_s, positions)
        events += changes.break_bonds(self, positions)
        events += changes.heat(self, duration_s, tools, positions)
        events += changes.tear(self, duration_s, self.positions)
        return events

    def settle(self, duration_s: float) -> None:
        """Let everything sink to where it lies under its own weight, nothing tearing, and begin there at rest."""
        tearing, self.tearing.enabled = self.tearing.enabled, False
        settings, self.settings = self.settings, replace(self.settings, damping_per_s=SETTLING_DAMPING_PER_S)
        self.bonds.hold()
        for _ in range(round(duration_s * CONTACT_SEARCHES_PER_S)):
            self.advance(1 / CONTACT_SEARCHES_PER_S, {})
        self.bonds.hold_no_more(self.positions)
        self.tearing.enabled, self.settings = tearing, settings
        self.fields.write("previous", self.positions)
        self.time_s = 0.0

    def grasp(self, tool: str) -> TissueEvent:
        """Hold the tissue between the jaws of a tool, as it was at the last `advance`, until release or slip."""
        return actions.grasp(self, tool, self._state_of(tool))

    def release(self, tool: str) -> TissueEvent:
        """Open the jaws."""
        return actions.release(self, tool)

    def cut(self, tool: str) -> TissueEvent:
        """Part the tissue along the tool's blade. Raises ValueError for a tool without one."""
        return actions.cut(self, tool, self._state_of(tool))

    def clip(self, tool: str) -> TissueEvent:
        """Close the duct or artery between the jaws for good."""
        return actions.clip(self, tool, self._state_of(tool))

    # for the modules of this package

    def event(self, kind: str, tool: str | None, point, amount: float, body: int | None, class_id: int | None, **more):
        name = None if body is None else self.bodies[body]
        class_id = None if class_id is None else int(class_id)
        return TissueEvent(self.time_s, kind, tool, name, class_id, tuple(map(float, point)), float(amount), **more)

    def note(self, event: TissueEvent) -> None:
        """Have the next `advance` report an event."""
        self._pending.append(event)

    def apply(self, parting: Parting) -> None:
        """Bring everything in step with a changed topology."""
        parents = parting.parents
        self.rest = np.concatenate([self.rest, self.rest[parents]])
        self.vertex_body = np.concatenate([self.vertex_body, self.vertex_body[parents]])
        self.fixed = np.concatenate([self.fixed, self.fixed[parents]])
        self.origin = np.concatenate([self.origin, self.origin[parents]])
        self.fields.inherit(parents)
        self.elements.upload(self.topology)
        self._update_mass()
        gone = np.flatnonzero(self.masses == 0)
        self.grips.drop_vertices(gone)
        loose = np.flatnonzero(np.isin(self.bonds.vertices, gone).any(1))
        if len(loose):
            self.bonds.fail(loose)
        self.heat.topology_changed()

    def _update_mass(self) -> None:
        self.masses = self.elements.masses(self.topology)  # g [V]; 0 where nothing is left
        self._base_inertia = self.elements.inertia(self.topology, self._step_s)
        self._inverse_mass = None
        self._contacts.surface_changed(self.surface(), self.vertex_body, self.fields)

    def _weigh(self) -> None:
        """Give vertices that carry a concentrated force more inertia (not more weight).

        With one iteration a step, a vertex of mass m passes on a force F by being thrown to and fro by F h^2 / m every
        substep: a light one crushes the tetrahedra about it under forces that the tissue bears easily.
        """
        carrying, led = np.zeros((2, len(self.masses)), bool)
        carrying[self.bonds.vertices[~self.bonds.broken]] = True
        carrying[self._contacts.touching()] = True
        led[self.grips.vertices()] = True
        led[self._contacts.pressed()] = True
        inertia = np.where(carrying, CARRYING * self._base_inertia, self._base_inertia)
        inertia[led] = np.maximum(CARRYING * inertia[led], LED_GRAM)
        free = ~self.fixed & (self.masses > 0)
        inverse = np.divide(1, inertia, out=np.zeros_like(inertia), where=free).astype(np.float32)
        changed = np.ones(len(inverse), bool) if self._inverse_mass is None else inverse != self._inverse_mass
        if changed.any():
            self._inverse_mass = inverse
            self.fields.write("inverse_mass", inverse)
            self.fields.write("weight", (self.masses * inverse).astype(np.float32))
            self.elements.material_changed(changed)

    def _set_step(self, step_s: float) -> None:
        """Velocities are displacements over the last step: another step takes other displacements."""
        if step_s != self._step_s:
            here, ratio = self.positions, np.float32(step_s / self._step_s)
            self.fields.write("previous", here - (here - self.fields.read("previous")) * ratio)
            self._step_s = step_s
            self._base_inertia = self.elements.inertia(self.topology, step_s)

    def _launches(self, motion: ToolMotion, positions: np.ndarray) -> Launches:
        settings, fields, step = self.settings, self.fields, self._step_s
        launches = Launches(self.device)
        fall = wp.vec3(*(acceleration * step**2 for acceleration in settings.gravity_mm_s2))
        state = [fields["positions"], fields["previous"], fields["inverse_mass"]]
        kept, farthest = math.exp(-settings.damping_per_s * step), settings.top_speed_mm_s * step
        launches.add(predict, fields.count, [*state[:2], fields["weight"], kept, farthest, fall])
        self.elements.add_to(launches, fields, step)
        self.bonds.add_to(launches, state[0], state[2], step)
        self.clip_set.add_to(launches, state[0], state[2])
        self.grips.add_to(launches, motion, state[0], state[2], step)
        held = np.zeros((fields.count, len(motion.names)), bool)
        for tool, grip in self.grips.held.items():
            held[grip.vertices, motion.names.index(tool)] = True
        self._contacts.add_to(launches, motion, held, fields, positions, step)
        return launches

    def _state_of(self, tool: str) -> ToolState:
        if tool not in self._tools:
            raise ValueError(f"expected a tool among {sorted(self._tools)} of the last advance(), got {tool!r}")
        return self._tools[tool]


def _check_bonds(bonds: Bonds, sizes: list[int]) -> None:
    for body, vertex in ((bonds.first_body, bonds.first_vertex), (bonds.second_body, bonds.second_vertex)):
        if len(body) and not ((body >= 0) & (body < len(sizes))).all():
            raise ValueError(f"expected bonds between bodies 0..{len(sizes) - 1}, got {body.min()}..{body.max()}")
        if len(body) and not ((vertex >= 0) & (vertex < np.array(sizes)[body])).all():
            raise ValueError("expected bonds between vertices of their bodies, got a number beyond the last vertex")
