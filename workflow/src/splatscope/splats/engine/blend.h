// Blending of one tile, forward and backward. A tile is cut into blocks of kLanes pixels; an entry visits only the blocks
// that its ellipse touches.
#pragma once

constexpr int kBlockWidth = kLanes < 8 ? kLanes : 8, kBlockHeight = kLanes / kBlockWidth;
constexpr int kColumns = kTile / kBlockWidth, kBlockRows = kTile / kBlockHeight, kBlocks = kColumns * kBlockRows;

struct LaneOffsets {
  Lanes x, y;  // of the pixel centres in a block
};
INLINE LaneOffsets lane_offsets() {
  LaneOffsets offsets;
  for (int lane = 0; lane < kLanes; lane++) {
    offsets.x[lane] = lane % kBlockWidth + 0.5f;
    offsets.y[lane] = lane / kBlockWidth + 0.5f;
  }
  return offsets;
}

INLINE float clamped(float value, float low, float high) {
  value = value < low ? low : value;
  return value > high ? high : value;
}

// Block rows [first, last] of a column of blocks that the ellipse of `s` touches. The column's pixel centres span
// [left, right] and start at `top`, all relative to the centre of `s`.
INLINE bool touched_rows(const Splat &s, float left, float right, float top, int &first, int &last) {
  const float margin = 1e-3f;  // px, for rounding
  float at_bottom = clamped(-s.turn, left, right), at_top = clamped(s.turn, left, right);
  float root_bottom = s.reach - s.curve * at_bottom * at_bottom, root_top = s.reach - s.curve * at_top * at_top;
  if (root_bottom < 0 && root_top < 0) return false;
  float low = -s.skew * at_top - __builtin_sqrtf(root_top > 0 ? root_top : 0) - top - margin;
  float high = -s.skew * at_bottom + __builtin_sqrtf(root_bottom > 0 ? root_bottom : 0) - top + margin;
  if (!(high >= 0) || !(low <= kTile - 1)) return false;
  first = low > 0 ? (int)__builtin_ceilf(low) / kBlockHeight : 0;
  last = high < kTile - 1 ? (int)high / kBlockHeight : kBlockRows - 1;
  return first <= last;
}

INLINE int pixel_of_lane(int block, int lane, int &x, int &y) {
  x = block / kBlockRows * kBlockWidth + lane % kBlockWidth;
  y = block % kBlockRows * kBlockHeight + lane / kBlockWidth;
  return block * kLanes + lane;
}

// channel values of a rank: colour, depth, then features
template <int CHANNELS>
INLINE void load_values(const Frame &frame, const Model &model, uint32_t rank, int channels, float *values) {
  const Splat &s = frame.splats[rank];
  const int count = CHANNELS ? CHANNELS : channels;
  values[0] = s.colour[0], values[1] = s.colour[1], values[2] = s.colour[2];
  if (count > 3) values[3] = s.depth;
  if (count > 4) {
    const float *features = model.features + (int64_t)frame.order[rank] * model.features_per_gaussian;
    for (int k = 4; k < count; k++) values[k] = features[k - 4];
  }
}

