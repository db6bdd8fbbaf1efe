"""Writing a picture, its format by the name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from splatscope.errors import InputError
from splatscope.files import write_bytes
from splatscope.images import encode_jpeg, encode_png

ENCODERS = {".png": encode_png, ".jpg": encode_jpeg, ".jpeg": encode_jpeg}


def check_picture_path(path: Path) -> None:
    """Raise InputError unless the name says PNG or JPEG."""
    if path.suffix.lower() not in ENCODERS:
        raise InputError(
            path, found=f"the suffix {path.suffix!r}", expected=".png or .jpg", remedy="rename the picture"
        )


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write uint8 [H, W, 3]."""
    check_picture_path(path)
    write_bytes(path, ENCODERS[path.suffix.lower()](np.ascontiguousarray(image)))
