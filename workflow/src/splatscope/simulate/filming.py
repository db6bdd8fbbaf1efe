"""From the state of an operation to annotated frames: what stands where, the picture, every label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from splatscope.config.simulate import SimulateConfig
from splatscope.geometry import apply, invert, make_transform
from splatscope.keypoints import locate_keypoint
from splatscope.meshes.instruments import Instrument
from splatscope.meshes.materials import MaterialLibrary
from splatscope.meshes.renderer import Picture, Renderer, View
from splatscope.meshes.scene import Part, Scene
from splatscope.shards import Frame
from splatscope.simulate.operation.command import Command
from splatscope.simulate.optics import Optics
from splatscope.simulate.smoke import Smoke
from splatscope.simulate.tissue_surface import TissueSurface

BLOOD = 7  # ids of the class table
AWAY = make_transform(np.eye(3), np.array([0.0, 0, 1e6]))  # where nobody looks: what is not in the patient
TISSUE = "tissue"
KEYPOINT_DEPTH_MM = 6.0  # a keypoint lies at most so deep in its own instrument


@dataclass
class _Shot:
    """A frame that waits for the next one: its forward flow is not known yet."""

    frame: Frame
    view: View
    faces: np.ndarray  # int [F, 3] of the tissue: vertices, as they were numbered then
    face_corners: np.ndarray  # int [F, 4]: tetrahedron and which of its corners, which no cut changes
    tets: np.ndarray


class Filming:
    """Films an operation with one endoscope.

    A frame comes out when the next one is shot, because optical flow leads from each to the next. All maps are of the
    lens's own pixels; outside a round view nothing is labelled.
    """

    def __init__(
        self,
        backdrop: list[Part],
        tissue: TissueSurface,
        instruments: Mapping[str, Instrument],
        clips: list[list[Part]],
        materials: MaterialLibrary,
        optics: Optics,
        config: SimulateConfig,
        class_names: Mapping[int, str],
        device: str = "cpu",
    ):
        """`instruments` by the name of their use ("right hook"); `clips`: the parts of every clip there may be."""
        self._tissue, self._instruments, self._optics, self._config = tissue, instruments, optics, config
        self._class_names = class_names
        self._instances = {name: number for number, name in enumerate(instruments, start=1)}
        self._clips = {f"clip {number}": parts for number, parts in enumerate(clips, start=1)}
        self._instances |= {name: len(instruments) + number for number, name in enumerate(self._clips, start=1)}
        objects: dict = {"site": backdrop}
        for name, instrument in instruments.items():
            for link, parts in instrument.links().items():
                objects[f"{name}/{link}"] = self._owned(parts, name)
        objects |= {name: self._owned(parts, name) for name, parts in self._clips.items()}
        objects[TISSUE] = tissue.surface()
        self._scene = Scene(objects, materials, device)
        for name in objects:
            if name not in ("site", TISSUE):
                self._scene.set_pose(name, AWAY)
        self._renderer = Renderer(
            self._scene, optics.camera, optics.light, BLOOD, config.supersampling, labelled=optics.inside
        )
        self._waiting: _Shot | None = None

    def shoot(self, key: str, command: Command, clip_poses: list[np.ndarray], smoke: Smoke, meta: dict) -> Frame | None:
        """Take the frame of this moment; returns the one before, now complete."""
        self._place(command, clip_poses)
        pose, wanted = command.world_from_camera, self._config.maps
        picture = self._renderer.render(pose, normals="normals" in wanted, points="points" in wanted)
        veiled = smoke.veil(
            picture.radiance, picture.depth_mm, self._optics.camera, pose, self._optics.light.reference_mm
        )
        frame = Frame(
            key,
            self._optics.develop(veiled, command.time_s),
            self._meta(command, clip_poses, picture, meta),
            class_map=picture.class_map,
            instance_map=picture.instance_map,
            amodal_bits=picture.amodal_bits,
            depth_mm=picture.depth_mm,
            normals=picture.normals,
            surface_points=picture.points,
        )
        shot = _Shot(frame, self._renderer.view(), *self._tissue.topology())
        finished = self._waiting and self._join(self._waiting, shot)
        self._waiting = shot
        return finished

    def last(self) -> Frame | None:
        """The frame that no other follows."""
        shot, self._waiting = self._waiting, None
        if shot is None:
            return None
        if "flow" in self._config.maps:
            shot.frame.flow_forward = np.zeros((*shot.frame.class_map.shape, 3), np.float32)
        return shot.frame

    def _join(self, earlier: _Shot, later: _Shot) -> Frame:
        if "flow" in self._config.maps:
            if earlier.frame.flow_backward is None:  # the first frame of all
                earlier.frame.flow_backward = np.zeros((*earlier.frame.class_map.shape, 3), np.float32)
            earlier.frame.flow_forward = self._flow(earlier, later)
            later.frame.flow_backward = self._flow(later, earlier)
        return earlier.frame

    def _flow(self, source: _Shot, target: _Shot) -> np.ndarray:
        corners = None
        if source.tets is not target.tets:
            corners = source.view.faces.numpy().copy()
            # the tissue is the last object: the vertices of all others keep their numbers
            first = corners[-len(source.faces) :].min() - source.faces.min() if len(source.faces) else 0
            moved = target.tets[source.face_corners[:, :1], source.face_corners[:, 1:]]
            corners[-len(source.faces) :] = moved + first
        return self._renderer.flow(source.view, target.view, corners)

    def _place(self, command: Command, clip_poses: list[np.ndarray]) -> None:
        in_use = {f"{hand} {tool.instrument}": tool for hand, tool in command.tools.items()}
        for name, instrument in self._instruments.items():
            tool = in_use.get(name)
            links = instrument.links() if tool is None else instrument.link_poses(tool.joints)
            for link in links:
                self._scene.set_pose(f"{name}/{link}", AWAY if tool is None else tool.world_from_tool @ links[link])
        for name, pose in zip(self._clips, clip_poses):
            self._scene.set_pose(name, pose)
        if self._tissue.changed:
            self._scene.replace(TISSUE, self._tissue.surface())
        else:
            self._scene.set_vertices(TISSUE, *self._tissue.now())

    def _owned(self, parts: list[Part], name: str) -> list[Part]:
        return [replace(part, instance=self._instances[name]) for part in parts]

    def _meta(self, command: Command, clip_poses: list[np.ndarray], picture: Picture, meta: dict) -> dict:
        entries = []
        for hand, tool in command.tools.items():
            name = f"{hand} {tool.instrument}"
            instrument = self._instruments[name]
            entry = self._entry(name, instrument.class_id, tool.world_from_tool, command, picture)
            keypoints = self._keypoints(instrument, tool, command, picture, self._instances[name])
            entries.append(
                entry
                | {
                    "instrument": tool.instrument,
                    "hand": hand,
                    "joints": {joint: round(float(angle), 4) for joint, angle in tool.joints.items()},
                    "heating_w": float(tool.heating_w),
                    "keypoints": keypoints,
                }
            )
        for (name, parts), pose in zip(self._clips.items(), clip_poses):
            entries.append(self._entry(name, parts[0].class_id, pose, command, picture))
        return meta | {
            "time_s": round(command.time_s, 6),
            "phase": command.phase,
            "triplets": [[t.instrument, t.verb, t.target, t.hand] for t in command.triplets],
            "camera": self._optics.camera.to_dict(),
            "round_view": None if self._optics.circle is None else vars(self._optics.circle),
            "world_from_camera": command.world_from_camera.tolist(),
            "instances": sorted(entries, key=lambda entry: entry["instance"]),
        }

    def _entry(self, name: str, class_id: int, pose: np.ndarray, command: Command, picture: Picture) -> dict:
        instance = self._instances[name]
        visible = int(np.count_nonzero(picture.instance_map == instance))
        amodal = int(np.count_nonzero(picture.amodal_bits & np.uint16(1 << (instance - 1))))
        return {
            "instance": instance,
            "name": name,
            "class_id": class_id,
            "class_name": self._class_names[class_id],
            "world_from_tool": pose.tolist(),
            "camera_from_tool": (invert(command.world_from_camera) @ pose).tolist(),
            "visible_px": visible,
            "amodal_px": amodal,
            "visibility": visible / max(1, amodal),
        }

    def _keypoints(self, instrument: Instrument, tool, command: Command, picture: Picture, instance: int) -> dict:
        points = apply(
            invert(command.world_from_camera) @ tool.world_from_tool,
            np.array(list(instrument.keypoints(tool.joints).values())),
        )
        view = self._optics.camera, self._optics.inside, picture.instance_map == instance, picture.depth_mm
        found = [locate_keypoint(point, *view, KEYPOINT_DEPTH_MM) for point in points]
        return dict(zip(instrument.keypoints(tool.joints), found))
