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

// Fills `touched` of entries [begin, begin + kLanes), a lane for each. The tile starts at pixel (left, top).
INLINE void find_touched(const Splat *splats, Entry *entries, int begin, int count, int left, int top) {
  const float margin = 1e-3f;  // px, for rounding
  const int group = count - begin < kLanes ? count - begin : kLanes;
  IntLanes splat = {};
  for (int lane = 0; lane < group; lane++) splat[lane] = entries[begin + lane].rank * (sizeof(Splat) / sizeof(float));
  auto field = [&](const float &first) { return gather(&first, splat); };
  const Lanes x = left + 0.5f - field(splats->x), y = top + 0.5f - field(splats->y), skew = field(splats->skew);
  const Lanes reach = field(splats->reach), curve = field(splats->curve), turn = field(splats->turn);
  for (int column = 0; column < kColumns; column++) {
    const Lanes near = x + (float)(column * kBlockWidth), far = near + (float)(kBlockWidth - 1);
    const Lanes at_bottom = smaller(larger(-turn, near), far), at_top = smaller(larger(turn, near), far);
    const Lanes root_bottom = reach - curve * at_bottom * at_bottom, root_top = reach - curve * at_top * at_top;
    const Lanes low = -skew * at_top - root(larger(root_top, Lanes{})) - y - margin;
    const Lanes high = -skew * at_bottom + root(larger(root_bottom, Lanes{})) - y + margin;
    const Lanes begins = larger(low, Lanes{});
    const IntLanes whole = __builtin_convertvector(begins, IntLanes);
    const Mask exact = at_least(__builtin_convertvector(whole, Lanes), begins);
    const IntLanes first = select(exact, whole, whole + 1) / kBlockHeight;
    const IntLanes last = __builtin_convertvector(smaller(high, all(kTile - 1.0f)), IntLanes) / kBlockHeight;
    Mask hit = both(at_least(high, Lanes{}), at_least(all(kTile - 1.0f), low));
    hit = both(hit, at_least(larger(root_bottom, root_top), Lanes{}));
    const IntLanes rows = select(hit, ((IntLanes{} + 2) << last) - ((IntLanes{} + 1) << first), IntLanes{});
    for (int lane = 0; lane < group; lane++)
      entries[begin + lane].touched |= (uint64_t)(rows[lane] > 0 ? rows[lane] : 0) << column * kBlockRows;
  }
}

struct RowStarts {
  float y[kBlockRows];  // of the rows of blocks in a tile
};
INLINE RowStarts row_starts() {
  RowStarts starts;
  for (int row = 0; row < kBlockRows; row++) starts.y[row] = row * kBlockHeight;
  return starts;
}

