// Gaussians to the screen (EWA splatting) and the way back of the gradients; a lane for each of kLanes Gaussians in a
// row. Matrices are row-major.
#pragma once

struct Projection {
  IntLanes index;  // of the Gaussians, from the first of the group; a short group repeats its last
  Mask drawn;      // behind the near plane and not too faint
  Lanes world[3], scale[3], opacity;
  Lanes px, py, pz;              // mean in camera axes
  Lanes slope_x, slope_y;        // where the projection is linearised
  Mask inside_x, inside_y;       // the slopes are the mean's own, not the frustum margin's
  Lanes w, x, y, z, inverse_norm;  // unit quaternion
  Lanes rotation[9];               // world from the Gaussian's axes
  Lanes jacobian[4];               // entries 00, 02, 11, 12 of the projection's [2, 3] Jacobian
  Lanes screen_from_world[6];      // Jacobian times camera rotation
  Lanes half[6];                   // screen_from_world * rotation * diag(scale): covariance = half half^T + blur
  Lanes var_x, var_y, xy;          // the covariance, blurred
  Lanes var_v;                     // of dy given dx
};

// Gaussians [begin, min(begin + kLanes, end))
INLINE void project_group(const Model &model, const View &view, int64_t begin, int64_t end, Projection &p) {
  const int count = end - begin < kLanes ? (int)(end - begin) : kLanes;
  const IntLanes lane = numbered();
  p.index = select(less(lane, all(count)), lane, all(count - 1));
  const float *v = view.camera_from_world;
  Lanes m[3], q[4];
  for (int k = 0; k < 3; k++) m[k] = gather(model.means + 3 * begin + k, p.index * 3);
  p.px = v[0] * m[0] + v[1] * m[1] + v[2] * m[2] + v[3];
  p.py = v[4] * m[0] + v[5] * m[1] + v[6] * m[2] + v[7];
  p.pz = v[8] * m[0] + v[9] * m[1] + v[10] * m[2] + v[11];
  p.opacity = 1 / (1 + exponential(-gather(model.opacity_logits + begin, p.index)));
  p.drawn = both(less(lane, all(count)), both(at_least(p.opacity, all(kMinAlpha)),
                                              without(at_least(p.pz, all(view.near_plane)),
                                                      at_least(all(view.near_plane), p.pz))));

  const Lanes inverse_z = 1 / p.pz, own_x = p.px * inverse_z, own_y = p.py * inverse_z;
  const float margin_x = kFrustumMargin * view.width, margin_y = kFrustumMargin * view.height;
  const float left = (-view.cx - margin_x) / view.fx, right = (view.width - view.cx + margin_x) / view.fx;
  const float top = (-view.cy - margin_y) / view.fy, bottom = (view.height - view.cy + margin_y) / view.fy;
  p.slope_x = smaller(larger(own_x, all(left)), all(right)), p.slope_y = smaller(larger(own_y, all(top)), all(bottom));
  p.inside_x = both(at_least(own_x, all(left)), at_least(all(right), own_x));
  p.inside_y = both(at_least(own_y, all(top)), at_least(all(bottom), own_y));
  Lanes *j = p.jacobian, *t = p.screen_from_world;
  j[0] = view.fx * inverse_z, j[1] = -j[0] * p.slope_x, j[2] = view.fy * inverse_z, j[3] = -j[2] * p.slope_y;
  for (int k = 0; k < 3; k++) {
    t[k] = j[0] * v[k] + j[1] * v[8 + k];
    t[3 + k] = j[2] * v[4 + k] + j[3] * v[8 + k];
  }

  for (int k = 0; k < 4; k++) q[k] = gather(model.quaternions + 4 * begin + k, p.index * 4);
  p.inverse_norm = 1 / root(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  const Lanes w = p.w = q[0] * p.inverse_norm, x = p.x = q[1] * p.inverse_norm;
  const Lanes y = p.y = q[2] * p.inverse_norm, z = p.z = q[3] * p.inverse_norm;
  Lanes *r = p.rotation, *h = p.half;
  r[0] = 1 - 2 * (y * y + z * z), r[1] = 2 * (x * y - w * z), r[2] = 2 * (x * z + w * y);
  r[3] = 2 * (x * y + w * z), r[4] = 1 - 2 * (x * x + z * z), r[5] = 2 * (y * z - w * x);
  r[6] = 2 * (x * z - w * y), r[7] = 2 * (y * z + w * x), r[8] = 1 - 2 * (x * x + y * y);
  for (int k = 0; k < 3; k++) {
    p.world[k] = m[k];
    p.scale[k] = exponential(gather(model.log_scales + 3 * begin + k, p.index * 3));
    h[k] = (t[0] * r[k] + t[1] * r[3 + k] + t[2] * r[6 + k]) * p.scale[k];
    h[3 + k] = (t[3] * r[k] + t[4] * r[3 + k] + t[5] * r[6 + k]) * p.scale[k];
  }
  const Lanes xx = h[0] * h[0] + h[1] * h[1] + h[2] * h[2], yy = h[3] * h[3] + h[4] * h[4] + h[5] * h[5];
  // the determinant as |row x row|^2 plus the blur's part: nothing cancels, however thin the ellipse
  const Lanes c0 = h[1] * h[5] - h[2] * h[4], c1 = h[2] * h[3] - h[0] * h[5], c2 = h[0] * h[4] - h[1] * h[3];
  const Lanes determinant = c0 * c0 + c1 * c1 + c2 * c2 + kBlur * (xx + yy) + kBlur * kBlur;
  p.xy = h[0] * h[3] + h[1] * h[4] + h[2] * h[5];
  p.var_x = xx + kBlur, p.var_y = yy + kBlur, p.var_v = determinant / p.var_x;
  p.drawn = both(p.drawn, at_least(all(3e38f), determinant));  // not when it overflows to infinity or NaN
}

struct Direction {
  Lanes unit[3], inverse_length;  // from the camera centre to the mean
};
INLINE Direction view_direction(const View &view, const Lanes *mean) {
  const float *v = view.camera_from_world;
  Direction d;
  for (int k = 0; k < 3; k++) d.unit[k] = mean[k] + (v[k] * v[3] + v[4 + k] * v[7] + v[8 + k] * v[11]);
  d.inverse_length = 1 / root(d.unit[0] * d.unit[0] + d.unit[1] * d.unit[1] + d.unit[2] * d.unit[2]);
  for (int k = 0; k < 3; k++) d.unit[k] *= d.inverse_length;
  return d;
}

// A light at the camera: brightness = (reference / distance)^fall-off * cos(angle to the optical axis)^cone
struct Light {
  Lanes reference, falloff, cone, log_distance, log_cosine, brightness;
};
INLINE Light light_on(const Model &model, int64_t begin, const Projection &p) {
  Light l;
  const float *light = model.light + 3 * begin;
  l.reference = gather(light, p.index * 3);
  l.falloff = gather(light + 1, p.index * 3), l.cone = gather(light + 2, p.index * 3);
  const Lanes square = p.px * p.px + p.py * p.py + p.pz * p.pz;
  l.log_distance = 0.5f * logarithm(l.reference * l.reference / square);
  l.log_cosine = 0.5f * logarithm(p.pz * p.pz / square);
  l.brightness = exponential(l.falloff * l.log_distance + l.cone * l.log_cosine);
  return l;
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
  for (int64_t first = begin; first < end; first += kLanes) {
    const int group = end - first < kLanes ? (int)(end - first) : kLanes;
    Projection p;
    project_group(model, view, first, end, p);
    const Lanes level = 2 * logarithm(p.opacity * (1 / kMinAlpha));  // Mahalanobis distance^2 at which alpha ends
    Lanes x = view.fx * p.px / p.pz + view.cx, y = view.fy * p.py / p.pz + view.cy;
    if (model.mean_offsets) {
      x += gather(model.mean_offsets + 2 * first, p.index * 2);
      y += gather(model.mean_offsets + 2 * first + 1, p.index * 2);
    }
    const Lanes extent_x = root(level * p.var_x), extent_y = root(level * p.var_y);
    p.drawn = both(p.drawn, both(at_least(x + extent_x, all(0.5f)), at_least(all(view.width - 0.5f), x - extent_x)));
    p.drawn = both(p.drawn, both(at_least(y + extent_y, all(0.5f)), at_least(all(view.height - 0.5f), y - extent_y)));
    const uint32_t drawn = bits(p.drawn);
    for (int lane = 0; lane < group; lane++) frame.visible[first + lane] = drawn >> lane & 1;
    if (!drawn) continue;

    const Direction d = view_direction(view, p.world);
    Lanes basis[kMaxCoefficients], colour[3];
    harmonics(degree, d.unit[0], d.unit[1], d.unit[2], basis);
    Lanes sh[kShRow];
    load_rows(model.sh + first * coefficients * 3, coefficients * 3, group, bands * 3, sh);
    for (int channel = 0; channel < 3; channel++) colour[channel] = all(0.5f);
    for (int k = 0; k < bands; k++)
      for (int channel = 0; channel < 3; channel++) colour[channel] += basis[k] * sh[3 * k + channel];
    if (model.light) {
      const Lanes brightness = light_on(model, first, p).brightness;
      for (int channel = 0; channel < 3; channel++) colour[channel] *= brightness;
    }
    const Lanes skew = -p.xy / p.var_x, fall_x = 0.5f * kLog2e / p.var_x, fall_v = 0.5f * kLog2e / p.var_v;
    const Lanes lift = kMinPower + 0.5f * kLog2e * level, curve = p.var_v / p.var_x, reach = level * p.var_v;
    const Lanes turn = -p.xy / p.var_y * extent_y;
    IntLanes clamped = {};
    for (int channel = 0; channel < 3; channel++)
      clamped += select(at_least(colour[channel], Lanes{}), IntLanes{}, all(1 << channel));
    Lanes fields[kSplatFields] = {x, y, skew, fall_x, fall_v, lift, curve, reach, turn};
    for (int channel = 0; channel < 3; channel++) fields[9 + channel] = larger(colour[channel], Lanes{});
    fields[12] = p.pz, fields[13] = (Lanes)clamped, fields[14] = fields[15] = Lanes{};
    store_rows(fields, kSplatFields, group, kSplatFields, &frame.projected[first].x);
  }
  const int64_t count = end - begin, features = model.features_per_gaussian;
  return all_finite(model.means + 3 * begin, 3 * count) && all_finite(model.quaternions + 4 * begin, 4 * count) &&
         all_finite(model.log_scales + 3 * begin, 3 * count) && all_finite(model.opacity_logits + begin, count) &&
         all_finite(model.sh + 3 * coefficients * begin, 3 * coefficients * count) &&
         (!model.light || all_finite(model.light + 3 * begin, 3 * count)) &&
         (!model.features || all_finite(model.features + features * begin, features * count));
}

// Adds the slots of each Gaussian of a group and carries their sums to its parameters and to the camera. Gradients of
// Gaussians that were not drawn are 0. `camera` [12] grows by each lane's part.
// CHANNELS = 0: as many as the backward pass has.
template <int CHANNELS>
static void backward_group(const Frame &frame, const Model &model, const Gradients &out, int64_t begin, int64_t end,
                           Lanes *camera) {
  const View &view = frame.view;
  const float *v = view.camera_from_world;
  const int channels = CHANNELS ? CHANNELS : frame.gradient_channels;
  const int slot_size = channels + kMoments + (frame.absolute ? 2 : 0);
  constexpr int kMost = (CHANNELS ? CHANNELS : kMaxChannels) + kMoments + 2, kParts = (kMost + kLanes - 1) / kLanes;
  const int group = end - begin < kLanes ? (int)(end - begin) : kLanes;
  Lanes sums[kParts * kLanes], splats[kSplatFields];
  IntLanes seen = {};
  for (int lane = 0; lane < kLanes; lane++) {
    for (int part = 0; part * kLanes < slot_size; part++) sums[part * kLanes + lane] = Lanes{};
    if (lane >= group || !frame.visible[begin + lane]) continue;
    seen[lane] = 1;
    const uint32_t *slot = &frame.first_slot[begin + lane];
    for (uint32_t i = slot[0]; i < slot[1]; i++)
      for (int part = 0; part * kLanes < slot_size; part++)
        sums[part * kLanes + lane] += load(&frame.slots[(size_t)i * slot_size + part * kLanes]);
  }
  for (int part = 0; part * kLanes < slot_size; part++) transpose(sums + part * kLanes);
  load_rows(&frame.projected[begin].x, kSplatFields, group, kSplatFields, splats);
  auto total = [&](int k) { return sums[k]; };
  auto moment = [&](int k) { return sums[channels + k]; };

  Projection p;
  project_group(model, view, begin, end, p);
  const Mask valid = less(numbered(), all(group)), drawn = less(IntLanes{}, seen);
  const IntLanes by_2 = p.index * 2, by_3 = p.index * 3, by_4 = p.index * 4;
  auto store = [&](float *to, IntLanes index, Lanes value) { scatter(to, index, kept(drawn, value), valid); };

  // with Q the inverse covariance, Q (dx, dy) = (a dx + b v, c v)
  const Lanes a = 1 / p.var_x, c = 1 / p.var_v, b = -p.xy * a * c;
  if (out.opacity_logits) store(out.opacity_logits + begin, p.index, moment(0) * (1 - p.opacity));
  const Lanes by_x = a * moment(1) + b * moment(2), by_y = c * moment(2);
  if (out.mean_offsets) {
    store(out.mean_offsets + 2 * begin, by_2, by_x);
    store(out.mean_offsets + 2 * begin + 1, by_2, by_y);
  }
  if (out.absolute_offsets) {
    store(out.absolute_offsets + 2 * begin, by_2, a * moment(6));
    store(out.absolute_offsets + 2 * begin + 1, by_2, c * moment(7));
  }

  // dL/dcovariance = 1/2 sum of g (Q d) (Q d)^T
  const Lanes g00 = 0.5f * (a * a * moment(3) + 2 * a * b * moment(4) + b * b * moment(5));
  const Lanes g01 = 0.5f * (a * c * moment(4) + b * c * moment(5)), g11 = 0.5f * c * c * moment(5);

  Lanes by_half[6], by_screen[6], by_rotation[9];
  const Lanes *h = p.half, *r = p.rotation, *t = p.screen_from_world;
  for (int k = 0; k < 3; k++) {
    by_half[k] = 2 * (g00 * h[k] + g01 * h[3 + k]);
    by_half[3 + k] = 2 * (g01 * h[k] + g11 * h[3 + k]);
  }
  for (int row = 0; row < 3; row++) {
    by_screen[row] = by_screen[3 + row] = Lanes{};
    for (int k = 0; k < 3; k++) {
      const Lanes column = r[3 * row + k] * p.scale[k];
      by_screen[row] += by_half[k] * column;
      by_screen[3 + row] += by_half[3 + k] * column;
    }
  }
  for (int k = 0; k < 3; k++) {
    Lanes by_scale = {};
    for (int row = 0; row < 3; row++) {
      const Lanes by_column = t[row] * by_half[k] + t[3 + row] * by_half[3 + k];
      by_scale += by_column * r[3 * row + k];
      by_rotation[3 * row + k] = by_column * p.scale[k];
    }
    if (out.log_scales) store(out.log_scales + 3 * begin + k, by_3, by_scale * p.scale[k]);
  }
  if (out.quaternions) {
    const Lanes w = p.w, x = p.x, y = p.y, z = p.z, *g = by_rotation;
    const Lanes gw = 2 * (x * (g[7] - g[5]) + y * (g[2] - g[6]) + z * (g[3] - g[1]));
    const Lanes gx = 2 * (y * (g[1] + g[3]) + z * (g[2] + g[6]) + w * (g[7] - g[5]) - 2 * x * (g[4] + g[8]));
    const Lanes gy = 2 * (x * (g[1] + g[3]) + z * (g[5] + g[7]) + w * (g[2] - g[6]) - 2 * y * (g[0] + g[8]));
    const Lanes gz = 2 * (x * (g[2] + g[6]) + y * (g[5] + g[7]) + w * (g[3] - g[1]) - 2 * z * (g[0] + g[4]));
    const Lanes along = gw * w + gx * x + gy * y + gz * z;  // the norm does not count
    const Lanes by_unit[4] = {gw - along * w, gx - along * x, gy - along * y, gz - along * z};
    for (int k = 0; k < 4; k++) store(out.quaternions + 4 * begin + k, by_4, by_unit[k] * p.inverse_norm);
  }

  // centre and Jacobian to the mean in camera axes
  const Lanes *j = p.jacobian, inverse_z = 1 / p.pz;
  Lanes by_j[4] = {};
  for (int k = 0; k < 3; k++) {
    by_j[0] += by_screen[k] * v[k], by_j[1] += by_screen[k] * v[8 + k];
    by_j[2] += by_screen[3 + k] * v[4 + k], by_j[3] += by_screen[3 + k] * v[8 + k];
  }
  const Lanes by_slope_x = kept(p.inside_x, -j[0] * by_j[1]), by_slope_y = kept(p.inside_y, -j[2] * by_j[3]);
  Lanes by_camera[3];
  by_camera[0] = j[0] * by_x + by_slope_x * inverse_z;
  by_camera[1] = j[2] * by_y + by_slope_y * inverse_z;
  by_camera[2] = -inverse_z * (j[0] * by_x * p.px + j[2] * by_y * p.py + by_slope_x * p.slope_x +
                               by_slope_y * p.slope_y + j[0] * by_j[0] + j[1] * by_j[1] + j[2] * by_j[2] +
                               j[3] * by_j[3]);
  if (channels > 3) by_camera[2] += total(3);

  // colour to the light, the coefficients and the viewing direction
  Lanes by_colour[3];
  for (int channel = 0; channel < 3; channel++)
    by_colour[channel] = choose(has_bit((IntLanes)splats[13], channel), Lanes{}, total(channel));
  if (model.light) {
    const Light l = light_on(model, begin, p);
    Lanes by_log = {};  // of the brightness
    for (int channel = 0; channel < 3; channel++) {
      by_log += by_colour[channel] * splats[9 + channel];
      by_colour[channel] *= l.brightness;
    }
    const Lanes pull = by_log * (l.falloff + l.cone) / (p.px * p.px + p.py * p.py + p.pz * p.pz);
    by_camera[0] -= pull * p.px, by_camera[1] -= pull * p.py;
    by_camera[2] += by_log * l.cone * inverse_z - pull * p.pz;
    if (out.light) {
      store(out.light + 3 * begin, by_3, by_log * l.falloff / l.reference);
      store(out.light + 3 * begin + 1, by_3, by_log * l.log_distance);
      store(out.light + 3 * begin + 2, by_3, by_log * l.log_cosine);
    }
  }
  const Direction d = view_direction(view, p.world);
  const int degree = view.sh_degree, bands = (degree + 1) * (degree + 1), coefficients = model.coefficients;
  Lanes basis[kMaxCoefficients], weights[kMaxCoefficients], by_direction[3];
  harmonics(degree, d.unit[0], d.unit[1], d.unit[2], basis);
  const int columns = 3 * coefficients;
  Lanes sh[kShRow];
  load_rows(model.sh + begin * columns, columns, group, 3 * bands, sh);
  for (int k = 0; k < bands; k++) {
    weights[k] = Lanes{};
    for (int channel = 0; channel < 3; channel++) weights[k] += sh[3 * k + channel] * by_colour[channel];
  }
  if (out.sh) {
    for (int k = 0; k < coefficients; k++)
      for (int channel = 0; channel < 3; channel++)
        sh[3 * k + channel] = k < bands ? kept(drawn, basis[k] * by_colour[channel]) : Lanes{};
    store_rows(sh, columns, group, columns, out.sh + begin * columns);
  }
  harmonics_gradient(degree, d.unit[0], d.unit[1], d.unit[2], weights, by_direction);
  const Lanes along = by_direction[0] * d.unit[0] + by_direction[1] * d.unit[1] + by_direction[2] * d.unit[2];
  for (int k = 0; k < 3; k++) by_direction[k] = (by_direction[k] - along * d.unit[k]) * d.inverse_length;

  if (out.means)
    for (int k = 0; k < 3; k++)
      store(out.means + 3 * begin + k, by_3,
            v[k] * by_camera[0] + v[4 + k] * by_camera[1] + v[8 + k] * by_camera[2] + by_direction[k]);
  if (out.features) {
    const int width = model.features_per_gaussian;
    for (int lane = 0; lane < group; lane++)
      for (int k = 0; k < width; k++) out.features[(begin + lane) * width + k] = channels > 4 ? sums[4 + k][lane] : 0;
  }
  if (out.camera_from_world)
    for (int axis = 0; axis < 3; axis++) {
      Lanes through_centre = {};  // the camera centre is -R^T t, and the direction falls when it grows
      for (int k = 0; k < 3; k++) {
        const Lanes through_jacobian = axis == 0   ? j[0] * by_screen[k]
                                       : axis == 1 ? j[2] * by_screen[3 + k]
                                                   : j[1] * by_screen[k] + j[3] * by_screen[3 + k];
        camera[4 * axis + k] +=
            kept(drawn, by_camera[axis] * p.world[k] + through_jacobian + v[4 * axis + 3] * by_direction[k]);
        through_centre += v[4 * axis + k] * by_direction[k];
      }
      camera[4 * axis + 3] += kept(drawn, by_camera[axis] + through_centre);
    }
}

template <int CHANNELS>
static void project_backward_range(const Frame &frame, const Model &model, const Gradients &out, int64_t begin,
                                   int64_t end, double camera_gradient[12]) {
  Lanes camera[12] = {};
  for (int64_t first = begin; first < end; first += kLanes)
    backward_group<CHANNELS>(frame, model, out, first, end, camera);
  for (int k = 0; k < 12; k++)
    for (int lane = 0; lane < kLanes; lane++) camera_gradient[k] += camera[k][lane];
}

static void project_backward(const Frame &frame, const Model &model, const Gradients &out, int64_t begin, int64_t end,
                             double camera_gradient[12]) {
  switch (frame.gradient_channels) {
    case 3: return project_backward_range<3>(frame, model, out, begin, end, camera_gradient);
    case 5: return project_backward_range<5>(frame, model, out, begin, end, camera_gradient);
    default: return project_backward_range<0>(frame, model, out, begin, end, camera_gradient);
  }
}