// CHANNELS = 0: as many as the frame has
template <int CHANNELS>
static void blend_tile(Frame &frame, const Model &model, const RasterPlanes &planes, int tile) {
  const int channels = CHANNELS ? CHANNELS : frame.channels;
  const int width = frame.view.width, height = frame.view.height;
  const int left = tile % frame.tiles_x * kTile, top = tile / frame.tiles_x * kTile;
  const LaneOffsets offsets = lane_offsets();

  Lanes light[kBlocks], sums[kBlocks * (CHANNELS ? CHANNELS : kMaxChannels)];
  IntLanes end[kBlocks];
  Mask alive[kBlocks];
  int blocks_alive = 0;
  for (int block = 0; block < kBlocks; block++) {
    IntLanes inside;
    for (int lane = 0; lane < kLanes; lane++) {
      int x, y;
      pixel_of_lane(block, lane, x, y);
      inside[lane] = left + x < width && top + y < height;
    }
    light[block] = all(1.0f);
    end[block] = all(INT32_MAX);
    alive[block] = less(IntLanes{}, inside);
    blocks_alive += any(alive[block]);
    for (int k = 0; k < channels; k++) sums[block * channels + k] = Lanes{};
  }

  const Entry *entries = frame.entries.data() + frame.tile_start[tile];
  const int count = frame.tile_start[tile + 1] - frame.tile_start[tile];
  const Splat *splats = frame.splats.data();
  for (int e = 0; e < count && blocks_alive; e++) {
    const Splat &s = splats[entries[e].rank];
    float values[CHANNELS ? CHANNELS : kMaxChannels];
    load_values<CHANNELS>(frame, model, entries[e].rank, channels, values);
    const float x0 = left - s.x, y0 = top - s.y;
    for (int column = 0; column < kColumns; column++) {
      const float x = x0 + column * kBlockWidth;
      int first, last;
      if (!touched_rows(s, x + 0.5f, x + kBlockWidth - 0.5f, y0 + 0.5f, first, last)) continue;
      const Lanes dx = offsets.x + x, power_x = -s.fall_x * dx * dx, v0 = offsets.y + (s.skew * dx + y0);
      for (int row = first; row <= last; row++) {
        const int block = column * kBlockRows + row;
        const Lanes v = v0 + (float)(row * kBlockHeight), power = power_x - s.fall_v * v * v;
        Mask drawn = both(at_least(power, all(s.cut)), alive[block]);
        const Lanes alpha = smaller(all(kMaxAlpha), s.opacity * exp2(power));
        const Lanes after = light[block] - light[block] * alpha;
        const Mask ended = both(drawn, at_least(all(kMinTransmittance), after));
        if (__builtin_expect(any(ended), 0)) {
          drawn = without(drawn, ended);
          alive[block] = without(alive[block], ended);
          end[block] = select(ended, all(e), end[block]);
          blocks_alive -= !any(alive[block]);
        }
        const Lanes weight = kept(drawn, light[block] * alpha);
        Lanes *sum = sums + block * channels;
        for (int k = 0; k < channels; k++) sum[k] += weight * values[k];
        light[block] -= weight;
      }
    }
  }

  memcpy(&frame.transmittance[(size_t)tile * kTilePixels], light, sizeof light);
  memcpy(&frame.end[(size_t)tile * kTilePixels], end, sizeof end);
  for (int block = 0; block < kBlocks; block++)
    for (int lane = 0; lane < kLanes; lane++) {
      int x, y;
      pixel_of_lane(block, lane, x, y);
      if (left + x >= width || top + y >= height) continue;
      const size_t pixel = (size_t)(top + y) * width + left + x;
      for (int k = 0; k < channels; k++) planes.channel[k][pixel] = sums[block * channels + k][lane];
      planes.alpha[pixel] = 1 - light[block][lane];
    }
}

