// L1 and structural similarity (Wang et al. 2004: 11 x 11 Gaussian window of sigma 1.5, constants 0.01^2 and 0.03^2,
// windows that lie wholly in the image), with the gradient by the image. Bands of rows are independent tasks.
//
// Windows are summed down the columns of a strip of kLanes rows, a vector of columns at a time; the strip is then
// transposed, so that a vector holds one column, and summing along the rows, too, adds whole vectors. What the gradient
// needs of the last strips stays in the cache.
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
  __builtin_prefetch(task.image + offset + 4 * kLanes), __builtin_prefetch(task.target + offset + 4 * kLanes);
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

constexpr int kKeptRows = 32;  // at least kLanes + 2 kRadius, a power of 2

// Of the windows centred on a row: derivatives of their SSIM by the windowed means of x, x^2 and x y, summed along the row
// as the gradient wants them; of the last kKeptRows rows.
struct KeptRows {
  float *memory;
  int width;
  float *at(int row, int derivative) { return memory + ((row & (kKeptRows - 1)) * 3 + derivative) * (size_t)width; }
};

// Fills `kept_rows` for rows [begin, begin + kLanes) of a plane; returns the sum of the SSIM of their windows.
static double ssim_strip(const SsimTask &task, int plane, int begin, KeptRows kept_rows) {
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
  for (int vector = 0; vector < vectors; vector++)
    for (int k = 0; k < 3; k++) {
      Lanes sums[kLanes];
      for (int lane = 0; lane < kLanes; lane++)
        sums[lane] = windowed(window, columns + (vector * kLanes + lane - 3 * kRadius) * kMaps + k, kMaps);
      transpose(sums);
      for (int row = 0; row < kLanes; row++)
        store_some(kept_rows.at(begin + row, k) + vector * kLanes, sums[row], width - vector * kLanes);
    }
  double sum = 0;
  for (int lane = 0; lane < kLanes; lane++) sum += total[lane];
  return sum;
}

// Gradient of the whole loss in rows [begin, end) of a plane, at most kLanes; returns the sum of the absolute differences.
static double ssim_gradient(const SsimTask &task, int plane, int begin, int end, KeptRows kept_rows) {
  const Window window = window_of(task);
  const int width = task.width;
  const float windows = (float)task.planes * (task.height - 2 * kRadius) * (width - 2 * kRadius);
  const float ssim_scale = -task.weight / windows, l1_scale = (1 - task.weight) * task.l1_scale;
  Lanes total = {};
  for (int column = 0; column < width; column += kLanes) {
    const int count = width - column;
    Lanes derivatives[kLanes + 2 * kRadius][3];
    for (int k = 0; k < end - begin + 2 * kRadius; k++)
      for (int map = 0; map < 3; map++)
        derivatives[k][map] = load_some(kept_rows.at(begin + k - kRadius, map) + column, count);
    for (int row = begin; row < end; row++) {
      const Lanes *from = derivatives[row - begin];
      const PixelPair p = pixel_pair(task, plane, row, column);
      const Lanes difference = p.x - p.y, zero = {};
      const Lanes sign = kept(above(difference, zero), all(1.0f)) - kept(above(zero, difference), all(1.0f));
      total += magnitude(difference);
      const Lanes by_ssim =
          windowed(window, from, 3) + 2 * p.x * windowed(window, from + 1, 3) + p.y * windowed(window, from + 2, 3);
      const Lanes gradient = kept(less(IntLanes{}, p.counts), ssim_scale * by_ssim + l1_scale * sign);
      store_some(task.gradient + ((size_t)plane * task.height + row) * width + column, gradient, count);
    }
  }
  double sum = 0;
  for (int lane = 0; lane < kLanes; lane++) sum += total[lane];
  return sum;
}

// Rows [begin, end) of a plane, begin a multiple of kLanes: their gradient, and the sums of the SSIM around them and of the
// absolute differences.
static void image_loss_rows(const SsimTask &task, int plane, int begin, int end, double &ssim, double &absolute) {
  static thread_local std::vector<float> memory;
  memory.resize((size_t)kKeptRows * 3 * task.width);
  const KeptRows kept_rows = {memory.data(), task.width};
  const int before = (kRadius + kLanes - 1) / kLanes * kLanes;
  for (int strip = begin - before, row = begin; row < end; strip += kLanes) {
    const double sum = ssim_strip(task, plane, strip, kept_rows);
    if (strip >= begin && strip < end) ssim += sum;
    const int last = strip + kLanes - kRadius < end ? strip + kLanes - kRadius : end;
    if (last > row) {
      absolute += ssim_gradient(task, plane, row, last, kept_rows);
      row = last;
    }
  }
}