// Calls visit(block, lane, pixel, pixels) for each row of pixels of each block that has pixels in the image; `lane` is that
// of the first. Lanes beyond are outside.
template <typename Visit>
INLINE void visit_pixels(const Frame &frame, int left, int top, Visit visit) {
  const int width = frame.view.width, height = frame.view.height;
  const bool whole = left + kTile <= width && top + kTile <= height;
  for (int block = 0; block < kBlocks; block++)
    for (int row = 0; row < kBlockHeight; row++) {
      const int x = left + block / kBlockRows * kBlockWidth, y = top + block % kBlockRows * kBlockHeight + row;
      const size_t pixel = (size_t)y * width + x;
      if (whole)
        visit(block, row * kBlockWidth, pixel, kBlockWidth);
      else if (x < width && y < height)
        visit(block, row * kBlockWidth, pixel, width - x < kBlockWidth ? width - x : kBlockWidth);
    }
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
  const int left = tile % frame.tiles_x * kTile, top = tile / frame.tiles_x * kTile;
  const LaneOffsets offsets = lane_offsets();
  const RowStarts starts = row_starts();

  Lanes light[kBlocks], sums[kBlocks * (CHANNELS ? CHANNELS : kMaxChannels)];
  IntLanes end[kBlocks], inside[kBlocks] = {};
  Mask alive[kBlocks];
  visit_pixels(frame, left, top, [&](int block, int lane, size_t, int pixels) __attribute__((always_inline)) {
    for (int k = 0; k < pixels; k++) inside[block][lane + k] = 1;
  });
  uint64_t blocks_alive = 0;
  for (int block = 0; block < kBlocks; block++) {
    light[block] = all(1.0f);
    end[block] = all(INT32_MAX);
    alive[block] = less(IntLanes{}, inside[block]);
    if (any(alive[block])) blocks_alive |= 1ull << block;
    for (int k = 0; k < channels; k++) sums[block * channels + k] = Lanes{};
  }

  Entry *entries = frame.entries.data() + frame.tile_start[tile];
  const int count = frame.tile_start[tile + 1] - frame.tile_start[tile];
  const Splat *splats = frame.splats.data();
  for (int e = 0; e < count && blocks_alive; e++) {
    if (e % kLanes == 0) {
      for (int ahead = e + kLanes; ahead < count && ahead < e + 2 * kLanes; ahead++)
        __builtin_prefetch(splats + entries[ahead].rank);
      find_touched(splats, entries, e, count, left, top);
    }
    uint64_t blocks = entries[e].touched & blocks_alive;
    if (!blocks) continue;
    const Splat &s = splats[entries[e].rank];
    float values[CHANNELS ? CHANNELS : kMaxChannels];
    load_values<CHANNELS>(frame, model, entries[e].rank, channels, values);
    Lanes power_x[kColumns], v0[kColumns];
    for (int column = 0; column < kColumns; column++) {
      const Lanes dx = offsets.x + (left - s.x + column * kBlockWidth);
      power_x[column] = -s.fall_x * dx * dx, v0[column] = offsets.y + (s.skew * dx + (top - s.y));
    }
    const Lanes cut = all(s.cut), opacity = all(s.opacity);
    for (; blocks; blocks &= blocks - 1) {
      const int block = __builtin_ctzll(blocks), column = block / kBlockRows;
      const Lanes v = v0[column] + starts.y[block % kBlockRows], power = power_x[column] - s.fall_v * v * v;
      Mask drawn = both(at_least(power, cut), alive[block]);
      const Lanes part = light[block] * smaller(all(kMaxAlpha), opacity * exp2(power));
      const Mask ended = both(drawn, at_least(all(kMinTransmittance), light[block] - part));
      if (__builtin_expect(any(ended), 0)) {
        drawn = without(drawn, ended);
        alive[block] = without(alive[block], ended);
        end[block] = select(ended, all(e), end[block]);
        if (!any(alive[block])) blocks_alive &= ~(1ull << block);
      }
      const Lanes weight = kept(drawn, part);
      Lanes *sum = sums + block * channels;
      for (int k = 0; k < channels; k++) sum[k] += weight * values[k];
      light[block] -= weight;
    }
  }

  memcpy(&frame.transmittance[(size_t)tile * kTilePixels], light, sizeof light);
  memcpy(&frame.end[(size_t)tile * kTilePixels], end, sizeof end);
  for (int block = 0; block < kBlocks; block++)
    for (int k = 0; k < 3; k++) sums[block * channels + k] += light[block] * frame.view.background[k];
  visit_pixels(frame, left, top, [&](int block, int lane, size_t pixel, int pixels) __attribute__((always_inline)) {
    for (int k = 0; k < channels; k++) {
      const float *row = (const float *)&sums[block * channels + k] + lane;
      memcpy(planes.channel[k] + pixel, row, 4 * pixels);
    }
    for (int k = 0; k < pixels; k++) planes.alpha[pixel + k] = 1 - light[block][lane + k];
  });
}

