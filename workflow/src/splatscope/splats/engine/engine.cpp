// The C interface, and the steps between projection and blending: depth sort and tile lists.
#include "engine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "pool.h"

namespace splat {
namespace {

const Kernels *choose_kernels() {
#ifdef SPLAT_X86_DISPATCH
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
    return &kAvx512Kernels;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &kAvx2Kernels;
#endif
  return &kBaselineKernels;
}
const Kernels *kernels = choose_kernels();

int chunks_of(int64_t count) { return (int)((count + kChunk - 1) / kChunk); }

// Least-significant-digit radix sort by the upper 32 bits (positive floats order as integers); stable.
void sort_by_depth(std::vector<uint64_t> &keys, std::vector<uint64_t> &scratch) {
  constexpr int kBits = 11, kBuckets = 1 << kBits, kPasses = 3;
  scratch.resize(keys.size());
  std::vector<uint32_t> counts(kPasses * kBuckets);
  for (uint64_t key : keys)
    for (int pass = 0; pass < kPasses; pass++) counts[pass * kBuckets + (key >> (32 + kBits * pass) & (kBuckets - 1))]++;
  for (int pass = 0; pass < kPasses; pass++) {
    uint32_t *start = &counts[pass * kBuckets], sum = 0;
    for (int bucket = 0; bucket < kBuckets; bucket++) {
      const uint32_t size = start[bucket];
      start[bucket] = sum;
      sum += size;
    }
    for (uint64_t key : keys) scratch[start[key >> (32 + kBits * pass) & (kBuckets - 1)]++] = key;
    keys.swap(scratch);
  }
}

struct Span {
  uint16_t row, first, last;  // tiles of one row of tiles
};

// Spans of tiles whose pixel centres the ellipse of `s` may touch.
template <typename Visit>
void visit_spans(const Frame &frame, const Splat &s, Visit visit) {
  // the ellipse again, now dx by dy: dx lies within -skew dy -+ sqrt(reach - curve dy^2)
  const float level = s.cut * (-2 / kLog2e), var_x = 0.5f * kLog2e / s.fall_x, var_v = 0.5f * kLog2e / s.fall_v;
  const float var_y = var_v + s.skew * s.skew * var_x, skew = s.skew * var_x / var_y;
  const float reach = level * var_x * var_v / var_y, curve = var_x * var_v / (var_y * var_y);
  const float extent_y = std::sqrt(level * var_y), at_right = -s.skew * std::sqrt(level * var_x);
  const int height = frame.view.height, width = frame.view.width;
  const float low = std::max(s.y - extent_y - 0.5f, 0.0f), high = std::min(s.y + extent_y - 0.5f, height - 1.0f);
  const int first_row = (int)std::ceil(low - 1e-3f), last_row = (int)std::floor(high + 1e-3f);
  for (int tile = std::max(first_row, 0) / kTile; tile * kTile <= last_row && tile < frame.tiles_y; tile++) {
    const float top = std::max(tile * kTile, first_row) + 0.5f - s.y;
    const float bottom = std::min(tile * kTile + kTile - 1, last_row) + 0.5f - s.y;
    const float dy_right = std::clamp(at_right, top, bottom), dy_left = std::clamp(-at_right, top, bottom);
    const float root_right = std::max(reach - curve * dy_right * dy_right, 0.0f);
    const float root_left = std::max(reach - curve * dy_left * dy_left, 0.0f);
    const float right = s.x - skew * dy_right + std::sqrt(root_right) - 0.5f + 1e-3f;
    const float left = s.x - skew * dy_left - std::sqrt(root_left) - 0.5f - 1e-3f;
    if (right < 0 || left > width - 1) continue;
    const int first = (int)std::ceil(std::max(left, 0.0f)), last = (int)std::floor(std::min(right, width - 1.0f));
    if (first <= last) visit(Span{(uint16_t)tile, (uint16_t)(first / kTile), (uint16_t)(last / kTile)});
  }
}

// Fills tile_start, entries and first_slot. Chunks of ranks count their tiles, prefix sums give every chunk its place in
// every tile, and the chunks then write there: lists stay in depth order without sorting pairs.
void list_tiles(Frame &frame, int threads) {
  const size_t visible = frame.splats.size();
  const int tiles = frame.tiles_x * frame.tiles_y;
  const int parts = std::max(1, std::min<int>(threads, visible / 256));
  std::vector<std::vector<Span>> spans(parts);
  std::vector<uint32_t> counts((size_t)parts * tiles), spans_of(visible);
  auto begin_of = [&](int part) { return visible * part / parts; };
  frame.first_slot.resize(visible + 1);
  run_tasks(threads, parts, [&](int part) {
    uint32_t *count = &counts[(size_t)part * tiles];
    for (size_t rank = begin_of(part); rank < begin_of(part + 1); rank++) {
      uint32_t slots = 0, before = (uint32_t)spans[part].size();
      visit_spans(frame, frame.splats[rank], [&](Span span) {
        spans[part].push_back(span);
        slots += span.last - span.first + 1;
        for (int x = span.first; x <= span.last; x++) count[span.row * frame.tiles_x + x]++;
      });
      spans_of[rank] = (uint32_t)spans[part].size() - before;
      frame.first_slot[rank] = slots;
    }
  });
  uint32_t total = 0;
  for (size_t rank = 0; rank <= visible; rank++) {
    const uint32_t slots = rank < visible ? frame.first_slot[rank] : 0;
    frame.first_slot[rank] = total;
    total += slots;
  }
  frame.tile_start.resize(tiles + 1);
  uint32_t place = 0;
  for (int tile = 0; tile < tiles; tile++) {
    frame.tile_start[tile] = place;
    for (int part = 0; part < parts; part++) {
      const uint32_t count = counts[(size_t)part * tiles + tile];
      counts[(size_t)part * tiles + tile] = place;
      place += count;
    }
  }
  frame.tile_start[tiles] = place;
  if (frame.entries.size() < place) frame.entries.resize(place + place / 4);
  run_tasks(threads, parts, [&](int part) {
    uint32_t *next = &counts[(size_t)part * tiles];
    const Span *span = spans[part].data();
    for (size_t rank = begin_of(part); rank < begin_of(part + 1); rank++) {
      uint32_t slot = frame.first_slot[rank];
      for (const Span *last = span + spans_of[rank]; span != last; span++)
        for (int x = span->first; x <= span->last; x++)
          frame.entries[next[span->row * frame.tiles_x + x]++] = {(uint32_t)rank, slot++, 0};
    }
  });
}

template <typename T>
void grow(std::vector<T> &buffer, size_t size) {
  if (buffer.size() < size) buffer.resize(size);
}

}  // namespace
}  // namespace splat

