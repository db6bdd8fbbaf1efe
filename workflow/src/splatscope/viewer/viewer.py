"""The viewer: what is chosen and where things stand, and what follows from a change of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import viser

from splatscope.compose import recipe as draw
from splatscope.compose.recipe import Rejected
from splatscope.compose.sampling import sample_scene
from splatscope.compositing import composite
from splatscope.config.compose import ComposeConfig, RecipeConfig
from splatscope.config.render import RenderConfig
from splatscope.errors import InputError
from splatscope.geometry import pose_from_quaternion
from splatscope.recordings import Role
from splatscope.viewer import scene_nodes as nodes
from splatscope.viewer.limits import broken_limits, outside_free_draws, verdict
from splatscope.viewer.live_render import Layers, View, caption, draw_layers, render_view
from splatscope.viewer.newest_first import NewestFirst
from splatscope.viewer.panels import CAMERA, LIMITS, NOTHING, Actions, Panels
from splatscope.viewer.recipe_file import save_recipe
from splatscope.viewer.results import Recording, Results
from splatscope.viewer.volumes import camera_volume, drawn_cameras, drawn_tips, tip_volume

COARSE = 0.5  # of the sides of a picture while something moves
DRAWN_POINTS = 300  # draws that a volume is filled with


@dataclass(frozen=True)
class Situation:
    """Everything a picture depends on."""

    view: View
    layers: Layers
    config: ComposeConfig


class Viewer:
    """One scene, shared by everybody who has the page open."""

    def __init__(
        self, server: viser.ViserServer, results: Results, config: ComposeConfig, recipe_file: Path, seed: int = 0
    ):
        self._server, self.results, self._recipe_file, self._seed = server, results, recipe_file, seed
        self._render_config = RenderConfig()
        self._lock = threading.RLock()  # actions come from several threads
        first = next((one for one in results.recordings if one.role is Role.SCENE), results.recordings[0])
        self._recording, self._row = first, len(first.frames) // 2
        self._situation = Situation(self._recorded_view(), Layers(), config)
        self._drawn_volumes: dict[str, object] = {}
        self._nodes = nodes.SceneNodes(server, results, self._dragged)
        self._panels = Panels(
            server,
            results,
            config.recipe,
            Actions(
                show_layers=self._change_layers,
                choose_frame=self._choose_frame,
                put_tools_back=self._put_tools_back,
                look_from_camera=self._look_from_camera,
                use_browser_view=self._use_browser_view,
                move=self._move,
                show_branches=self._show_branches,
                change_recipe=self._change_recipe,
                draw_scene=self._draw_scene,
                save=self._save,
            ),
        )
        self._nodes.add_frusta(lambda recording, row: self._choose_frame(recording.name, row))
        self._nodes.add_limit_handles(config.recipe, self._drag_limit)
        self._show_branches()
        self._pictures = NewestFirst(self._draw)
        self._look_at_start()
        self._stand()
        self._show_recorded()

    @property
    def situation(self) -> Situation:
        """What the newest picture shows, or will."""
        return self._situation

    def stop(self) -> None:
        self._pictures.stop()

    # where things stand

    def _stand(self) -> None:
        """Put the nodes where the situation has them and ask for its picture."""
        view = self._situation.view
        self._nodes.place_tools(view.placed)
        self._nodes.place_camera(view.world_from_camera, view.camera)
        labels = self._tool_labels()
        chosen = self._panels.moving if self._panels.moving in (*labels, CAMERA, LIMITS) else (*labels, NOTHING)[0]
        self._panels.offer_moves(labels, chosen)
        self._move(chosen)
        self._pictures.put(self._situation)

    def _tool_labels(self) -> list[str]:
        return [f"{number} {name}" for number, (name, _) in enumerate(self._situation.view.placed, start=1)]

    def _change_view(self, **changes) -> None:
        self._situation = replace(self._situation, view=replace(self._situation.view, **changes))

    def _dragged(self, what: int | str, pose: np.ndarray) -> None:
        """A gizmo was dragged: its node stands there already."""
        with self._lock:
            if what == "camera":
                self._change_view(world_from_camera=pose)
            else:
                placed = list(self._situation.view.placed)
                placed[what] = (placed[what][0], pose)
                self._change_view(placed=tuple(placed))
            self._pictures.put(self._situation)

    def _choose_frame(self, recording: str, row: int) -> None:
        with self._lock:
            self._recording = next(one for one in self.results.recordings if one.name == recording)
            self._row = row
            kept = self._situation.view.placed
            view = self._recorded_view()
            recorded = any(np.isfinite(poses[row]).all() for poses in self._recording.world_from_sensor.values())
            self._situation = replace(self._situation, view=view if recorded else replace(view, placed=kept))
            self._stand()
            self._show_recorded()

    def _put_tools_back(self) -> None:
        with self._lock:
            self._change_view(placed=self._recorded_view().placed)
            self._stand()

    def _recorded_view(self) -> View:
        """The chosen frame's camera and its tools, or a tool drawn before it where none was tracked."""
        recording, row = self._recording, self._row
        camera_pose = recording.world_from_camera[row]
        placed = [
            (tool, poses[row]) for tool, poses in recording.world_from_sensor.items() if np.isfinite(poses[row]).all()
        ]
        if not placed:
            placed = [(tool.name, self._pose_in_sight(tool, camera_pose)) for tool in self.results.material.tools[:1]]
        return View(recording.name, recording.camera, camera_pose, tuple(placed))

    def _pose_in_sight(self, tool, world_from_camera: np.ndarray) -> np.ndarray:
        """world_from_tool_sensor with the tip on the tissue in the middle of the picture."""
        camera = self._recording.camera.scaled(64, 64)
        site = composite(self.results.material.site, [], camera, world_from_camera)
        tip = np.array([0.0, 0.0, max(float(np.median(site.depth)), 1.0)])
        rng = np.random.default_rng(0)
        for _ in range(100):
            try:
                return world_from_camera @ draw.draw_tool_pose(rng, tool.shape, tip, camera, RecipeConfig())
            except Rejected:  # seen end on
                continue
        return world_from_camera

    # the page's camera

    def _look_at_start(self) -> None:
        """Everybody who comes first looks over the chosen camera's shoulder."""
        pose = self._situation.view.world_from_camera
        camera = self._server.initial_camera
        target = self._middle()
        back, up = target - pose[:3, 3], -pose[:3, 1]
        camera.near, camera.far = 1.0, 5000.0
        camera.position = tuple(pose[:3, 3] - 0.9 * back + 0.35 * np.linalg.norm(back) * up)
        camera.look_at, camera.up = tuple(target), tuple(up)

    def _middle(self) -> np.ndarray:
        """The tissue in the middle of the picture, world mm."""
        pose = self._situation.view.world_from_camera
        site = composite(self.results.material.site, [], self._recording.camera.scaled(32, 32), pose)
        return pose[:3, 3] + pose[:3, 2] * max(float(np.median(site.depth)), 1.0)

    def _look_from_camera(self, client: viser.ClientHandle) -> None:
        pose, camera = self._situation.view.world_from_camera, self._situation.view.camera
        with client.atomic():
            client.camera.fov = 2 * float(np.arctan(camera.height / (2 * camera.fy)))
            client.camera.position = pose[:3, 3]
            client.camera.up_direction = -pose[:3, 1]
            client.camera.look_at = self._middle()

    def _use_browser_view(self, client: viser.ClientHandle) -> None:
        with self._lock:
            pose = pose_from_quaternion(client.camera.wxyz, client.camera.position)
            self._change_view(world_from_camera=pose)
            self._stand()

    # what is shown

    def _change_layers(self) -> None:
        with self._lock:
            panels = self._panels
            layers = Layers(panels.depth.value, panels.masks.value, panels.boxes.value)
            self._situation = replace(self._situation, layers=layers)
            self._pictures.put(self._situation)

    def _show_branches(self) -> None:
        self._nodes.show(nodes.CAMERAS, self._panels.cameras.value)
        self._nodes.show(nodes.CAMERA_VOLUME, self._panels.camera_volume.value)
        self._nodes.show(nodes.TIP_VOLUME, self._panels.tip_volume.value)

    def _move(self, label: str) -> None:
        labels = self._tool_labels()
        what = labels.index(label) if label in labels else {CAMERA: "camera", LIMITS: "limits"}.get(label)
        self._nodes.activate(what)

    def _show_recorded(self) -> None:
        recording: Recording = self._recording
        picture = recording.picture(self._row)
        number = recording.frames[self._row]
        self._panels.show_frame(recording.name, self._row)
        self._panels.show_recorded(picture, f"Frame {number} of {recording.name} ({recording.role}), as recorded")

    # the recipe

    def _change_recipe(self) -> None:
        with self._lock:
            recipe = RecipeConfig.model_validate(
                self._situation.config.recipe.model_dump() | self._panels.sliders.values()
            )
            self._set_recipe(recipe)
            self._nodes.place_limits(recipe)

    def _drag_limit(self, name: str, value: float) -> None:
        with self._lock:
            recipe = self._situation.config.recipe
            bounds = {
                "min_depth_mm": (1.0, recipe.max_depth_mm - 1),
                "max_depth_mm": (recipe.min_depth_mm + 1, 400.0),
                "camera_limit_mm": (1.0, 60.0),
            }[name]
            value = round(float(np.clip(value, *bounds)), 1)
            recipe = recipe.model_copy(update={name: value})
            self._panels.sliders.show(recipe)
            self._set_recipe(recipe)

    def _set_recipe(self, recipe: RecipeConfig) -> None:
        config = self._situation.config.model_copy(update={"recipe": recipe})
        self._situation = replace(self._situation, config=config)
        self._pictures.put(self._situation)

    def _draw_scene(self, index: int) -> None:
        try:  # without the lock: it may take seconds, and gizmos wait for the lock on the event loop
            scene = sample_scene(index, self.results.material, self._situation.config, self._seed, Counter())
        except InputError as error:
            self._panels.say(f"No such scene: {error.found}; to mend: {error.remedy}")
            return
        with self._lock:
            self._recording = next(one for one in self.results.recordings if one.name == scene.recording)
            self._row = self._recording.nearest(scene.world_from_camera)
            placed = tuple((one.tool, one.world_from_tool_sensor) for one in scene.placements)
            view = View(scene.recording, self._recording.camera, scene.world_from_camera, placed)
            self._situation = replace(self._situation, view=view)
            self._stand()
            self._show_recorded()
        self._panels.say(f"Scene {index} as compose draws it (seed {self._seed}): {len(placed)} tools")

    def _save(self) -> None:
        with self._lock:
            try:
                save_recipe(self._recipe_file, self._situation.config.recipe)
            except InputError as error:
                self._panels.say(f"Not saved: {error.found}; to mend: {error.remedy}")
            else:
                name = self._recipe_file
                self._panels.say(f"Saved. Make its dataset with\n\n`snakemake --cores all --configfile {name}`")

    # the picture

    def _draw(self, situation: Situation, fine: bool) -> None:
        material, start = self.results.material, time.perf_counter()
        frame = render_view(
            situation.view, material, self.results.classes, self._render_config, 1.0 if fine else COARSE
        )
        took_ms = 1000 * (time.perf_counter() - start)
        self._panels.show_picture(draw_layers(frame, situation.layers), caption(frame, took_ms))
        if fine:
            self._draw_consequences(situation, frame)

    def _draw_consequences(self, situation: Situation, frame) -> None:
        """What the recipe has to say of the view, and its volumes."""
        view, config, material = situation.view, situation.config, self.results.material
        camera = view.camera.scaled(config.width, config.height)
        site = composite(material.site, [], camera, view.world_from_camera)
        small = replace(view, camera=camera)
        broken = broken_limits(small, frame, material, config)
        self._panels.show_verdict(verdict(broken, outside_free_draws(small, site, material, config)))
        known = np.concatenate(list(material.known_poses.values()))
        recipe = config.recipe
        if self._is_new(nodes.CAMERA_VOLUME, recipe):
            points = drawn_cameras(known, recipe, DRAWN_POINTS)
            self._nodes.show_volume(nodes.CAMERA_VOLUME, camera_volume(known, recipe), points, np.eye(4))
        if self._is_new(nodes.TIP_VOLUME, (recipe, view.recording, view.world_from_camera.tobytes())):
            points = drawn_tips(camera, site, recipe, DRAWN_POINTS)
            surface = tip_volume(camera, site, recipe)
            self._nodes.show_volume(nodes.TIP_VOLUME, surface, points, view.world_from_camera)

    def _is_new(self, volume: str, depends_on: object) -> bool:
        known = self._drawn_volumes.get(volume)
        self._drawn_volumes[volume] = depends_on
        return known != depends_on
