"""Arrays on a device."""

from __future__ import annotations

import numpy as np
import warp as wp


def upload(values: np.ndarray, dtype: type, device: str) -> wp.array:
    """`values` as an array of Warp's `dtype` on a device. On the CPU it may be the memory of `values` itself: do not
    write to them afterwards."""
    scalar = np.int32 if getattr(dtype, "_wp_scalar_type_", dtype) is wp.int32 else np.float32
    return wp.array(np.ascontiguousarray(values, scalar), dtype=dtype, device=device, copy=False)
