// L1 and structural similarity (Wang et al. 2004: 11 x 11 Gaussian window of sigma 1.5, constants 0.01^2 and 0.03^2,
// windows that lie wholly in the image), with the gradient by the image. Rows are independent tasks.
#pragma once

struct Window {
  float weight[kWindow];
};
static Window gaussian_window() {
  Window window;
  float sum = 0;
  for (int k = 0; k < kWindow; k++) sum += window.weight[k] = __builtin_expf(-(k - kRadius) * (k - kRadius) / 4.5f);
  for (int k = 0; k < kWindow; k++) window.weight[k] /= sum;
  return window;
}

INLINE double ordered_sum(const float *values, int count) {
  float partial[16] = {0};
  int i = 0;
  for (; i + 16 <= count; i += 16)
    for (int k = 0; k < 16; k++) partial[k] += values[i + k];
  double sum = 0;
  for (; i < count; i++) sum += values[i];
  for (int k = 0; k < 16; k++) sum += partial[k];
  return sum;
}

// Pixels of a row that count, with the others set equal to the target.
INLINE const float *masked_row(const SsimTask &task, int plane, int row, float *buffer) {
  const size_t offset = ((size_t)plane * task.height + row) * task.width;
  if (!task.mask) return task.image + offset;
  const uint8_t *mask = task.mask + (size_t)row * task.width;
  for (int i = 0; i < task.width; i++) buffer[i] = mask[i] ? task.image[offset + i] : task.target[offset + i];
  return buffer;
}

// Rows [begin, end) of planes * height: SSIM around each window centre, its sum, and its derivatives by the windowed
// means of x, x^2 and x y (0 where no whole window fits).
static void ssim_rows(const SsimTask &task, int begin, int end, double &sum) {
  const Window window = gaussian_window();
  const int width = task.width, valid = width - 2 * kRadius;
  std::vector<float> memory(7 * width);
  float *moment[5], *values = memory.data() + 5 * width, *buffer = values + width;
  for (int k = 0; k < 5; k++) moment[k] = memory.data() + k * width;
  for (int line = begin; line < end; line++) {
    const int plane = line / task.height, row = line % task.height;
    float *out[3];
    for (int k = 0; k < 3; k++) {
      out[k] = task.partial[k] + (size_t)line * width;
      memset(out[k], 0, 4 * width);
    }
    if (row < kRadius || row >= task.height - kRadius) continue;
    memset(memory.data(), 0, 20 * width);
    float *m0 = moment[0], *m1 = moment[1], *m2 = moment[2], *m3 = moment[3], *m4 = moment[4];
    for (int tap = 0; tap < kWindow; tap++) {
      const int source = row + tap - kRadius;
      const float *x = masked_row(task, plane, source, buffer), w = window.weight[tap];
      const float *y = task.target + ((size_t)plane * task.height + source) * width;
#pragma GCC ivdep
      for (int i = 0; i < width; i++) {
        const float wx = w * x[i], wy = w * y[i];
        m0[i] += wx, m1[i] += wy, m2[i] += wx * x[i], m3[i] += wy * y[i], m4[i] += wx * y[i];
      }
    }
#pragma GCC ivdep
    for (int i = 0; i < valid; i++) {
      float mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
#pragma GCC unroll 11
      for (int tap = 0; tap < kWindow; tap++) {
        const float w = window.weight[tap];
        mx += w * m0[i + tap], my += w * m1[i + tap];
        xx += w * m2[i + tap], yy += w * m3[i + tap], xy += w * m4[i + tap];
      }
      const float c1 = 1e-4f, c2 = 9e-4f;
      const float luminance = 2 * mx * my + c1, structure = 2 * (xy - mx * my) + c2;
      const float energy = mx * mx + my * my + c1, variance = xx - mx * mx + yy - my * my + c2;
      const float inverse = 1 / (energy * variance), ssim = luminance * structure * inverse;
      const float by_variance = -ssim / variance, by_covariance = 2 * luminance * inverse;
      values[i] = ssim;
      out[0][i + kRadius] = 2 * my * structure * inverse - 2 * mx * ssim / energy - 2 * mx * by_variance -
                            my * by_covariance;
      out[1][i + kRadius] = by_variance;
      out[2][i + kRadius] = by_covariance;
    }
    sum += ordered_sum(values, valid);
  }
}

// Rows [begin, end): gradient of the whole loss; `sum` grows by the absolute differences.
static void ssim_gradient_rows(const SsimTask &task, int begin, int end, double &sum) {
  const Window window = gaussian_window();
  const int width = task.width, padded = width + 2 * kRadius;
  const float windows = (float)task.planes * (task.height - 2 * kRadius) * (width - 2 * kRadius);
  const float ssim_scale = -task.weight / windows, l1_scale = (1 - task.weight) * task.l1_scale;
  std::vector<float> memory(3 * padded + 2 * width);
  float *b0 = memory.data(), *b1 = b0 + padded, *b2 = b1 + padded, *values = b2 + padded, *buffer = values + width;
  for (int line = begin; line < end; line++) {
    const int plane = line / task.height, row = line % task.height;
    memset(b0, 0, 12 * padded);
    for (int tap = 0; tap < kWindow; tap++) {
      const int source = row + tap - kRadius;
      if (source < 0 || source >= task.height) continue;
      const float w = window.weight[tap];
      const size_t offset = ((size_t)plane * task.height + source) * width;
      const float *p0 = task.partial[0] + offset, *p1 = task.partial[1] + offset, *p2 = task.partial[2] + offset;
#pragma GCC ivdep
      for (int i = 0; i < width; i++) {
        b0[i + kRadius] += w * p0[i], b1[i + kRadius] += w * p1[i], b2[i + kRadius] += w * p2[i];
      }
    }
    const float *x = masked_row(task, plane, row, buffer), *y = task.target + (size_t)line * width;
    float *gradient = task.gradient + (size_t)line * width;
#pragma GCC ivdep
    for (int i = 0; i < width; i++) {
      float by_mean = 0, by_square = 0, by_product = 0;
#pragma GCC unroll 11
      for (int tap = 0; tap < kWindow; tap++) {
        const float w = window.weight[tap];
        by_mean += w * b0[i + tap], by_square += w * b1[i + tap], by_product += w * b2[i + tap];
      }
      const float difference = x[i] - y[i], sign = (difference > 0) - (difference < 0);
      values[i] = __builtin_fabsf(difference);
      gradient[i] = ssim_scale * (by_mean + 2 * x[i] * by_square + y[i] * by_product) + l1_scale * sign;
    }
    if (task.mask) {
      const uint8_t *mask = task.mask + (size_t)row * width;
#pragma GCC ivdep
      for (int i = 0; i < width; i++) gradient[i] = mask[i] ? gradient[i] : 0;
    }
    sum += ordered_sum(values, width);
  }
}
