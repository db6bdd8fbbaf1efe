"""What stands in the page's three-dimensional scene, and the gizmos that move it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import viser

from splatscope.config.compose import RecipeConfig
from splatscope.geometry import Camera, invert, look_at, make_transform, matrix_to_quaternion, pose_from_quaternion
from splatscope.recordings import Role
from splatscope.viewer.results import Recording, Results
from splatscope.viewer.splat_nodes import add_splat
from splatscope.viewer.volumes import Surface

FRUSTA = 40  # of a recording, at most
COLOUR_CAMERAS = 12  # that a splat's colours are averaged over
ROLE_COLOURS = {Role.BACKGROUND: (86, 180, 233), Role.SCENE: (230, 159, 0), Role.TEST: (160, 160, 160)}
CHOSEN_COLOUR = (255, 255, 255)
CAMERAS, CAMERA_VOLUME, TIP_VOLUME = BRANCHES = ("/cameras", "/volumes/camera", "/volumes/tip")
VOLUME_COLOURS = {CAMERA_VOLUME: (0, 114, 178), TIP_VOLUME: (0, 158, 115)}
FRUSTUM_MM, CHOSEN_FRUSTUM_MM, GIZMO_MM, HANDLE_MM, POINT_MM = 5.0, 12.0, 25.0, 12.0, 0.6


class SceneNodes:
    """The nodes by name. `moved(what, pose)` hears of gizmos: what is a tool's place in the list of tools, or "camera",
    and pose the world_from_tool_sensor or world_from_camera [4, 4] it was dragged to."""

    def __init__(self, server: viser.ViserServer, results: Results, moved: Callable[[int | str, np.ndarray], None]):
        self._server, self._results, self._moved = server, results, moved
        self._shapes = {tool.name: tool.shape for tool in results.material.tools}
        self._gizmos: dict[int | str, viser.TransformControlsHandle] = {}
        self._handles: dict[str, viser.TransformControlsHandle] = {}
        self._tools: list[str] = []
        self._active: int | str | None = None
        server.scene.set_up_direction(self._up())
        server.scene.world_axes.visible = False
        for branch in BRANCHES:
            server.scene.add_frame(branch, show_axes=False)
        known = np.concatenate(list(results.material.known_poses.values()))
        add_splat(server, "/site", results.material.site, _spread(known, COLOUR_CAMERAS))

    def add_frusta(self, clicked: Callable[[Recording, int], None]) -> None:
        """The recordings' cameras; `clicked` hears of recording and row."""
        for recording in self._results.recordings:
            for row in np.unique(np.linspace(0, len(recording.frames) - 1, FRUSTA).round().astype(int)):
                frustum = self._server.scene.add_camera_frustum(
                    f"{CAMERAS}/{recording.name}/{recording.frames[row]:06d}",
                    *_lens(recording.camera),
                    scale=FRUSTUM_MM,
                    thickness=1.5,
                    thickness_units="screen",
                    color=ROLE_COLOURS[recording.role],
                    **_pose(recording.world_from_camera[row]),
                )
                frustum.on_click(lambda _, recording=recording, row=int(row): clicked(recording, row))

    def show(self, branch: str, visible: bool) -> None:
        """Show or hide one of BRANCHES."""
        self._server.scene.get_handle_by_name(branch).visible = visible

    def place_tools(self, placed: Sequence[tuple[str, np.ndarray]]) -> None:
        """Put tools where `placed` (tool, world_from_tool_sensor) says; nodes are made anew when others are placed."""
        names = [name for name, _ in placed]
        if names != self._tools:
            for key in [key for key in self._gizmos if isinstance(key, int)]:
                self._gizmos.pop(key).remove()
            for key, name in enumerate(names):
                self._add_tool(key, name)
            self._tools = names
        for key, (name, pose) in enumerate(placed):
            self._put(key, pose @ self._sensor_from_tip(name))

    def place_camera(self, world_from_camera: np.ndarray, camera: Camera) -> None:
        """Put the chosen camera there."""
        if "camera" not in self._gizmos:
            self._add_gizmo("camera", lambda pose: self._moved("camera", pose))
        self._put("camera", world_from_camera)
        self._server.scene.add_camera_frustum(
            "/move/camera/frustum",
            *_lens(camera),
            scale=CHOSEN_FRUSTUM_MM,
            thickness=2.5,
            thickness_units="screen",
            color=CHOSEN_COLOUR,
        )
        self._server.scene.add_frame("/limits/view", show_axes=False, **_pose(world_from_camera))

    def activate(self, what: int | str | None) -> None:
        """Give one gizmo its arrows and rings: a tool's place in the list, "camera", "limits", or None."""
        self._active = what
        for key, gizmo in self._gizmos.items():
            gizmo.disable_axes = gizmo.disable_sliders = gizmo.disable_rotations = key != what
        for handle in self._handles.values():
            handle.visible = what == "limits"

    def add_limit_handles(self, recipe: RecipeConfig, dragged: Callable[[str, float], None]) -> None:
        """Arrows that are pulled to change a limit; `dragged` hears of the setting and its new value in mm.

        Depths lie along the chosen camera's axis, the camera limit to the right of a known camera.
        """
        known = next(iter(self._results.material.known_poses.values()))
        self._server.scene.add_frame("/limits/known", show_axes=False, **_pose(known[len(known) // 2]))
        self._server.scene.add_frame("/limits/view", show_axes=False)
        for name, node, axis in (
            ("min_depth_mm", "/limits/view", 2),
            ("max_depth_mm", "/limits/view", 2),
            ("camera_limit_mm", "/limits/known", 0),
        ):
            handle = self._server.scene.add_transform_controls(
                f"{node}/{name}",
                HANDLE_MM,
                active_axes=tuple(index == axis for index in range(3)),
                disable_sliders=True,
                disable_rotations=True,
                visible=False,
            )

            @handle.on_update
            async def _(event, name=name, axis=axis):
                dragged(name, float(event.target.position[axis]))

            self._handles[name] = handle
        self.place_limits(recipe)

    def place_limits(self, recipe: RecipeConfig) -> None:
        """Put the limits' arrows where the recipe has them."""
        for name, handle in self._handles.items():
            value = getattr(recipe, name)
            handle.position = (value, 0, 0) if name == "camera_limit_mm" else (0, 0, value)

    def show_volume(self, branch: str, surface: Surface, points: np.ndarray, target_from_volume: np.ndarray) -> None:
        """Draw one of the volumes, see-through, and what was drawn in it [N, 3]; both may be empty."""
        for part in ("surface", "points"):
            if self._server.scene.get_handle_by_name(f"{branch}/{part}") is not None:
                self._server.scene.remove_by_name(f"{branch}/{part}")
        colour, pose = VOLUME_COLOURS[branch], _pose(target_from_volume)
        vertices, faces = surface
        if len(faces):
            look = {"opacity": 0.25, "side": "double", "cast_shadow": False, "receive_shadow": False}
            self._server.scene.add_mesh_simple(f"{branch}/surface", vertices, faces, color=colour, **look, **pose)
        if len(points):
            look = {"point_size": POINT_MM, "precision": "float32", "point_shape": "circle"}
            self._server.scene.add_point_cloud(f"{branch}/points", points, colour, **look, **pose)

    def _add_tool(self, key: int, name: str) -> None:
        sensor_from_tip = self._sensor_from_tip(name)
        self._add_gizmo(key, lambda pose: self._moved(key, pose @ invert(sensor_from_tip)))
        tool = next(tool for tool in self._results.material.tools if tool.name == name)
        local = tool.gaussians.transformed(invert(sensor_from_tip))
        add_splat(self._server, f"/move/{key}/{name}", local, invert(sensor_from_tip) @ self._tool_views(name))

    def _add_gizmo(self, key: int | str, dragged: Callable[[np.ndarray], None]) -> None:
        gizmo = self._server.scene.add_transform_controls(f"/move/{key}", GIZMO_MM)
        off = key != self._active
        gizmo.disable_axes = gizmo.disable_sliders = gizmo.disable_rotations = off

        @gizmo.on_update
        async def _(event):  # on the event loop, so that poses arrive in their order
            dragged(pose_from_quaternion(event.target.wxyz, event.target.position))

        self._gizmos[key] = gizmo

    def _put(self, key: int | str, pose: np.ndarray) -> None:
        place: dict[str, Any] = _pose(pose)
        self._gizmos[key].wxyz, self._gizmos[key].position = place["wxyz"], place["position"]

    def _sensor_from_tip(self, name: str) -> np.ndarray:
        """The gizmo turns a tool about its tip."""
        return make_transform(np.eye(3), self._shapes[name].tip)

    def _tool_views(self, name: str) -> np.ndarray:
        """Cameras [C, 4, 4] in the tool sensor's frame, to average its colours over."""
        frames = [frame for frame in self._results.material.recorded if name in frame.tools]
        if frames:
            return _spread(
                np.array([invert(one.tools[name]) @ one.world_from_camera for one in frames]), COLOUR_CAMERAS
            )
        shape = self._shapes[name]
        eyes = shape.tip + shape.length_mm * _spread(shape.view_directions, COLOUR_CAMERAS)
        return np.array([look_at(eye, shape.tip, shape.direction) for eye in eyes])

    def _up(self) -> tuple[float, float, float]:
        known = np.concatenate(list(self._results.material.known_poses.values()))
        up = -known[:, :3, 1].mean(0)
        return tuple((up / np.linalg.norm(up)).tolist())


def _spread(values: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the values, evenly."""
    return values[np.unique(np.linspace(0, len(values) - 1, count).round().astype(int))]


def _pose(target_from_source: np.ndarray) -> dict[str, np.ndarray]:
    """A pose as viser's functions take it."""
    return {"wxyz": matrix_to_quaternion(target_from_source[:3, :3]), "position": target_from_source[:3, 3]}


def _lens(camera: Camera) -> tuple[float, float]:
    """Vertical angle of view (radians) and aspect."""
    return 2 * float(np.arctan(camera.height / (2 * camera.fy))), camera.width / camera.height
