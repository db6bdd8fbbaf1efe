"""SplatScope: annotated surgical images from recordings, by Gaussian splatting."""

import os

# PyTorch's idle OpenMP threads would otherwise spin on the cores that the rasterizer's own threads need
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
