// L1 and structural similarity (Wang et al. 2004: 11 x 11 Gaussian window of sigma 1.5, constants 0.01^2 and 0.03^2,
// windows that lie wholly in the image), with the gradient by the image. Strips of kLanes rows are independent tasks.
//
// Windows are summed down the columns a vector of columns at a time; the strip is then transposed, so that a vector holds
// one column, and summing along the rows, too, adds whole vectors.
#pragma once

// `count` values, up to kLanes, and 0 behind them
INLINE Lanes load_some(const float *from, int count) {
  if (count >= kLanes) return load(from);
  Lanes lanes = {};
  for (int lane = 0; lane < count; lane++) lanes[lane] = from[lane];
  return lanes;
}

struct PixelPair {
  Lanes x, y;  // image and target; equal where the mask says that the pixel does not count
  IntLanes counts;
};
INLINE PixelPair pixel_pair(const SsimTask &task, int plane, int row, int column) {
  const size_t offset = ((size_t)plane * task.height + row) * task.width + column;
  const int count = task.width - column;
  PixelPair pair = {load_some(task.image + offset, count), load_some(task.target + offset, count), all(1)};
  if (task.mask) {
    const uint8_t *mask = task.mask + (size_t)row * task.width + column;
    for (int lane = 0; lane < kLanes; lane++) pair.counts[lane] = lane < count && mask[lane];
    pair.x = choose(less(IntLanes{}, pair.counts), pair.x, pair.y);
  }
  return pair;
}

struct Window {
  Lanes half[kRadius + 1];  // weights; the other half mirrors them
};
INLINE Window window_of(const SsimTask &task) {
  Window window;
  for (int k = 0; k <= kRadius; k++) window.half[k] = all(task.window[k]);
  return window;
}
INLINE void store_some(float *to, Lanes values, int count) {
  if (count >= kLanes)
    store(to, values);
  else
    memcpy(to, &values, sizeof(float) * count);
}

// weighted sum of vectors `stride` apart
INLINE Lanes windowed(const Window &window, const Lanes *values, int stride) {
  Lanes sum = window.half[0] * values[0];
#pragma GCC unroll 16
  for (int tap = 1; tap < kWindow; tap++)
    sum += window.half[tap <= kRadius ? tap : kWindow - 1 - tap] * values[tap * stride];
  return sum;
}

