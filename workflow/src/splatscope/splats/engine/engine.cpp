// The C interface, and the steps between projection and blending: depth sort and tile lists.
#include "engine.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <numeric>
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

// How many parts `count` Gaussians are worth being cut into.
int parts_of(size_t count, int threads) { return std::max(1, std::min<int>(threads, count / 256)); }

template <typename T>
void grow(std::vector<T> &buffer, size_t size) {
  if (buffer.size() < size) buffer.resize(size + size / 8);
}

// Fills keys with the visible Gaussians in order of depth: a stable radix sort of the depths' bits (positive floats order
// as integers) from the least significant digit. Each part of the keys counts its digits and knows from all counts where
// its own keys go, so the result is the same for any number of parts.
void sort_visible(Frame &frame, int64_t gaussians, int threads) {
  constexpr int kDigit = 12, kBuckets = 1 << kDigit;
  const int chunks = chunks_of(gaussians);
  const size_t visible = frame.seen_before[chunks];
  grow(frame.keys, visible + 1), grow(frame.scratch, visible + 1);
  std::vector<std::pair<uint32_t, uint32_t>> &ranges = frame.depth_ranges;  // of the bits, by chunk
  grow(ranges, chunks);
  run_tasks(threads, chunks, [&](int chunk) {
    uint32_t least = UINT32_MAX, most = 0;
    uint64_t *key = &frame.keys[frame.seen_before[chunk]];
    for (int64_t i = (int64_t)chunk * kChunk; i < std::min<int64_t>((int64_t)(chunk + 1) * kChunk, gaussians); i++) {
      if (!frame.visible[i]) continue;
      uint32_t bits;
      std::memcpy(&bits, &frame.projected[i].value[3], 4);
      least = std::min(least, bits), most = std::max(most, bits);
      *key++ = (uint64_t)bits << 32 | i;
    }
    ranges[chunk] = {least, most};
  });
  uint32_t least = UINT32_MAX, most = 0;
  for (int chunk = 0; chunk < chunks; chunk++)
    least = std::min(least, ranges[chunk].first), most = std::max(most, ranges[chunk].second);

  const int parts = parts_of(visible, threads);
  frame.digits.resize((size_t)parts * kBuckets);
  for (int shift = 0; visible && shift < 32 && (most - least) >> shift; shift += kDigit) {
    auto digit = [&](uint64_t key) { return ((uint32_t)(key >> 32) - least) >> shift & (kBuckets - 1); };
    run_tasks(threads, parts, [&](int part) {
      uint32_t *counts = &frame.digits[(size_t)part * kBuckets];
      std::fill(counts, counts + kBuckets, 0);
      for (size_t i = visible * part / parts; i < visible * (part + 1) / parts; i++) counts[digit(frame.keys[i])]++;
    });
    uint32_t place = 0;
    for (int bucket = 0; bucket < kBuckets; bucket++)
      for (int part = 0; part < parts; part++) {
        uint32_t &count = frame.digits[(size_t)part * kBuckets + bucket];
        const uint32_t size = count;
        count = place;
        place += size;
      }
    run_tasks(threads, parts, [&](int part) {
      uint32_t *next = &frame.digits[(size_t)part * kBuckets];
      for (size_t i = visible * part / parts; i < visible * (part + 1) / parts; i++)
        frame.scratch[next[digit(frame.keys[i])]++] = frame.keys[i];
    });
    frame.keys.swap(frame.scratch);
  }
}

// Fills tile_start, entries and first_slot. Parts of the visible Gaussians count their tiles, prefix sums give every part
// its place in every tile, and the parts then write there: lists stay in depth order without sorting pairs.
void list_tiles(Frame &frame, int64_t gaussians, int threads) {
  const size_t visible = frame.seen_before.back();
  const int tiles = frame.tiles_x * frame.tiles_y, parts = parts_of(visible, threads);
  auto begin_of = [&](int part) { return visible * part / parts; };
  grow(frame.spans, parts), grow(frame.spans_of, visible);
  frame.tile_counts.resize((size_t)parts * tiles);
  frame.first_slot.resize(gaussians + 1);
  run_tasks(threads, chunks_of(gaussians), [&](int chunk) {
    const int64_t first = (int64_t)chunk * kChunk;
    std::fill(&frame.first_slot[first], &frame.first_slot[std::min<int64_t>(first + kChunk, gaussians)], 0);
  });
  run_tasks(threads, parts, [&](int part) {
    uint32_t *count = &frame.tile_counts[(size_t)part * tiles];
    std::fill(count, count + tiles, 0);
    kernels->find_spans(frame, begin_of(part), begin_of(part + 1), frame.spans[part]);
    const Span *span = frame.spans[part].data();
    for (size_t rank = begin_of(part); rank < begin_of(part + 1); rank++) {
      uint32_t slots = 0;
      for (const Span *last = span + frame.spans_of[rank]; span != last; span++) {
        slots += span->last - span->first + 1;
        for (int x = span->first; x <= span->last; x++) count[span->row * frame.tiles_x + x]++;
      }
      frame.first_slot[(uint32_t)frame.keys[rank]] = slots;
    }
  });
  uint32_t total = 0;
  for (int64_t i = 0; i <= gaussians; i++) {
    const uint32_t slots = i < gaussians ? frame.first_slot[i] : 0;
    frame.first_slot[i] = total;
    total += slots;
  }
  frame.tile_start.resize(tiles + 1);
  uint32_t place = 0;
  for (int tile = 0; tile < tiles; tile++) {
    frame.tile_start[tile] = place;
    for (int part = 0; part < parts; part++) {
      uint32_t &count = frame.tile_counts[(size_t)part * tiles + tile];
      const uint32_t size = count;
      count = place;
      place += size;
    }
  }
  frame.tile_start[tiles] = place;
  grow(frame.entries, place), grow(frame.touched, place);
  run_tasks(threads, parts, [&](int part) {
    uint32_t *next = &frame.tile_counts[(size_t)part * tiles];
    const Span *span = frame.spans[part].data();
    for (size_t rank = begin_of(part); rank < begin_of(part + 1); rank++) {
      const uint32_t gaussian = (uint32_t)frame.keys[rank];
      uint32_t slot = frame.first_slot[gaussian];
      for (const Span *last = span + frame.spans_of[rank]; span != last; span++)
        for (int x = span->first; x <= span->last; x++)
          frame.entries[next[span->row * frame.tiles_x + x]++] = {gaussian, slot++};
    }
  });
}

}  // namespace
}  // namespace splat

