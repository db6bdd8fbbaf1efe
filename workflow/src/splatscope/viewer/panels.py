"""The page's panels: the picture on the left, what may be chosen and turned on the right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import viser

from splatscope.config.compose import RecipeConfig
from splatscope.images import resize_area
from splatscope.viewer.recipe_sliders import RecipeSliders, add_sliders
from splatscope.viewer.results import Results

THUMBNAIL_PX = 480  # width of a recorded frame beside the picture
NOTHING, CAMERA, LIMITS = "nothing", "camera", "limits of the recipe"


@dataclass(frozen=True)
class Actions:
    """What the page asks for."""

    show_layers: Callable[[], None]
    choose_frame: Callable[[str, int], None]  # recording and row
    put_tools_back: Callable[[], None]
    look_from_camera: Callable[[viser.ClientHandle], None]
    use_browser_view: Callable[[viser.ClientHandle], None]
    move: Callable[[str], None]  # a tool's label, CAMERA, LIMITS or NOTHING
    show_branches: Callable[[], None]
    change_recipe: Callable[[], None]
    draw_scene: Callable[[int], None]
    save: Callable[[], None]


class Panels:
    """The controls. Everything that the program sets itself leads to no action."""

    def __init__(self, server: viser.ViserServer, results: Results, recipe: RecipeConfig, actions: Actions):
        self._gui, self._results = server.gui, results
        self._gui.configure_theme(show_logo=False, show_share_button=False, dark_mode=True, control_width="medium")
        self._gui.main_panel.dock_right()
        self._gui.main_panel.set_width(330)
        panel = self._gui.add_panel()
        with panel.add_tab("Picture"):
            self._add_picture(actions)
        panel.dock_left()
        panel.set_width(360)
        tabs = self._gui.add_tab_group()
        with tabs.add_tab("Scene"):
            self._add_scene(actions)
        with tabs.add_tab("Recipe"):
            self.sliders = self._add_recipe(server, recipe, actions)

    def _add_picture(self, actions: Actions) -> None:
        self._picture = self._gui.add_image(np.zeros((4, 5, 3), np.uint8), format="jpeg", jpeg_quality=90)
        self.depth = self._gui.add_checkbox("Depth", False, hint="Depth instead of colours")
        self.masks = self._gui.add_checkbox("Masks", True, hint="Visible pixels of each tool")
        self.boxes = self._gui.add_checkbox("Boxes", True, hint="Boxes of the visible pixels")
        for box in (self.depth, self.masks, self.boxes):
            _on_change(box, lambda _: actions.show_layers())
        self._caption = self._gui.add_markdown("")
        self._verdict = self._gui.add_markdown("")
        self._recorded_title = self._gui.add_markdown("")
        self._recorded = self._gui.add_image(np.zeros((4, 5, 3), np.uint8), format="jpeg", visible=False)

    def _add_scene(self, actions: Actions) -> None:
        names = [recording.name for recording in self._results.recordings]
        self._recording = self._gui.add_dropdown("Recording", names)
        self._row = self._gui.add_slider("Frame", 0, max(self._last_row(names[0]), 1), 1, 0)

        def choose(_):
            row = min(self._row.value, self._last_row(self._recording.value))
            actions.choose_frame(self._recording.value, row)

        _on_change(self._recording, choose)
        _on_change(self._row, choose)
        buttons: dict[str, Callable[[Any], None]] = {
            "Look from this camera": lambda event: actions.look_from_camera(event.client),
            "Take the picture from my view": lambda event: actions.use_browser_view(event.client),
            "Tools as recorded": lambda _: actions.put_tools_back(),
        }
        for label, action in buttons.items():
            self._gui.add_button(label).on_click(action)
        self._move = self._gui.add_dropdown("Move", [NOTHING, CAMERA, LIMITS])
        _on_change(self._move, lambda _: actions.move(self._move.value))
        with self._gui.add_folder("Show"):
            self.cameras = self._gui.add_checkbox("Cameras", True, hint="Blue: background, orange: scene, grey: test")
            self.camera_volume = self._gui.add_checkbox(
                "Camera volume", False, hint="Where freely drawn cameras may stand, and 300 draws"
            )
            self.tip_volume = self._gui.add_checkbox(
                "Tip volume", False, hint="Where freely drawn tool tips may be in this picture, and 300 draws"
            )
        for box in (self.cameras, self.camera_volume, self.tip_volume):
            _on_change(box, lambda _: actions.show_branches())

    def _add_recipe(self, server: viser.ViserServer, recipe: RecipeConfig, actions: Actions) -> RecipeSliders:
        self._index = self._gui.add_number("Scene number", 0, min=0, step=1)
        self._gui.add_button("Draw this scene", hint="As compose would, with the recipe below").on_click(
            lambda _: actions.draw_scene(int(self._index.value))
        )
        self._gui.add_button("Save as recipe", color="teal").on_click(lambda _: actions.save())
        self._message = self._gui.add_markdown("")
        return add_sliders(server, recipe, actions.change_recipe)

    def show_picture(self, picture: np.ndarray, caption: str) -> None:
        self._picture.image = picture
        self._caption.content = caption

    def show_verdict(self, text: str) -> None:
        self._verdict.content = text

    def say(self, text: str) -> None:
        """Answer to what was asked under "Recipe"."""
        self._message.content = text

    def show_recorded(self, picture: np.ndarray | None, title: str) -> None:
        """The recorded frame beside the rendered one; None where there is none."""
        self._recorded_title.content = title
        self._recorded.visible = picture is not None
        if picture is not None:
            height, width = picture.shape[:2]
            self._recorded.image = resize_area(picture, THUMBNAIL_PX, round(height * THUMBNAIL_PX / width))

    def show_frame(self, recording: str, row: int) -> None:
        self._recording.value = recording
        self._row.max = max(self._last_row(recording), 1)
        self._row.value = row

    def offer_moves(self, labels: list[str], chosen: str) -> None:
        """Tools that can be moved now, by label."""
        self._move.options = (*labels, CAMERA, LIMITS, NOTHING)
        self._move.value = chosen

    @property
    def moving(self) -> str:
        return self._move.value

    def _last_row(self, recording: str) -> int:
        return next(len(one.frames) for one in self._results.recordings if one.name == recording) - 1


def _on_change(control, action: Callable[[Any], None]) -> None:
    """Call `action` when the user, not the program, has changed a control."""
    control.on_update(lambda event: action(event) if event.client is not None else None)
