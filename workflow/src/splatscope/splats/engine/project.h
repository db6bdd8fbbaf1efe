// Gaussians to the screen (EWA splatting) and the way back of the gradients. Matrices are row-major.
#pragma once

struct Projection {
  float world[3], scale[3], opacity;
  float px, py, pz;                // mean in camera axes
  float slope_x, slope_y;          // where the projection is linearised
  bool inside_x, inside_y;         // the slopes are the mean's own, not the frustum margin's
  float w, x, y, z, inverse_norm;  // unit quaternion
  float rotation[9];               // world from the Gaussian's axes
  float jacobian[4];               // entries 00, 02, 11, 12 of the projection's [2, 3] Jacobian
  float screen_from_world[6];      // Jacobian times camera rotation
  float half[6];                   // screen_from_world * rotation * diag(scale): covariance = half half^T + blur
};

// false when the Gaussian is before the near plane or too faint
INLINE bool project_one(const Model &model, const View &view, int64_t i, Projection &p) {
  const float *m = model.means + 3 * i, *v = view.camera_from_world;
  p.px = v[0] * m[0] + v[1] * m[1] + v[2] * m[2] + v[3];
  p.py = v[4] * m[0] + v[5] * m[1] + v[6] * m[2] + v[7];
  p.pz = v[8] * m[0] + v[9] * m[1] + v[10] * m[2] + v[11];
  if (!(p.pz > view.near_plane)) return false;
  p.opacity = 1 / (1 + __builtin_expf(-model.opacity_logits[i]));
  if (!(p.opacity >= kMinAlpha)) return false;

  const float inverse_z = 1 / p.pz, own_x = p.px * inverse_z, own_y = p.py * inverse_z;
  const float margin_x = kFrustumMargin * view.width, margin_y = kFrustumMargin * view.height;
  p.slope_x = clamped(own_x, (-view.cx - margin_x) / view.fx, (view.width - view.cx + margin_x) / view.fx);
  p.slope_y = clamped(own_y, (-view.cy - margin_y) / view.fy, (view.height - view.cy + margin_y) / view.fy);
  p.inside_x = p.slope_x == own_x, p.inside_y = p.slope_y == own_y;
  float *j = p.jacobian;
  j[0] = view.fx * inverse_z, j[1] = -j[0] * p.slope_x, j[2] = view.fy * inverse_z, j[3] = -j[2] * p.slope_y;
  for (int k = 0; k < 3; k++) {
    p.screen_from_world[k] = j[0] * v[k] + j[1] * v[8 + k];
    p.screen_from_world[3 + k] = j[2] * v[4 + k] + j[3] * v[8 + k];
  }

  const float *q = model.quaternions + 4 * i;
  p.inverse_norm = 1 / __builtin_sqrtf(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  const float w = p.w = q[0] * p.inverse_norm, x = p.x = q[1] * p.inverse_norm;
  const float y = p.y = q[2] * p.inverse_norm, z = p.z = q[3] * p.inverse_norm;
  float *r = p.rotation;
  r[0] = 1 - 2 * (y * y + z * z), r[1] = 2 * (x * y - w * z), r[2] = 2 * (x * z + w * y);
  r[3] = 2 * (x * y + w * z), r[4] = 1 - 2 * (x * x + z * z), r[5] = 2 * (y * z - w * x);
  r[6] = 2 * (x * z - w * y), r[7] = 2 * (y * z + w * x), r[8] = 1 - 2 * (x * x + y * y);
  const float *t = p.screen_from_world;
  for (int k = 0; k < 3; k++) {
    p.world[k] = m[k];
    p.scale[k] = __builtin_expf(model.log_scales[3 * i + k]);
    p.half[k] = (t[0] * r[k] + t[1] * r[3 + k] + t[2] * r[6 + k]) * p.scale[k];
    p.half[3 + k] = (t[3] * r[k] + t[4] * r[3 + k] + t[5] * r[6 + k]) * p.scale[k];
  }
  return true;
}

struct Direction {
  float x, y, z, inverse_length;  // unit vector from the camera centre to the mean
};
INLINE void camera_centre(const View &view, float *centre) {
  const float *v = view.camera_from_world;
  for (int k = 0; k < 3; k++) centre[k] = -(v[k] * v[3] + v[4 + k] * v[7] + v[8 + k] * v[11]);
}
INLINE Direction view_direction(const float *mean, const float *centre) {
  const float x = mean[0] - centre[0], y = mean[1] - centre[1], z = mean[2] - centre[2];
  const float inverse = 1 / __builtin_sqrtf(x * x + y * y + z * z);
  return {x * inverse, y * inverse, z * inverse, inverse};
}

// (reference / distance)^fall-off * cos(angle to the optical axis)^cone
INLINE float brightness(const float *light, const Projection &p) {
  const float square = p.px * p.px + p.py * p.py + p.pz * p.pz;
  return __builtin_expf(0.5f * (light[1] * __builtin_logf(light[0] * light[0] / square) +
                                light[2] * __builtin_logf(p.pz * p.pz / square)));
}

INLINE bool all_finite(const float *values, int64_t count) {
  uint32_t largest = 0;  // of the bits without sign; integers, so that the loop is vectorised
  for (int64_t k = 0; k < count; k++) {
    uint32_t bits;
    memcpy(&bits, values + k, 4);
    bits &= 0x7fffffff;
    largest = bits > largest ? bits : largest;
  }
  return largest < 0x7f800000;
}

static bool project(Frame &frame, const Model &model, int64_t begin, int64_t end) {
  const View &view = frame.view;
  const int degree = view.sh_degree, bands = (degree + 1) * (degree + 1), coefficients = model.coefficients;
  float centre[3];
  camera_centre(view, centre);
  for (int64_t i = begin; i < end; i++) {
    const float *sh = model.sh + i * coefficients * 3;
    frame.visible[i] = 0;
    Projection p;
    if (!project_one(model, view, i, p)) continue;

    const float *h = p.half;
    const float xx = h[0] * h[0] + h[1] * h[1] + h[2] * h[2], yy = h[3] * h[3] + h[4] * h[4] + h[5] * h[5];
    const float xy = h[0] * h[3] + h[1] * h[4] + h[2] * h[5];
    // the determinant as |row x row|^2 plus the blur's part: nothing cancels, however thin the ellipse
    const float c0 = h[1] * h[5] - h[2] * h[4], c1 = h[2] * h[3] - h[0] * h[5], c2 = h[0] * h[4] - h[1] * h[3];
    const float determinant = c0 * c0 + c1 * c1 + c2 * c2 + kBlur * (xx + yy) + kBlur * kBlur;
    const float var_x = xx + kBlur, var_y = yy + kBlur, var_v = determinant / var_x;  // of dy given dx
    const float level = 2 * __builtin_logf(p.opacity / kMinAlpha);  // Mahalanobis distance^2 at which alpha ends
    Splat s;
    s.x = view.fx * p.px / p.pz + view.cx, s.y = view.fy * p.py / p.pz + view.cy;
    if (model.mean_offsets) s.x += model.mean_offsets[2 * i], s.y += model.mean_offsets[2 * i + 1];
    const float extent_x = __builtin_sqrtf(level * var_x), extent_y = __builtin_sqrtf(level * var_y);
    // written so that an overflow to infinity or NaN is not drawn
    if (!(s.x + extent_x >= 0.5f && s.x - extent_x <= view.width - 0.5f)) continue;
    if (!(s.y + extent_y >= 0.5f && s.y - extent_y <= view.height - 0.5f)) continue;
    if (!(determinant <= 3e38f)) continue;

    s.skew = -xy / var_x, s.fall_x = 0.5f * kLog2e / var_x, s.fall_v = 0.5f * kLog2e / var_v;
    s.opacity = p.opacity, s.cut = -0.5f * kLog2e * level;
    s.curve = var_v / var_x, s.reach = level * var_v, s.turn = -xy / var_y * extent_y;

    const Direction d = view_direction(p.world, centre);
    float basis[kMaxCoefficients], colour[3] = {0.5f, 0.5f, 0.5f};
    harmonics(degree, d.x, d.y, d.z, basis);
    for (int k = 0; k < bands; k++)
      for (int channel = 0; channel < 3; channel++) colour[channel] += basis[k] * sh[3 * k + channel];
    const float lit = model.light ? brightness(model.light + 3 * i, p) : 1;
    s.clamped = 0;
    for (int channel = 0; channel < 3; channel++) {
      if (colour[channel] < 0) s.clamped |= 1u << channel;
      s.colour[channel] = colour[channel] > 0 ? colour[channel] * lit : 0;
    }
    s.depth = p.pz;
    frame.projected[i] = s;
    frame.visible[i] = 1;
  }
  const int64_t count = end - begin, features = model.features_per_gaussian;
  return all_finite(model.means + 3 * begin, 3 * count) && all_finite(model.quaternions + 4 * begin, 4 * count) &&
         all_finite(model.log_scales + 3 * begin, 3 * count) && all_finite(model.opacity_logits + begin, count) &&
         all_finite(model.sh + 3 * coefficients * begin, 3 * coefficients * count) &&
         (!model.light || all_finite(model.light + 3 * begin, 3 * count)) &&
         (!model.features || all_finite(model.features + features * begin, features * count));
}

// Adds the slots of one Gaussian and carries their sum to its parameters and to the camera. `camera` [3, 4].
// CHANNELS = 0: as many as the backward pass has.
template <int CHANNELS>
INLINE void backward_one(const Frame &frame, const Model &model, const Gradients &out, int64_t i, const float *centre,
                         double *camera) {
  const View &view = frame.view;
  const float *v = view.camera_from_world;
  const uint32_t rank = frame.rank[i];
  const Splat &s = frame.splats[rank];
  const int channels = CHANNELS ? CHANNELS : frame.gradient_channels, slot_size = channels + kMoments;
  float sum[(CHANNELS ? CHANNELS : kMaxChannels) + kMoments];
  for (int k = 0; k < slot_size; k++) sum[k] = 0;
  for (uint32_t slot = frame.first_slot[rank]; slot < frame.first_slot[rank + 1]; slot++)
    for (int k = 0; k < slot_size; k++) sum[k] += frame.slots[(size_t)slot * slot_size + k];
  const float *moments = sum + channels;

  Projection p{};
  project_one(model, view, i, p);
  // with Q the inverse covariance, Q (dx, dy) = (a dx + b v, c v)
  const float a = s.fall_x * (2 / kLog2e), c = s.fall_v * (2 / kLog2e), b = s.skew * c;
  if (out.opacity_logits) out.opacity_logits[i] = moments[0] * (1 - p.opacity);
  const float by_x = a * moments[1] + b * moments[2], by_y = c * moments[2];
  if (out.mean_offsets) out.mean_offsets[2 * i] = by_x, out.mean_offsets[2 * i + 1] = by_y;

  // dL/dcovariance = 1/2 sum of g (Q d) (Q d)^T
  const float g00 = 0.5f * (a * a * moments[3] + 2 * a * b * moments[4] + b * b * moments[5]);
  const float g01 = 0.5f * (a * c * moments[4] + b * c * moments[5]), g11 = 0.5f * c * c * moments[5];

  float by_half[6], by_screen[6], by_rotation[9], by_scale[3];
  const float *h = p.half, *r = p.rotation, *t = p.screen_from_world;
  for (int k = 0; k < 3; k++) {
    by_half[k] = 2 * (g00 * h[k] + g01 * h[3 + k]);
    by_half[3 + k] = 2 * (g01 * h[k] + g11 * h[3 + k]);
  }
  for (int row = 0; row < 3; row++) {
    by_screen[row] = by_screen[3 + row] = 0;
    for (int k = 0; k < 3; k++) {
      const float root = r[3 * row + k] * p.scale[k];
      by_screen[row] += by_half[k] * root;
      by_screen[3 + row] += by_half[3 + k] * root;
    }
  }
  for (int k = 0; k < 3; k++) {
    by_scale[k] = 0;
    for (int row = 0; row < 3; row++) {
      const float by_root = t[row] * by_half[k] + t[3 + row] * by_half[3 + k];
      by_scale[k] += by_root * r[3 * row + k];
      by_rotation[3 * row + k] = by_root * p.scale[k];
    }
    if (out.log_scales) out.log_scales[3 * i + k] = by_scale[k] * p.scale[k];
  }
  if (out.quaternions) {
    const float w = p.w, x = p.x, y = p.y, z = p.z, *g = by_rotation;
    const float gw = 2 * (x * (g[7] - g[5]) + y * (g[2] - g[6]) + z * (g[3] - g[1]));
    const float gx = 2 * (y * (g[1] + g[3]) + z * (g[2] + g[6]) + w * (g[7] - g[5]) - 2 * x * (g[4] + g[8]));
    const float gy = 2 * (x * (g[1] + g[3]) + z * (g[5] + g[7]) + w * (g[2] - g[6]) - 2 * y * (g[0] + g[8]));
    const float gz = 2 * (x * (g[2] + g[6]) + y * (g[5] + g[7]) + w * (g[3] - g[1]) - 2 * z * (g[0] + g[4]));
    const float along = gw * w + gx * x + gy * y + gz * z;  // the norm does not count
    float *q = out.quaternions + 4 * i;
    q[0] = (gw - along * w) * p.inverse_norm, q[1] = (gx - along * x) * p.inverse_norm;
    q[2] = (gy - along * y) * p.inverse_norm, q[3] = (gz - along * z) * p.inverse_norm;
  }

  // centre and Jacobian to the mean in camera axes
  const float *j = p.jacobian, inverse_z = 1 / p.pz;
  float by_j[4] = {0, 0, 0, 0};
  for (int k = 0; k < 3; k++) {
    by_j[0] += by_screen[k] * v[k], by_j[1] += by_screen[k] * v[8 + k];
    by_j[2] += by_screen[3 + k] * v[4 + k], by_j[3] += by_screen[3 + k] * v[8 + k];
  }
  const float by_slope_x = p.inside_x ? -j[0] * by_j[1] : 0, by_slope_y = p.inside_y ? -j[2] * by_j[3] : 0;
  float by_camera[3];
  by_camera[0] = j[0] * by_x + by_slope_x * inverse_z;
  by_camera[1] = j[2] * by_y + by_slope_y * inverse_z;
  by_camera[2] = -inverse_z * (j[0] * by_x * p.px + j[2] * by_y * p.py + by_slope_x * p.slope_x +
                               by_slope_y * p.slope_y + j[0] * by_j[0] + j[1] * by_j[1] + j[2] * by_j[2] +
                               j[3] * by_j[3]);
  if (channels > 3) by_camera[2] += sum[3];

  // colour to the light, the coefficients and the viewing direction
  const int degree = view.sh_degree, bands = (degree + 1) * (degree + 1), coefficients = model.coefficients;
  const float *sh = model.sh + i * coefficients * 3;
  float by_colour[3], basis[kMaxCoefficients], weights[kMaxCoefficients], by_direction[3];
  for (int channel = 0; channel < 3; channel++) by_colour[channel] = s.clamped >> channel & 1 ? 0 : sum[channel];
  if (model.light) {
    const float *light = model.light + 3 * i, square = p.px * p.px + p.py * p.py + p.pz * p.pz;
    float by_log = 0;  // of the brightness
    const float lit = brightness(light, p);
    for (int channel = 0; channel < 3; channel++) {
      by_log += by_colour[channel] * s.colour[channel];
      by_colour[channel] *= lit;
    }
    const float pull = by_log * (light[1] + light[2]) / square;
    by_camera[0] -= pull * p.px, by_camera[1] -= pull * p.py;
    by_camera[2] += by_log * light[2] * inverse_z - pull * p.pz;
    if (out.light) {
      out.light[3 * i] = by_log * light[1] / light[0];
      out.light[3 * i + 1] = 0.5f * by_log * __builtin_logf(light[0] * light[0] / square);
      out.light[3 * i + 2] = 0.5f * by_log * __builtin_logf(p.pz * p.pz / square);
    }
  }
  const Direction d = view_direction(p.world, centre);
  harmonics(degree, d.x, d.y, d.z, basis);
  for (int k = 0; k < bands; k++)
    weights[k] = sh[3 * k] * by_colour[0] + sh[3 * k + 1] * by_colour[1] + sh[3 * k + 2] * by_colour[2];
  if (out.sh) {
    float *by_sh = out.sh + i * coefficients * 3;
    for (int k = 0; k < bands; k++)
      for (int channel = 0; channel < 3; channel++) by_sh[3 * k + channel] = basis[k] * by_colour[channel];
    for (int k = 3 * bands; k < 3 * coefficients; k++) by_sh[k] = 0;
  }
  harmonics_gradient(degree, d.x, d.y, d.z, weights, by_direction);
  const float along = by_direction[0] * d.x + by_direction[1] * d.y + by_direction[2] * d.z;
  const float unit[3] = {d.x, d.y, d.z};
  for (int k = 0; k < 3; k++) by_direction[k] = (by_direction[k] - along * unit[k]) * d.inverse_length;

  if (out.means)
    for (int k = 0; k < 3; k++)
      out.means[3 * i + k] =
          v[k] * by_camera[0] + v[4 + k] * by_camera[1] + v[8 + k] * by_camera[2] + by_direction[k];
  if (out.features)
    for (int k = 0; k < model.features_per_gaussian; k++)
      out.features[i * model.features_per_gaussian + k] = channels > 4 ? sum[4 + k] : 0;
  if (out.camera_from_world)
    for (int row = 0; row < 3; row++) {
      double through_centre = 0;  // the camera centre is -R^T t, and the direction falls when it grows
      for (int k = 0; k < 3; k++) {
        float through_jacobian = row == 0   ? j[0] * by_screen[k]
                                 : row == 1 ? j[2] * by_screen[3 + k]
                                            : j[1] * by_screen[k] + j[3] * by_screen[3 + k];
        camera[4 * row + k] += by_camera[row] * p.world[k] + through_jacobian + v[4 * row + 3] * by_direction[k];
        through_centre += v[4 * row + k] * by_direction[k];
      }
      camera[4 * row + 3] += by_camera[row] + through_centre;
    }
}

template <int CHANNELS>
static void project_backward_range(const Frame &frame, const Model &model, const Gradients &out, int64_t begin,
                                   int64_t end, double camera_gradient[12]) {
  float centre[3];
  camera_centre(frame.view, centre);
  for (int64_t i = begin; i < end; i++) {
    if (i + 8 < end && frame.visible[i + 8]) {
      const uint32_t rank = frame.rank[i + 8];
      __builtin_prefetch(&frame.splats[rank]);
      __builtin_prefetch(&frame.slots[(size_t)frame.first_slot[rank] * (frame.gradient_channels + kMoments)]);
    }
    if (frame.visible[i]) {
      backward_one<CHANNELS>(frame, model, out, i, centre, camera_gradient);
      continue;
    }
    if (out.means) memset(out.means + 3 * i, 0, 12);
    if (out.quaternions) memset(out.quaternions + 4 * i, 0, 16);
    if (out.log_scales) memset(out.log_scales + 3 * i, 0, 12);
    if (out.opacity_logits) out.opacity_logits[i] = 0;
    if (out.sh) memset(out.sh + i * model.coefficients * 3, 0, 12 * model.coefficients);
    if (out.light) memset(out.light + 3 * i, 0, 12);
    if (out.mean_offsets) memset(out.mean_offsets + 2 * i, 0, 8);
    if (out.features)
      memset(out.features + i * model.features_per_gaussian, 0, 4 * model.features_per_gaussian);
  }
}

static void project_backward(const Frame &frame, const Model &model, const Gradients &out, int64_t begin, int64_t end,
                             double camera_gradient[12]) {
  switch (frame.gradient_channels) {
    case 3: return project_backward_range<3>(frame, model, out, begin, end, camera_gradient);
    case 4: return project_backward_range<4>(frame, model, out, begin, end, camera_gradient);
    case 5: return project_backward_range<5>(frame, model, out, begin, end, camera_gradient);
    default: return project_backward_range<0>(frame, model, out, begin, end, camera_gradient);
  }
}
