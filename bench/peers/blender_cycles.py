"""Blender's path tracer Cycles: blender_cycles.py SNAPSHOT.npz [PICTURE.exr]. Runs in the peers' environment.

SNAPSHOT has the surfaces of consecutive frames in camera axes (see sim_frames.snapshot). A request {"frame": number}
moves all vertices there and renders 4 samples a pixel with depth, normal, object index and motion vectors. With PICTURE
every frame is written there too, to be looked at.
"""

from __future__ import annotations

import sys

import bpy
import numpy as np
from mathutils import Matrix
from worker import serve

SAMPLES = 4
SCALE = 0.01  # Blender's lights and clipping are made for scenes of a few units
METAL = frozenset({5, 9, 14, 15, 16, 17})  # classes of instruments
COLOURS = {2: (0.19, 0.02, 0.01), 4: (0.55, 0.35, 0.1), 8: (0.45, 0.3, 0.12), 10: (0.38, 0.3, 0.12)}


def main() -> None:
    snapshot = dict(np.load(sys.argv[1]))
    picture = sys.argv[2] if len(sys.argv) > 2 else None
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    objects = _objects(scene, snapshot)
    _camera_and_light(scene, snapshot)
    _settings(scene, *snapshot["size"], picture)

    def work(asked: dict):
        def render():
            for target, vertices in objects:
                for key, frame in zip(target.data.shape_keys.key_blocks, (asked["frame"], asked["frame"] + 1)):
                    key.data.foreach_set("co", _blender(snapshot["vertices"][frame][vertices]).ravel())
                target.data.update()
            bpy.ops.render.render(write_still=picture is not None)

        return render, lambda _: {}

    serve({"version": f"Blender Cycles {bpy.app.version_string}"}, work)


def _blender(points: np.ndarray) -> np.ndarray:
    """From OpenCV's camera axes (y down, z ahead) in mm."""
    return (points * [SCALE, -SCALE, -SCALE]).astype(np.float32)


def _objects(scene, snapshot: dict) -> list:
    """An object for every part, moved from shape key to shape key: pairs of it and its vertices' numbers."""
    objects = []
    for part, class_id in enumerate(snapshot["part_class"].tolist()):
        faces = snapshot["faces"][snapshot["face_part"] == part]
        if not len(faces):
            continue
        vertices, faces = np.unique(faces, return_inverse=True)
        mesh = bpy.data.meshes.new(f"part {part}")
        mesh.from_pydata(_blender(snapshot["vertices"][0][vertices]).tolist(), [], faces.reshape(-1, 3).tolist())
        mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
        mesh.materials.append(_material(f"part {part}", class_id))
        target = bpy.data.objects.new(f"part {part}", mesh)
        target.pass_index = part + 1
        scene.collection.objects.link(target)
        target.shape_key_add(name="now")
        later = target.shape_key_add(name="later")
        for value, frame in ((0, 1), (1, 2)):
            later.value = value
            later.keyframe_insert("value", frame=frame)
        objects.append((target, vertices))
    return objects


def _material(name: str, class_id: int):
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    inputs = nodes["Principled BSDF"].inputs
    inputs["Base Color"].default_value = (*COLOURS.get(class_id, (0.4, 0.15, 0.12)), 1)
    inputs["Roughness"].default_value = 0.3
    inputs["Metallic"].default_value = 0.9 if class_id in METAL else 0
    if class_id not in METAL:  # wet and bumpy, as ours
        inputs["Coat Weight"].default_value = 0.5
        noise, bump = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeBump")
        noise.inputs["Scale"].default_value = 40
        bump.inputs["Strength"].default_value = 0.15
        links.new(noise.outputs[0], bump.inputs["Height"])
        links.new(bump.outputs[0], inputs["Normal"])
    return material


def _camera_and_light(scene, snapshot: dict) -> None:
    (width, height), (fx, _, cx, cy) = snapshot["size"], snapshot["intrinsics"]
    camera = bpy.data.cameras.new("camera")
    camera.lens = camera.sensor_width * fx / width  # mm
    camera.shift_x, camera.shift_y = 0.5 - cx / width, (cy - height / 2) / width
    camera.clip_start = 0.01
    light = bpy.data.lights.new("light", "SPOT")
    light.energy, light.spot_size, light.spot_blend, light.shadow_soft_size = 20, 1.7, 0.6, 0.02
    for name, data in (("camera", camera), ("light", light)):
        target = bpy.data.objects.new(name, data)
        target.matrix_world = Matrix.Identity(4)
        scene.collection.objects.link(target)
    scene.camera = bpy.data.objects["camera"]


def _settings(scene, width: int, height: int, picture: str | None) -> None:
    render, layer = scene.render, scene.view_layers[0]
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = int(width), int(height)
    render.use_persistent_data = True
    scene.cycles.device = "CPU"
    scene.cycles.samples = SAMPLES
    scene.cycles.use_adaptive_sampling = scene.cycles.use_denoising = False
    scene.cycles.max_bounces = 2
    layer.use_pass_object_index = layer.use_pass_z = layer.use_pass_normal = layer.use_pass_vector = True
    if picture:
        render.filepath = picture
        render.image_settings.media_type = "MULTI_LAYER_IMAGE"


if __name__ == "__main__":
    main()
