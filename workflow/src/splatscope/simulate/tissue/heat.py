"""Instruments that heat tissue: coagulation, vaporisation, smoke."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import warp as wp

from splatscope.meshes.instruments.tool_state import ToolState
from splatscope.simulate.tissue.device_arrays import upload
from splatscope.simulate.tissue.elements import Elements
from splatscope.simulate.tissue.heat_kernels import conduct, set_material, warm
from splatscope.simulate.tissue.settings import TissueSettings
from splatscope.simulate.tissue.topology import Topology
from splatscope.simulate.tissue.vertex_fields import VertexFields

COLD_C = 0.5  # above body temperature: below this nothing is computed
WATER_SHARE = 0.7
COOLING_STEP_S = 0.1  # between two computations where no electrode heats
VISIBLE_BURN = 1e-3  # change of burn that the tissue's stiffness and colour follow


@dataclass(frozen=True)
class Smoke:
    """Vapour that leaves the tissue."""

    point: tuple[float, float, float]  # mm
    rate_mg_per_s: float


@dataclass
class HeatedSpot:
    """Where one electrode touches."""

    tool: str
    point: np.ndarray  # [3] mm
    vertices: np.ndarray  # int [N]
    joules: np.ndarray  # [N] that each receives in the interval


class Heat:
    """Temperature and damage of all bodies on one device. Fields: temperature, damage, dried, burn."""

    def __init__(self, settings: TissueSettings, elements: Elements, fields: VertexFields, device: str):
        self._settings, self._elements, self._fields, self._device = settings, elements, fields, device
        cold = np.zeros(fields.count, np.float32)
        for name in ("damage", "dried", "burn", "supplied", "heat_capacity", "water_heat"):
            fields.add(name, cold, float)
        fields.add("temperature", cold + settings.body_temperature_c, float)
        self._warm = False
        self._waited_s = 0.0  # since heat was computed last
        self._stale = True
        self.smoke: list[Smoke] = []

    def topology_changed(self) -> None:
        self._stale = True

    def _prepare(self, topology: Topology) -> None:
        elements, settings = self._elements, self._settings
        tets = topology.tets[elements.order].ravel()
        entries = np.argsort(tets, kind="stable")
        starts = np.searchsorted(tets[entries], np.arange(topology.vertex_count + 1))

        self._entries, self._starts = (upload(values, wp.int32, self._device) for values in (entries, starts))
        conductance = np.where(topology.active, elements.volume * settings.conductivity_w_per_mm_k, 0)[elements.order]
        self._conductance = upload(conductance, float, self._device)
        self._flow = wp.zeros(len(conductance), dtype=wp.vec3, device=self._device)
        masses = elements.masses(topology).astype(np.float32)
        self._fields.write("heat_capacity", masses * settings.heat_capacity_j_per_g_k)
        self._fields.write("water_heat", masses * settings.water_heat_j_per_g)
        self._stale = False

    def advance(self, duration_s: float, spots: list[HeatedSpot], topology: Topology) -> bool:
        """Let heat flow for an interval; whether anything burnt. Tissue that cools does so in longer steps."""
        self.smoke = []
        if not spots and not self._warm:
            return False
        self._waited_s += duration_s
        if not spots and self._waited_s < COOLING_STEP_S - 1e-6:
            return False
        if self._stale:
            self._prepare(topology)
        fields, settings, elements = self._fields, self._settings, self._elements
        supplied = np.zeros(fields.count, np.float32)
        for spot in spots:
            np.add.at(supplied, spot.vertices, spot.joules)
        fields.write("supplied", supplied)
        before = fields.read("dried")
        state = [fields[name] for name in ("temperature", "damage", "dried")]
        self._launch(
            conduct,
            len(self._conductance),
            *[elements.tets, elements.raw_inverse_rest, self._conductance, state[0], self._flow],
        )
        self._launch(
            warm,
            fields.count,
            *[elements.raw_inverse_rest, self._flow, self._starts, self._entries],
            *[fields[name] for name in ("heat_capacity", "water_heat", "supplied")],
            *[settings.body_temperature_c, settings.perfusion_per_s, settings.boiling_c, self._waited_s],
            *state,
        )
        self._waited_s = 0.0
        dried = fields.read("dried")
        burnt = self._burn(1 - np.exp(-fields.read("damage")) + dried)
        grams = (dried - before) * fields.read("water_heat") / settings.water_heat_j_per_g * WATER_SHARE
        for spot in spots:
            rate = float(grams[spot.vertices].sum() * 1e3 / duration_s)
            if rate > 0:
                self.smoke.append(Smoke(tuple(map(float, spot.point)), rate))
        self._warm = bool((fields.read("temperature") > settings.body_temperature_c + COLD_C).any())
        return burnt

    def _burn(self, burn: np.ndarray) -> bool:
        """Have the material follow the burn [V] of the vertices; whether it changed."""
        fields, settings, elements = self._fields, self._settings, self._elements
        before = fields.read("burn")
        changed = np.abs(burn - before) > VISIBLE_BURN
        if not changed.any():
            return False
        fields.write("burn", np.where(changed, burn, before))
        self._launch(
            set_material,
            len(elements.order),
            *[elements.tets, elements.raw_inverse_rest, elements.raw_compliance, fields["burn"]],
            *[settings.shrinkage, settings.stiffening, elements.inverse_rest, elements.compliance],
        )
        elements.material_changed(changed)
        return True

    def _launch(self, kernel, count: int, *arguments) -> None:
        wp.launch(kernel, dim=count, inputs=list(arguments), device=self._device)


def heated_spots(
    tools: Mapping[str, ToolState],
    positions: np.ndarray,
    masses: np.ndarray,
    surface_distance,
    duration_s: float,
    settings: TissueSettings,
) -> list[HeatedSpot]:
    """Where electrodes that are on touch tissue, and how their heat is shared out.

    `surface_distance(point)` -> (distance in mm from the surface, corners of the nearest face [3]). The spot is a
    Gaussian about the electrode's tip; where the mesh is too coarse for it, the nearest face takes the heat.
    """
    spots = []
    for name, state in tools.items():
        if state.heating_w <= 0:
            continue
        point = state.in_world(state.heat_point)
        distance, corners = surface_distance(point)
        squared = ((positions - point) ** 2).sum(1)
        weight = masses * np.exp(-squared / (2 * settings.heat_spot_mm**2))
        near = np.flatnonzero((squared < (3 * settings.heat_spot_mm) ** 2) & (masses > 0))
        if distance > settings.heat_reach_mm and squared[near].min(initial=np.inf) > settings.heat_spot_mm**2:
            continue
        if len(near) < 3:
            near, weight = corners, masses
        share = weight[near] / weight[near].sum()
        spots.append(HeatedSpot(name, point, near, state.heating_w * duration_s * share))
    return spots