// With w_i = T_i alpha_i the weight of entry i, D_i the sum over channels of value times incoming gradient:
//   dL/dalpha_i = T_i D_i - (sum of w_j D_j over j behind i - T_end dL/dalpha_pixel) / (1 - alpha_i)
// A slot holds dL/dvalue per channel, then the sums over pixels of g, g dx, g v, g dx^2, g dx v, g v^2 with
// g = alpha dL/dalpha and v as in Splat: all that the gradients of centre, conic and opacity need.
template <int CHANNELS>
static void blend_tile_backward(Frame &frame, const Model &model, const GradientPlanes &planes, int tile) {
  const int channels = CHANNELS ? CHANNELS : frame.gradient_channels, slot_size = channels + kMoments;
  constexpr int kMost = CHANNELS ? CHANNELS : kMaxChannels;
  const int width = frame.view.width, height = frame.view.height;
  const int left = tile % frame.tiles_x * kTile, top = tile / frame.tiles_x * kTile;
  const LaneOffsets offsets = lane_offsets();

  Lanes light[kBlocks], incoming[kBlocks * kMost], behind[kBlocks];
  IntLanes end[kBlocks];
  memcpy(light, &frame.transmittance[(size_t)tile * kTilePixels], sizeof light);
  memcpy(end, &frame.end[(size_t)tile * kTilePixels], sizeof end);
  int longest = 0;
  for (int block = 0; block < kBlocks; block++)
    for (int lane = 0; lane < kLanes; lane++) {
      int x, y;
      pixel_of_lane(block, lane, x, y);
      const bool inside = left + x < width && top + y < height;
      const size_t pixel = (size_t)(top + y) * width + left + x;
      for (int k = 0; k < channels; k++)
        incoming[block * channels + k][lane] = inside && planes.channel[k] ? planes.channel[k][pixel] : 0;
      behind[block][lane] = inside && planes.alpha ? -light[block][lane] * planes.alpha[pixel] : 0;
      if (!inside) end[block][lane] = 0;
      if (end[block][lane] > longest) longest = end[block][lane];
    }

  const Entry *entries = frame.entries.data() + frame.tile_start[tile];
  const int count = frame.tile_start[tile + 1] - frame.tile_start[tile];
  const Splat *splats = frame.splats.data();
  float *slots = frame.slots.data();
  const int drawn_entries = longest < count ? longest : count;
  for (int e = drawn_entries; e < count; e++) memset(slots + (size_t)entries[e].slot * slot_size, 0, 4 * slot_size);
  for (int e = drawn_entries - 1; e >= 0; e--) {
    if (e >= 8) __builtin_prefetch(slots + (size_t)entries[e - 8].slot * slot_size, 1);
    const Splat &s = splats[entries[e].rank];
    float values[kMost];
    load_values<CHANNELS>(frame, model, entries[e].rank, channels, values);
    Lanes sums[kMost + kMoments];
    for (int k = 0; k < slot_size; k++) sums[k] = Lanes{};
    Lanes *moments = sums + channels;
    const float x0 = left - s.x, y0 = top - s.y;
    for (int column = 0; column < kColumns; column++) {
      const float x = x0 + column * kBlockWidth;
      int first, last;
      if (!touched_rows(s, x + 0.5f, x + kBlockWidth - 0.5f, y0 + 0.5f, first, last)) continue;
      const Lanes dx = offsets.x + x, power_x = -s.fall_x * dx * dx, v0 = offsets.y + (s.skew * dx + y0);
      Lanes column_sum = {}, column_v = {};
      for (int row = first; row <= last; row++) {
        const int block = column * kBlockRows + row;
        const Lanes v = v0 + (float)(row * kBlockHeight), power = power_x - s.fall_v * v * v;
        const Mask drawn = both(at_least(power, all(s.cut)), less(all(e), end[block]));
        const Lanes unclamped = kept(drawn, s.opacity * exp2(power));
        const Lanes alpha = smaller(all(kMaxAlpha), unclamped);
        const Lanes inverse = reciprocal(1 - alpha);
        const Lanes before = light[block] * inverse, weight = alpha * before;
        light[block] = before;
        const Lanes *in = incoming + block * channels;
        Lanes dot = in[0] * values[0];
        for (int k = 1; k < channels; k++) dot += in[k] * values[k];
        for (int k = 0; k < channels; k++) sums[k] += weight * in[k];
        const Lanes by_alpha = dot * before - behind[block] * inverse;
        behind[block] += dot * weight;
        const Lanes g = kept(at_least(all(kMaxAlpha), unclamped), unclamped * by_alpha), g_v = g * v;
        column_sum += g;
        column_v += g_v;
        moments[5] += g_v * v;
      }
      const Lanes sum_dx = column_sum * dx;
      moments[0] += column_sum;
      moments[1] += sum_dx;
      moments[2] += column_v;
      moments[3] += sum_dx * dx;
      moments[4] += column_v * dx;
    }
    float *slot = slots + (size_t)entries[e].slot * slot_size;
    if (CHANNELS) {
      sum_lanes<kMost + kMoments>(sums, slot);
    } else {
      for (int k = 0; k < slot_size; k++) sum_lanes<1>(sums + k, slot + k);
    }
  }
}

static void blend(Frame &frame, const Model &model, const RasterPlanes &planes, int tile) {
  switch (frame.channels) {
    case 4: return blend_tile<4>(frame, model, planes, tile);
    case 5: return blend_tile<5>(frame, model, planes, tile);  // one tool's label beside colour and depth
    default: return blend_tile<0>(frame, model, planes, tile);
  }
}

static void blend_backward(Frame &frame, const Model &model, const GradientPlanes &planes, int tile) {
  switch (frame.gradient_channels) {
    case 3: return blend_tile_backward<3>(frame, model, planes, tile);
    case 4: return blend_tile_backward<4>(frame, model, planes, tile);
    case 5: return blend_tile_backward<5>(frame, model, planes, tile);
    default: return blend_tile_backward<0>(frame, model, planes, tile);
  }
}
