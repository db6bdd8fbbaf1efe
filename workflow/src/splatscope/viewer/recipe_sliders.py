"""One control for each setting of the recipe, explained by the typed model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import viser

from splatscope.config.compose import RecipeConfig

RANGES: dict[str, dict[tuple[str, ...], tuple[float, float, float]]] = {  # least, greatest and step by setting
    "Camera": {
        ("camera_limit_mm",): (1.0, 60.0, 0.5),
        ("camera_limit_deg",): (1.0, 90.0, 1.0),
        ("camera_jitter_mm",): (0.0, 30.0, 0.5),
        ("camera_jitter_deg",): (0.0, 30.0, 0.5),
        ("min_site_coverage",): (0.5, 1.0, 0.005),
    },
    "Tool": {
        ("min_depth_mm", "max_depth_mm"): (5.0, 400.0, 1.0),
        ("max_standoff_mm",): (0.0, 100.0, 1.0),
        ("contact_probability",): (0.0, 1.0, 0.05),
        ("tip_margin",): (0.0, 0.45, 0.01),
        ("entry_angles_deg",): (0.0, 360.0, 5.0),
        ("coverage_deg",): (1.0, 90.0, 1.0),
        ("min_tool_gap_mm",): (0.0, 50.0, 0.5),
        ("min_visibility",): (0.0, 1.0, 0.05),
        ("min_area_px",): (1, 5000, 1),
    },
    "Frames": {
        ("recorded_share",): (0.0, 1.0, 0.05),
        ("recorded_jitter_mm",): (0.0, 40.0, 0.5),
        ("recorded_jitter_deg",): (0.0, 90.0, 1.0),
    },
}


@dataclass(frozen=True)
class RecipeSliders:
    """The controls, by the settings that each holds."""

    controls: dict[tuple[str, ...], Any]

    def values(self) -> dict[str, Any]:
        """Settings as the controls stand."""
        values: dict[str, Any] = {}
        for names, control in self.controls.items():
            values |= dict(zip(names, control.value)) if len(names) > 1 else {names[0]: control.value}
        return values

    def show(self, recipe: RecipeConfig) -> None:
        """Set the controls to a recipe."""
        for names, control in self.controls.items():
            wanted = _value(names, recipe)
            if control.value != wanted:
                control.value = wanted


def add_sliders(server: viser.ViserServer, recipe: RecipeConfig, changed: Callable[[], None]) -> RecipeSliders:
    """Add the controls to the page; `changed` is called when the user, not the program, has moved one."""
    controls: dict[tuple[str, ...], Any] = {}
    for title, group in RANGES.items():
        with server.gui.add_folder(title, expand_by_default=title != "Frames"):
            for names, limits in group.items():
                controls[names] = _slider(server, names, limits, recipe)
            if title == "Tool":
                controls[("shaft_leaves_image",)] = server.gui.add_checkbox(
                    "shaft_leaves_image", recipe.shaft_leaves_image, hint=_explanation(("shaft_leaves_image",))
                )
            if title == "Frames":
                controls[("frames",)] = server.gui.add_number(
                    "frames", recipe.frames, min=1, step=1, hint=_explanation(("frames",))
                )
    for control in controls.values():
        control.on_update(lambda event: changed() if event.client is not None else None)
    return RecipeSliders(controls)


def _slider(server, names, limits, recipe):
    value = _value(names, recipe)
    several = isinstance(value, tuple)
    low, high, step = limits
    low, high = min(low, *value) if several else min(low, value), max(high, *value) if several else max(high, value)
    label = names[0] if len(names) == 1 else names[0].replace("min_", "") + ", range"
    add = server.gui.add_multi_slider if several else server.gui.add_slider
    return add(label, low, high, step, value, hint=_explanation(names))


def _value(names: tuple[str, ...], recipe: RecipeConfig):
    return tuple(getattr(recipe, name) for name in names) if len(names) > 1 else getattr(recipe, names[0])


def _explanation(names: tuple[str, ...]) -> str:
    texts = [" ".join((RecipeConfig.model_fields[name].description or "").split()) for name in names]
    return " ".join(texts)
