"""Write a nerfstudio transforms.json for the sinus-endoscopy sequence, from its motion.yaml and intrinsics.

Usage: python tests/real/sinus_transforms.py FOLDER OUTPUT.json   (FOLDER: sinus_endoscopy of the test material)
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import yaml

from splatscope.geometry import pose_from_quaternion

OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


def sinus_transforms(folder: Path) -> dict:
    """The content of transforms.json: poses (camera to world, OpenCV axes in the source), intrinsics, file names."""
    fx, fy, cx, cy = np.loadtxt(folder / "camera_intrinsics_per_view")[:4]
    motion = yaml.safe_load((folder / "motion.yaml").read_text())["poses[]"]
    files = sorted((folder / "frames").glob("*.jpg"))
    height, width = cv2.imread(str(files[0])).shape[:2]
    frames = []
    for index, file in enumerate(files):
        pose = motion[f"poses[{index}]"]
        quaternion = [pose["orientation"][axis] for axis in "wxyz"]
        position = [pose["position"][axis] for axis in "xyz"]
        matrix = pose_from_quaternion(np.array(quaternion), np.array(position)) @ OPENCV_FROM_OPENGL
        frames.append({"file_path": f"frames/{file.name}", "transform_matrix": matrix.tolist()})
    intrinsics = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": width, "h": height, "camera_model": "PINHOLE"}
    return intrinsics | {"frames": frames}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(sinus_transforms(Path(sys.argv[1])), indent=1) + "\n")
