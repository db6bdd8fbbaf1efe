"""Constants of the splatting model, equal to gsplat 1.5.3's: models trained here look the same in other viewers."""

MIN_ALPHA = 1 / 255  # fainter contributions are skipped
MAX_ALPHA = 0.999  # so that gradients behind a Gaussian stay finite
MIN_TRANSMITTANCE = 1e-4  # a pixel ends before the Gaussian that would leave this little light
BLUR_PX2 = 0.3  # added to the projected variances: no Gaussian is thinner than a pixel
FRUSTUM_MARGIN = 0.15  # part of the image size beyond its border up to which projection slopes are exact
NEAR_PLANE = 0.01  # in scene units (mm); Gaussians whose centre lies nearer are not drawn
TILE = 16  # px
