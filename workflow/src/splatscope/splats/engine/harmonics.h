// Real spherical harmonics as in spherical_harmonics.py, and their gradients; a lane for each Gaussian.
#pragma once

constexpr int kMaxCoefficients = 16, kShRow = 3 * kMaxCoefficients;

INLINE void harmonics(int degree, Lanes x, Lanes y, Lanes z, Lanes *b) {
  b[0] = all(0.28209479177387814f);
  if (degree < 1) return;
  b[1] = -0.4886025119029199f * y;
  b[2] = 0.4886025119029199f * z;
  b[3] = -0.4886025119029199f * x;
  if (degree < 2) return;
  const Lanes xx = x * x, yy = y * y, zz = z * z;
  b[4] = 1.0925484305920792f * x * y;
  b[5] = -1.0925484305920792f * y * z;
  b[6] = 0.31539156525252005f * (3 * zz - 1);
  b[7] = -1.0925484305920792f * x * z;
  b[8] = 0.5462742152960396f * (xx - yy);
  if (degree < 3) return;
  b[9] = -0.5900435899266435f * y * (3 * xx - yy);
  b[10] = 2.890611442640554f * x * y * z;
  b[11] = -0.4570457994644658f * y * (5 * zz - 1);
  b[12] = 0.3731763325901154f * z * (5 * zz - 3);
  b[13] = -0.4570457994644658f * x * (5 * zz - 1);
  b[14] = 1.445305721320277f * z * (xx - yy);
  b[15] = -0.5900435899266435f * x * (xx - 3 * yy);
}

// gradient [3] by (x, y, z) of the sum of w[k] * b[k]
INLINE void harmonics_gradient(int degree, Lanes x, Lanes y, Lanes z, const Lanes *w, Lanes *gradient) {
  Lanes gx = {}, gy = {}, gz = {};
  if (degree >= 1) {
    gy = -0.4886025119029199f * w[1];
    gz = 0.4886025119029199f * w[2];
    gx = -0.4886025119029199f * w[3];
  }
  if (degree >= 2) {
    const float k = 1.0925484305920792f;
    gx += k * (y * w[4] - z * w[7] + x * w[8]);
    gy += k * (x * w[4] - z * w[5] - y * w[8]);
    gz += k * (-y * w[5] - x * w[7]) + 0.31539156525252005f * 6 * z * w[6];
  }
  if (degree >= 3) {
    const Lanes xx = x * x, yy = y * y, zz = z * z;
    const float k3 = -0.5900435899266435f, k2 = 2.890611442640554f, k1 = -0.4570457994644658f, k0 = 0.3731763325901154f;
    gx += k3 * (6 * x * y * w[9] + 3 * (xx - yy) * w[15]) + k2 * (y * z * w[10] + x * z * w[14]) + k1 * (5 * zz - 1) * w[13];
    gy += k3 * (3 * (xx - yy) * w[9] - 6 * x * y * w[15]) + k2 * (x * z * w[10] - y * z * w[14]) + k1 * (5 * zz - 1) * w[11];
    gz += k2 * (x * y * w[10] + 0.5f * (xx - yy) * w[14]) + k1 * 10 * z * (y * w[11] + x * w[13]) +
          k0 * (15 * zz - 3) * w[12];
  }
  gradient[0] = gx, gradient[1] = gy, gradient[2] = gz;
}
