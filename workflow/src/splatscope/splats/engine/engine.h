// Shared between the files of the native rasterizer: the data of one view, and the table of per-processor kernels.
//
// A view is drawn in four steps: project every Gaussian to the screen; sort the visible ones by depth; list, for each
// tile of 16 x 16 pixels, the Gaussians whose ellipse touches it, in depth order; blend each tile front to back.
// The backward pass walks the tiles back to front and leaves one gradient slot per (Gaussian, tile) pair; the slots of a
// Gaussian lie side by side and are added up in order. No atomics: equal input gives equal bytes for any thread count.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace splat {

// constants.py has the same values and says what they are
constexpr float kMinAlpha = 1.0f / 255, kMaxAlpha = 0.999f, kMinTransmittance = 1e-4f, kBlur = 0.3f;
constexpr float kFrustumMargin = 0.15f;
constexpr int kTile = 16, kTilePixels = kTile * kTile;
constexpr int kMaxChannels = 64;   // colour, depth and features together
constexpr int kMoments = 6;        // geometric sums in a gradient slot, behind the channels
constexpr int kTilesPerTask = 8;
constexpr int kChunk = 1024;       // Gaussians per task; fixed, so that sums over chunks do not depend on the threads
constexpr float kLog2e = 1.4426950408889634f;

// What the caller passes; layouts are mirrored by ctypes in native.py.
struct Model {
  int64_t count;
  int32_t coefficients;  // SH coefficients per colour in `sh`
  int32_t features_per_gaussian;
  const float *means, *quaternions, *log_scales, *opacity_logits, *sh;
  const float *light;         // [count, 3] reference distance, fall-off, cone of a light at the camera; or null
  const float *features;      // [count, features_per_gaussian] or null
  const float *mean_offsets;  // [count, 2] px or null
};
struct View {
  int32_t width, height, sh_degree, threads;
  float camera_from_world[12];  // row-major [3, 4]
  float fx, fy, cx, cy, near_plane;
  float background[3];  // colour behind everything
};
struct Gradients {  // each may be null
  float *means, *quaternions, *log_scales, *opacity_logits, *sh, *light, *features, *mean_offsets;
  float *absolute_offsets;  // as mean_offsets, of the pixels' magnitudes
  double *camera_from_world;  // [3, 4]
};

// A Gaussian on the screen: with v = dy + skew dx, alpha = 2^(lift - fall_x dx^2 - fall_v v^2). Written by dx and v, which
// are independent, nothing cancels even for needles. Drawn where alpha is at least kMinAlpha.
struct alignas(64) Splat {
  float x, y;  // centre, px
  float skew, fall_x, fall_v, lift;
  // the ellipse alpha = kMinAlpha: at dx, v lies within -+ sqrt(reach - curve * dx^2); dy is extreme at dx = -+turn
  float curve, reach, turn;
  float value[4];    // colour, depth
  uint32_t clamped;  // bit i set where colour channel i was below 0
  float padding[2];
};
constexpr int kSplatFields = sizeof(Splat) / sizeof(float);

// Tiles first .. last of one row of tiles; none where last < first.
struct Span {
  uint16_t row;
  int16_t first, last;
};

struct Entry {
  uint32_t gaussian;
  uint32_t slot;  // its gradient slot for this tile
};

// Everything about one drawn view that the backward pass needs; buffers are kept from view to view.
struct Frame {
  View view;
  int tiles_x, tiles_y;
  int channels, gradient_channels;      // drawn, and carried back: colour [, depth [, features]]
  bool absolute;                        // the slots hold sums of magnitudes, too
  std::vector<Splat> projected;         // [count]
  std::vector<uint8_t> visible;         // [count]
  std::vector<uint32_t> seen_before;    // [chunks + 1] visible Gaussians in earlier chunks
  std::vector<uint64_t> keys, scratch;  // [visible] depth bits << 32 | Gaussian, in depth order after sorting
  std::vector<std::pair<uint32_t, uint32_t>> depth_ranges;  // [chunks] least and most depth bits
  std::vector<uint32_t> digits;         // counts of the sort
  std::vector<std::vector<Span>> spans;  // by part of the visible
  std::vector<uint16_t> spans_of;       // [visible]
  std::vector<uint32_t> tile_counts;    // [parts, tiles]
  std::vector<uint32_t> first_slot;     // [count + 1]
  std::vector<uint32_t> tile_start;     // [tiles + 1]
  std::vector<Entry> entries;           // by tile, in depth order
  std::vector<uint64_t> touched;        // of the entries: bit of each block of the tile that it may have changed
  std::vector<float> transmittance;     // [tiles * kTilePixels] light left behind everything
  std::vector<int32_t> end;             // [tiles * kTilePixels] number of entries of the tile before the pixel ended
  std::vector<float> slots;             // [slots, channels + kMoments (+ 2)]
  std::vector<double> camera;           // [chunks, 12] gradients
};

struct RasterPlanes {
  float *channel[kMaxChannels];  // [H, W] each
  float *alpha;                  // [H, W]
  int32_t *contributor;          // [H, W] or null
};
struct GradientPlanes {
  const float *channel[kMaxChannels];  // null: no gradient
  const float *alpha;
};

// The hot loops, compiled once for each instruction set.
struct Kernels {
  const char *name;
  // false when a number of Gaussian [first, last) is not finite
  bool (*project)(Frame &, const Model &, int64_t first, int64_t last);
  void (*project_backward)(const Frame &, const Model &, const Gradients &, int64_t first, int64_t last,
                           double camera_gradient[12]);
  void (*find_spans)(Frame &, size_t begin, size_t end, std::vector<Span> &spans);
  void (*blend)(Frame &, const Model &, const RasterPlanes &, int tile);
  void (*blend_backward)(Frame &, const Model &, const GradientPlanes &, int tile);
  void (*image_loss_rows)(const struct SsimTask &, int plane, int begin, int end, double &ssim, double &absolute);
  void (*adam_rows)(const struct AdamTask &, int64_t first, int64_t last);
};
extern const Kernels kBaselineKernels;
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SPLAT_X86_DISPATCH 1
extern const Kernels kAvx2Kernels, kAvx512Kernels;
#endif

constexpr int kWindow = 11, kRadius = kWindow / 2;

// One image pair of the loss (1 - weight) * L1 + weight * (1 - SSIM), planar float32 [planes, height, width].
struct SsimTask {
  int planes, height, width;
  float weight;
  const float *image, *target;
  const uint8_t *mask;  // [height, width] or null; 0: the pixel counts as equal to its target
  float l1_scale;       // 1 / number of values that count
  float *gradient;      // of the loss, [planes, height, width]
  float window[kWindow];
};

// One step of Adam on a tensor [rows, row] (row at most 64), its layout mirrored in native.py.
struct AdamTask {
  int64_t rows;
  int32_t row, head, active;  // columns: in all, at `rate`, and those that are trained
  float rate, tail_rate, tail_decay;  // decay: share by which tail values shrink
  float beta1, beta2, epsilon, correction1, correction2;
  float *value, *first, *second;  // value and moments, changed in place
  const float *gradient;
  const uint8_t *seen;  // [rows] 0: the row is left alone; or null
};

}  // namespace splat
