"""baselines: the radiance fields of the paper's Table 1, on the same recordings and frames as our splats."""
