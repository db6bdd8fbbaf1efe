"""Where tissue is pulled apart: tensile stress against strength."""

from __future__ import annotations

import numpy as np
import warp as wp

from splatscope.simulate.tissue.device_arrays import upload
from splatscope.simulate.tissue.elements import Elements
from splatscope.simulate.tissue.heat_kernels import measure_stress
from splatscope.simulate.tissue.vertex_fields import VertexFields

STRESS_MEMORY_S = 0.03


class Tearing:
    """The stress of each tetrahedron as a share of its strength (Pa [T]), averaged over a short time."""

    def __init__(self, strength_pa: np.ndarray, elements: Elements, device: str):
        self.enabled = bool(np.isfinite(strength_pa).any())
        self._elements, self._device = elements, device
        self._strength = upload(strength_pa[elements.order], float, device)
        self._load = wp.zeros(len(strength_pa), dtype=float, device=device)

    def overloaded(self, fields: VertexFields, duration_s: float) -> np.ndarray:
        """After an interval: tetrahedra (indices) that bear more than their strength, the worst first."""
        if not self.enabled:
            return np.zeros(0, int)
        elements = self._elements
        material = [elements.tets, elements.inverse_rest, elements.compliance, elements.device_volume, self._strength]
        wp.launch(
            measure_stress,
            dim=len(elements.order),
            inputs=[fields["positions"], *material, 1 - np.exp(-duration_s / STRESS_MEMORY_S)],
            outputs=[self._load],
            device=self._device,
        )
        load = self._load.numpy()
        over = np.flatnonzero(load > 1)
        return elements.order[over[np.argsort(-load[over], kind="stable")]]