// With w_i = T_i alpha_i the weight of entry i, D_i the sum over channels of value times incoming gradient:
//   dL/dalpha_i = T_i D_i - (sum of w_j D_j over j behind i - T_end dL/dalpha_pixel) / (1 - alpha_i)
// A slot holds dL/dvalue per channel, then the sums over pixels of g, g dx, g v, g dx^2, g dx v, g v^2 with
// g = alpha dL/dalpha and v as in Splat: all that the gradients of centre, conic and opacity need.
template <int CHANNELS>
static void blend_tile_backward(Frame &frame, const Model &model, const GradientPlanes &planes, int tile) {
  const int channels = CHANNELS ? CHANNELS : frame.gradient_channels, slot_size = channels + kMoments;
  constexpr int kMost = CHANNELS ? CHANNELS : kMaxChannels;
  const int left = tile % frame.tiles_x * kTile, top = tile / frame.tiles_x * kTile;
  const LaneOffsets offsets = lane_offsets();
  const RowStarts starts = row_starts();

  Lanes light[kBlocks], incoming[kBlocks * kMost], behind[kBlocks];
  IntLanes end[kBlocks];
  memcpy(light, &frame.transmittance[(size_t)tile * kTilePixels], sizeof light);
  memcpy(end, &frame.end[(size_t)tile * kTilePixels], sizeof end);
  IntLanes outside[kBlocks];
  for (int block = 0; block < kBlocks; block++) {
    for (int k = 0; k < channels; k++) incoming[block * channels + k] = Lanes{};
    behind[block] = Lanes{}, outside[block] = all(1);
  }
  visit_pixels(frame, left, top, [&](int block, int lane, size_t pixel, int pixels) __attribute__((always_inline)) {
    for (int k = 0; k < channels; k++)
      if (planes.channel[k]) {
        float *row = (float *)&incoming[block * channels + k] + lane;
        memcpy(row, planes.channel[k] + pixel, 4 * pixels);
      }
    for (int k = 0; k < pixels; k++) outside[block][lane + k] = 0;
    for (int k = 0; planes.alpha && k < pixels; k++) behind[block][lane + k] = planes.alpha[pixel + k];
  });
  int longest = 0, block_end[kBlocks] = {};
  for (int block = 0; block < kBlocks; block++) {
    for (int k = 0; k < 3; k++) behind[block] -= incoming[block * channels + k] * frame.view.background[k];
    behind[block] *= -light[block];
    end[block] = select(less(IntLanes{}, outside[block]), IntLanes{}, end[block]);
    for (int lane = 0; lane < kLanes; lane++)
      if (end[block][lane] > block_end[block]) block_end[block] = end[block][lane];
    if (block_end[block] > longest) longest = block_end[block];
  }

  const Entry *entries = frame.entries.data() + frame.tile_start[tile];
  const int count = frame.tile_start[tile + 1] - frame.tile_start[tile];
  const Splat *splats = frame.splats.data();
  float *slots = frame.slots.data();
  const int drawn_entries = longest < count ? longest : count;
  for (int e = drawn_entries; e < count; e++) memset(slots + (size_t)entries[e].slot * slot_size, 0, 4 * slot_size);
  for (int e = drawn_entries - 1; e >= 0; e--) {
    if (e >= 8) {
      __builtin_prefetch(slots + (size_t)entries[e - 8].slot * slot_size, 1);
      __builtin_prefetch(splats + entries[e - 8].rank);
    }
    const Splat &s = splats[entries[e].rank];
    float values[kMost];
    load_values<CHANNELS>(frame, model, entries[e].rank, channels, values);
    Lanes sums[kMost + kMoments];
    for (int k = 0; k < slot_size; k++) sums[k] = Lanes{};
    Lanes *moments = sums + channels;
    const Lanes cut = all(s.cut), opacity = all(s.opacity);
    const IntLanes number = all(e);
    for (int column = 0; column < kColumns; column++) {
      uint32_t rows = entries[e].touched >> column * kBlockRows & ((1u << kBlockRows) - 1);
      if (!rows) continue;
      const Lanes dx = offsets.x + (left - s.x + column * kBlockWidth);
      const Lanes power_x = -s.fall_x * dx * dx, v0 = offsets.y + (s.skew * dx + (top - s.y));
      Lanes column_sum = {}, column_v = {};
      for (; rows; rows &= rows - 1) {
        const int row = __builtin_ctz(rows), block = column * kBlockRows + row;
        if (e >= block_end[block]) continue;
        const Lanes v = v0 + starts.y[row], power = power_x - s.fall_v * v * v;
        const Mask drawn = both(at_least(power, cut), less(number, end[block]));
        const Lanes unclamped = kept(drawn, opacity * exp2(power));
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
    case 5: return blend_tile<5>(frame, model, planes, tile);
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
