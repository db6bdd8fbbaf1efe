"""Table 1 of Zeng et al., "Realistic Surgical Image Dataset Generation Based on 3D Gaussian Splatting", MICCAI 2024."""

PAPER_ROWS = (
    {"method": "Instant-NGP", "psnr": (16.603, 0.782), "ssim": (0.741, 0.015), "lpips": (0.758, 0.047)},
    {"method": "Nerfacto", "psnr": (22.736, 1.435), "ssim": (0.796, 0.016), "lpips": (0.394, 0.035)},
    {"method": "Zeng et al.", "psnr": (27.796, 1.796), "ssim": (0.912, 0.029), "lpips": (0.287, 0.022)},
)