// SSIM of the windows centred on rows [begin, begin + kLanes) of a plane: its sum grows, and the derivatives by the
// windowed means of x, x^2 and x y, summed along the rows as the gradient wants them, go to task.partial.
static void ssim_strip(const SsimTask &task, int plane, int begin, double &sum) {
  const Window window = window_of(task);
  const int width = task.width, vectors = (width + kLanes - 1) / kLanes;
  constexpr int kSource = kLanes + 2 * kRadius;
  // by column: five moments, then, 2 kRadius before the centre of their window, three derivatives between zeros
  constexpr int kMaps = 5, kBefore = 3 * kRadius;
  static thread_local std::vector<float> memory;
  memory.resize((size_t)(vectors * kLanes + kBefore + 1) * kMaps * kLanes);
  Lanes *columns = (Lanes *)(((uintptr_t)memory.data() + sizeof(Lanes) - 1) / sizeof(Lanes) * sizeof(Lanes));
  for (int i = 0; i < kBefore * kMaps; i++) columns[i] = Lanes{};
  columns += kBefore * kMaps;

  IntLanes whole = {};  // rows whose windows lie in the image
  for (int lane = 0; lane < kLanes; lane++)
    whole[lane] = begin + lane >= kRadius && begin + lane < task.height - kRadius;
  const Mask valid = less(IntLanes{}, whole);
  for (int vector = 0; vector < vectors; vector++) {
    Lanes products[kSource][kMaps], moments[kMaps][kLanes];
    for (int k = 0; k < kSource; k++) {
      const int row = begin + k - kRadius, inside = row < 0 ? 0 : row < task.height ? row : task.height - 1;
      const PixelPair p = pixel_pair(task, plane, inside, vector * kLanes);
      products[k][0] = p.x, products[k][1] = p.y;
      products[k][2] = p.x * p.x, products[k][3] = p.y * p.y, products[k][4] = p.x * p.y;
    }
    for (int row = 0; row < kLanes; row++)
      for (int k = 0; k < kMaps; k++) moments[k][row] = windowed(window, &products[row][k], kMaps);
    for (int k = 0; k < kMaps; k++) {
      transpose(moments[k]);
      for (int lane = 0; lane < kLanes; lane++) columns[(vector * kLanes + lane) * kMaps + k] = moments[k][lane];
    }
  }

  Lanes total = {};
  for (int i = 0; i < width - 2 * kRadius; i++) {
    const Lanes *from = columns + i * kMaps;
    const Lanes mx = windowed(window, from, kMaps), my = windowed(window, from + 1, kMaps);
    const Lanes xx = windowed(window, from + 2, kMaps), yy = windowed(window, from + 3, kMaps);
    const Lanes xy = windowed(window, from + 4, kMaps);
    const float c1 = 1e-4f, c2 = 9e-4f;
    const Lanes luminance = 2 * mx * my + c1, structure = 2 * (xy - mx * my) + c2;
    const Lanes energy = mx * mx + my * my + c1, variance = xx - mx * mx + yy - my * my + c2;
    const Lanes inverse = 1 / (energy * variance), ssim = kept(valid, luminance * structure * inverse);
    const Lanes by_variance = -ssim * (energy * inverse), by_covariance = kept(valid, 2 * luminance * inverse);
    total += ssim;
    Lanes *to = columns + (i - kRadius) * kMaps;
    to[0] = kept(valid, 2 * my * structure * inverse) - 2 * mx * ssim * (variance * inverse) - 2 * mx * by_variance -
            my * by_covariance;
    to[1] = by_variance, to[2] = by_covariance;
  }
  for (int i = (width - 3 * kRadius) * kMaps; i < vectors * kLanes * kMaps; i++) columns[i] = Lanes{};
  for (int lane = 0; lane < kLanes; lane++) sum += total[lane];

  const int rows = task.height - begin < kLanes ? task.height - begin : kLanes;
  for (int vector = 0; vector < vectors; vector++)
    for (int k = 0; k < 3; k++) {
      Lanes sums[kLanes];
      for (int lane = 0; lane < kLanes; lane++)
        sums[lane] = windowed(window, columns + (vector * kLanes + lane - 3 * kRadius) * kMaps + k, kMaps);
      transpose(sums);
      float *to = task.partial[k] + ((size_t)plane * task.height + begin) * width + vector * kLanes;
      for (int row = 0; row < rows; row++) store_some(to + (size_t)row * width, sums[row], width - vector * kLanes);
    }
}

// Row `row` of a plane: gradient of the whole loss; `sum` grows by the absolute differences.
static void ssim_gradient_row(const SsimTask &task, int plane, int row, double &sum) {
  const int width = task.width;
  const float windows = (float)task.planes * (task.height - 2 * kRadius) * (width - 2 * kRadius);
  const float ssim_scale = -task.weight / windows, l1_scale = (1 - task.weight) * task.l1_scale;
  const size_t offset = ((size_t)plane * task.height + row) * width;
  const int first = row < kRadius ? -row : -kRadius, last = task.height - 1 - row < kRadius ? task.height - 1 - row : kRadius;
  Lanes total = {};
  for (int column = 0; column < width; column += kLanes) {
    const int count = width - column;
    Lanes by_mean = {}, by_square = {}, by_product = {};
    for (int tap = first; tap <= last; tap++) {
      const int64_t place = offset + (int64_t)tap * width + column;
      const float weight = task.window[tap + kRadius];
      by_mean += weight * load_some(task.partial[0] + place, count);
      by_square += weight * load_some(task.partial[1] + place, count);
      by_product += weight * load_some(task.partial[2] + place, count);
    }
    const PixelPair p = pixel_pair(task, plane, row, column);
    const Lanes difference = p.x - p.y, zero = {};
    const Lanes sign = kept(above(difference, zero), all(1.0f)) - kept(above(zero, difference), all(1.0f));
    total += magnitude(difference);
    const Lanes gradient = ssim_scale * (by_mean + 2 * p.x * by_square + p.y * by_product) + l1_scale * sign;
    const Lanes counted = kept(less(IntLanes{}, p.counts), gradient);
    store_some(task.gradient + offset + column, counted, count);
  }
  for (int lane = 0; lane < kLanes; lane++) sum += total[lane];
}