using namespace splat;

extern "C" {

// Keeps freed memory in the process: images and gradients of one frame are the next one's, and fresh pages from the
// system cost as much as drawing.
void splat_keep_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
#endif
}

Frame *splat_new_frame() { return new Frame; }
void splat_delete_frame(Frame *frame) { delete frame; }

const char *splat_kernels() { return kernels->name; }

// For tests: use the kernels of a lesser instruction set. Returns 0 when this processor lacks it.
int splat_use_kernels(const char *name) {
  const Kernels *best = choose_kernels();
#ifdef SPLAT_X86_DISPATCH
  const Kernels *ladder[] = {&kBaselineKernels, &kAvx2Kernels, &kAvx512Kernels};
#else
  const Kernels *ladder[] = {&kBaselineKernels};
#endif
  for (const Kernels *candidate : ladder) {
    if (!std::strcmp(candidate->name, name)) {
      kernels = candidate;
      return 1;
    }
    if (candidate == best) break;
  }
  return 0;
}

// Draws one view. `colour` [3, H, W], `depth` [H, W] (accumulated), `features` [E, H, W] or null, `alpha` [H, W].
// Returns 0, or 1 when an input holds NaN or infinity.
int splat_forward(Frame *frame_pointer, const Model *model_pointer, const View *view, float *colour, float *depth,
                  float *features, float *alpha) {
  Frame &frame = *frame_pointer;
  const Model &model = *model_pointer;
  const size_t count = model.count, pixels = (size_t)view->width * view->height;
  frame.view = *view;
  frame.tiles_x = (view->width + kTile - 1) / kTile, frame.tiles_y = (view->height + kTile - 1) / kTile;
  frame.channels = 4 + model.features_per_gaussian;
  grow(frame.projected, count), grow(frame.visible, count), grow(frame.rank, count);

  const int chunks = chunks_of(count);
  std::vector<uint8_t> finite(chunks);
  run_tasks(view->threads, chunks, [&](int chunk) {
    const int64_t first = (int64_t)chunk * kChunk;
    finite[chunk] = kernels->project(frame, model, first, std::min<int64_t>(first + kChunk, count));
  });
  if (std::count(finite.begin(), finite.end(), 0)) return 1;

  frame.keys.resize(count);
  size_t seen = 0;
  for (size_t i = 0; i < count; i++) {  // without a branch: written always, kept when visible
    uint32_t bits;
    std::memcpy(&bits, &frame.projected[i].depth, 4);
    frame.keys[seen] = (uint64_t)bits << 32 | i;
    seen += frame.visible[i];
  }
  frame.keys.resize(seen);
  sort_by_depth(frame.keys, frame.scratch);
  const size_t visible = frame.keys.size();
  frame.splats.resize(visible), frame.order.resize(visible);
  run_tasks(view->threads, chunks_of(visible), [&](int chunk) {
    const size_t first = (size_t)chunk * kChunk, last = std::min(first + kChunk, visible);
    for (size_t rank = first; rank < last; rank++) {
      if (rank + 16 < last) __builtin_prefetch(&frame.projected[(uint32_t)frame.keys[rank + 16]]);
      const uint32_t i = (uint32_t)frame.keys[rank];
      frame.order[rank] = i, frame.rank[i] = (uint32_t)rank;
      frame.splats[rank] = frame.projected[i];
    }
  });
  list_tiles(frame, view->threads);

  const int tiles = frame.tiles_x * frame.tiles_y;
  grow(frame.transmittance, (size_t)tiles * kTilePixels), grow(frame.end, (size_t)tiles * kTilePixels);
  RasterPlanes planes;
  for (int k = 0; k < 3; k++) planes.channel[k] = colour + k * pixels;
  planes.channel[3] = depth, planes.alpha = alpha;
  for (int k = 4; k < frame.channels; k++) planes.channel[k] = features + (k - 4) * pixels;
  run_tasks(view->threads, tiles, [&](int tile) { kernels->blend(frame, model, planes, tile); });
  return 0;
}