using namespace splat;

namespace {
template <typename Task>
void run_tile_tasks(const Frame &frame, Task task) {
  const int tiles = frame.tiles_x * frame.tiles_y;
  run_tasks(frame.view.threads, (tiles + kTilesPerTask - 1) / kTilesPerTask, [&](int i) {
    for (int tile = i * kTilesPerTask; tile < std::min((i + 1) * kTilesPerTask, tiles); tile++) task(tile);
  });
}
}  // namespace

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

// Draws one view. `colour` [3, H, W], `depth` [H, W] (accumulated), `features` [E, H, W] or null, `alpha` [H, W],
// `contributor` [H, W] the Gaussian with the largest weight, -1 for none, or null.
// Returns 0, or 1 when an input holds NaN or infinity.
int splat_forward(Frame *frame_pointer, const Model *model_pointer, const View *view, float *colour, float *depth,
                  float *features, float *alpha, int32_t *contributor) {
  Frame &frame = *frame_pointer;
  const Model &model = *model_pointer;
  const size_t count = model.count, pixels = (size_t)view->width * view->height;
  frame.view = *view;
  frame.tiles_x = (view->width + kTile - 1) / kTile, frame.tiles_y = (view->height + kTile - 1) / kTile;
  frame.channels = 4 + model.features_per_gaussian;
  const int chunks = chunks_of(count), tiles = frame.tiles_x * frame.tiles_y;
  grow(frame.projected, count), grow(frame.visible, count);
  frame.seen_before.resize(chunks + 1);
  std::atomic<bool> finite{true};
  run_tasks(view->threads, chunks, [&](int chunk) {
    const int64_t first = (int64_t)chunk * kChunk, last = std::min<int64_t>(first + kChunk, count);
    if (!kernels->project(frame, model, first, last)) finite = false;
    frame.seen_before[chunk + 1] = std::accumulate(&frame.visible[first], &frame.visible[last], 0u);
  });
  if (!finite) return 1;
  frame.seen_before[0] = 0;
  for (int chunk = 0; chunk < chunks; chunk++) frame.seen_before[chunk + 1] += frame.seen_before[chunk];
  sort_visible(frame, count, view->threads);
  list_tiles(frame, count, view->threads);

  grow(frame.transmittance, (size_t)tiles * kTilePixels), grow(frame.end, (size_t)tiles * kTilePixels);
  RasterPlanes planes;
  for (int k = 0; k < 3; k++) planes.channel[k] = colour + k * pixels;
  planes.channel[3] = depth, planes.alpha = alpha, planes.contributor = contributor;
  for (int k = 4; k < frame.channels; k++) planes.channel[k] = features + (k - 4) * pixels;
  run_tile_tasks(frame, [&](int tile) { kernels->blend(frame, model, planes, tile); });
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
  frame.absolute = gradients->absolute_offsets;
  const size_t slot_size = channels + kMoments + (frame.absolute ? 2 : 0);
  grow(frame.slots, frame.first_slot.back() * slot_size + kTilePixels);  // sums read whole vectors
  run_tile_tasks(frame, [&](int tile) { kernels->blend_backward(frame, model, planes, tile); });

  const int chunks = chunks_of(model.count);
  std::vector<double> &camera = frame.camera;
  camera.assign((size_t)chunks * 12, 0.0);
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
// H and W must be at least 11.
double splat_image_loss(const float *image, const float *target, const uint8_t *mask, int planes, int height, int width,
                        float weight, int threads, float *gradient) {
  const size_t pixels = (size_t)height * width;
  const size_t counted = mask ? pixels - std::count(mask, mask + pixels, 0) : pixels;
  SsimTask task = {planes, height, width, weight, image, target, mask, 1.0f / std::max<size_t>(counted * planes, 1),
                   gradient, {}};
  double total = 0;
  for (int k = 0; k < kWindow; k++) total += task.window[k] = std::exp(-(k - kRadius) * (k - kRadius) / 4.5f);
  for (float &tap : task.window) tap /= total;
  constexpr int kRows = 128;  // per task; those around it are computed twice
  const int bands = (height + kRows - 1) / kRows;
  std::vector<double> ssim(planes * bands), absolute(planes * bands);
  run_tasks(threads, planes * bands, [&](int i) {
    const int begin = i % bands * kRows;
    kernels->image_loss_rows(task, i / bands, begin, std::min(begin + kRows, height), ssim[i], absolute[i]);
  });
  const double ssim_sum = std::accumulate(ssim.begin(), ssim.end(), 0.0);
  const double absolute_sum = std::accumulate(absolute.begin(), absolute.end(), 0.0);
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
