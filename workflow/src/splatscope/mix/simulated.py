"""Parametric instruments as layers: meshes drawn through the frame's own lens, lit from the camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from splatscope.config.mix import MixConfig
from splatscope.geometry import Camera, apply, make_transform
from splatscope.meshes.instruments import (
    ClipApplier,
    Grasper,
    HookElectrode,
    Instrument,
    MarylandForceps,
    NeedleDriver,
    Scissors,
)
from splatscope.meshes.instruments.kinematics import through_trocar
from splatscope.meshes.materials import MaterialLibrary, laparoscopic_materials
from splatscope.meshes.renderer import Light, Renderer
from splatscope.meshes.scene import Scene
from splatscope.mix.candidate import Candidate
from splatscope.mix.layer import Layer
from splatscope.mix.light import REFERENCE_MM, Filming
from splatscope.mix.placing import View, check_shaft, draw_shaft, draw_tip, fine_camera

KINDS = {kind.name: kind for kind in (Grasper, MarylandForceps, HookElectrode, Scissors, ClipApplier, NeedleDriver)}
AWAY = make_transform(np.eye(3), np.array([0.0, 0, -1e6]))  # behind the camera
KEYPOINT_DEPTH_MM = 5.5  # those on the axis lie a shaft's radius and a half below the surface at most
WRIST = ("pitch", "yaw")


class SimulatedInstruments:
    """One instrument of each kind, its shape drawn from `seed`; a proposal shows one of them."""

    kind = "simulated"

    def __init__(self, names: Sequence[str], seed: Sequence[int], device: str = "cpu"):
        rng = np.random.default_rng([*seed, 801])
        self._instruments: list[Instrument] = [KINDS[name].varied(rng) for name in names]
        objects = {
            f"{number}/{link}": parts
            for number, instrument in enumerate(self._instruments)
            for link, parts in instrument.links().items()
        }
        materials = MaterialLibrary(laparoscopic_materials(int(rng.integers(2**31))))
        self._scene = Scene(objects, materials, device)
        for name in objects:
            self._scene.set_pose(name, AWAY)
        self._renderers: dict[Camera, Renderer] = {}

    def propose(self, rng: np.random.Generator, view: View, filming: Filming | None, config: MixConfig) -> Candidate:
        number = int(rng.integers(len(self._instruments)))
        instrument = self._instruments[number]
        joints = {
            name: float(rng.uniform(max(low, -config.wrist_deg), min(high, config.wrist_deg)))
            if name in WRIST
            else float(rng.uniform(low, high))
            for name, (low, high) in instrument.joints.items()
        }
        tip, normal = draw_tip(rng, view, config)
        trocar = draw_shaft(rng, tip, view, config)
        check_shaft(tip, (trocar - tip) / np.linalg.norm(trocar - tip), normal)
        points = instrument.keypoints(joints)
        camera_from_tool = through_trocar(trocar, tip, rng.uniform(-np.pi, np.pi), points["tip"])
        exposure = 1.0 if filming is None else filming.exposure
        return Candidate(
            self._draw(number, camera_from_tool, joints, view),
            lambda: self._draw(number, camera_from_tool, joints, view, exposure),
            instrument.name,
            instrument.class_id,
            camera_from_tool,
            "tool",
            tip,
            joints,
            {name: apply(camera_from_tool, point[None])[0] for name, point in points.items()},
            KEYPOINT_DEPTH_MM,
        )

    def _draw(
        self, number: int, camera_from_tool: np.ndarray, joints: dict, view: View, exposure: float | None = None
    ) -> Layer:
        """The layer; without colour, normals and points when no `exposure` is given."""
        poses = self._instruments[number].link_poses(joints)
        for link, tool_from_link in poses.items():
            self._scene.set_pose(f"{number}/{link}", camera_from_tool @ tool_from_link)
        whole = exposure is not None
        picture = self._renderer(view.camera).render(
            np.eye(4), colour=whole, normals=whole and view.normals, points=whole and view.points
        )
        for link in poses:
            self._scene.set_pose(f"{number}/{link}", AWAY)
        alpha = (picture.depth_mm > 0).astype(np.float32)
        if not whole:
            return Layer(alpha, picture.depth_mm)
        return Layer(alpha, picture.depth_mm, picture.radiance * np.float32(exposure), picture.normals, picture.points)

    def _renderer(self, camera: Camera) -> Renderer:
        if camera not in self._renderers:
            self._renderers = {camera: Renderer(self._scene, fine_camera(camera), Light(reference_mm=REFERENCE_MM))}
        return self._renderers[camera]