// Gradients by the inputs of the view last drawn into the frame; incoming ones as splat_forward's outputs, each may be
// null. The model must be the one that was drawn.
void splat_backward(Frame *frame_pointer, const Model *model_pointer, const float *by_colour, const float *by_depth,
                    const float *by_features, const float *by_alpha, const Gradients *gradients) {
  Frame &frame = *frame_pointer;
  const Model &model = *model_pointer;
  const View &view = frame.view;
  const size_t pixels = (size_t)view.width * view.height;
  const int channels = frame.gradient_channels = by_features ? frame.channels : by_depth ? 4 : 3;
  GradientPlanes planes;
  for (int k = 0; k < 3; k++) planes.channel[k] = by_colour ? by_colour + k * pixels : nullptr;
  planes.channel[3] = by_depth, planes.alpha = by_alpha;
  for (int k = 4; k < channels; k++) planes.channel[k] = by_features + (k - 4) * pixels;
  grow(frame.slots, (size_t)frame.first_slot.back() * (channels + kMoments));
  run_tasks(view.threads, frame.tiles_x * frame.tiles_y,
            [&](int tile) { kernels->blend_backward(frame, model, planes, tile); });

  const int chunks = chunks_of(model.count);
  std::vector<double> camera((size_t)chunks * 12);
  run_tasks(view.threads, chunks, [&](int chunk) {
    const int64_t first = (int64_t)chunk * kChunk, last = std::min<int64_t>(first + kChunk, model.count);
    kernels->project_backward(frame, model, *gradients, first, last, &camera[(size_t)chunk * 12]);
  });
  if (gradients->camera_from_world)
    for (int k = 0; k < 12; k++) {
      gradients->camera_from_world[k] = 0;
      for (int chunk = 0; chunk < chunks; chunk++) gradients->camera_from_world[k] += camera[(size_t)chunk * 12 + k];
    }
}

// (1 - weight) * L1 + weight * (1 - SSIM) of planar images [planes, H, W], and its gradient by `image`.
// `scratch` holds 3 * planes * H * W floats. H and W must be at least 11.
double splat_image_loss(const float *image, const float *target, const uint8_t *mask, int planes, int height, int width,
                        float weight, int threads, float *gradient, float *scratch) {
  const size_t pixels = (size_t)height * width;
  const size_t counted = mask ? pixels - std::count(mask, mask + pixels, 0) : pixels;
  SsimTask task = {planes, height, width, weight, image, target, mask, 1.0f / std::max<size_t>(counted * planes, 1),
                   gradient, {}};
  for (int k = 0; k < 3; k++) task.partial[k] = scratch + k * planes * pixels;
  constexpr int kRows = 16;
  const int lines = planes * height, tasks = (lines + kRows - 1) / kRows;
  std::vector<double> ssim(tasks), absolute(tasks);
  run_tasks(threads, tasks,
            [&](int i) { kernels->ssim_rows(task, i * kRows, std::min(lines, (i + 1) * kRows), ssim[i]); });
  run_tasks(threads, tasks, [&](int i) {
    kernels->ssim_gradient_rows(task, i * kRows, std::min(lines, (i + 1) * kRows), absolute[i]);
  });
  double ssim_sum = 0, absolute_sum = 0;
  for (int i = 0; i < tasks; i++) ssim_sum += ssim[i], absolute_sum += absolute[i];
  const double windows = (double)planes * (height - 2 * kRadius) * (width - 2 * kRadius);
  return (1 - weight) * absolute_sum * task.l1_scale + weight * (1 - ssim_sum / windows);
}

// Mean over `count` pixels of squares - mean^2 / alpha with mean = depth / extent - alpha, and its gradients.
double splat_depth_variance(const float *alpha, const float *depth, const float *squares, int64_t count, float extent,
                            float *by_alpha, float *by_depth, float *by_squares) {
  const float least = 1e-3f, share = 1.0f / count;
  double sum = 0;
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    float part = 0;
    for (int64_t i = begin; i < std::min(begin + kChunk, count); i++) {
      const float mean = depth[i] / extent - alpha[i], ratio = mean / std::max(alpha[i], least);
      part += squares[i] - mean * ratio;
      by_squares[i] = share;
      by_depth[i] = -2 * ratio * share / extent;
      by_alpha[i] = 2 * ratio * share + (alpha[i] > least ? ratio * ratio * share : 0);
    }
    sum += part;
  }
  return sum / count;
}

void splat_adam(const AdamTask *task, int threads) {
  constexpr int64_t kRows = 4096;
  run_tasks(threads, (int)((task->rows + kRows - 1) / kRows), [&](int i) {
    kernels->adam_rows(*task, i * kRows, std::min(task->rows, (i + 1) * kRows));
  });
}
}
