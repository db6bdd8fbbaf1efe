// Blending of one tile, forward and backward. A tile is cut into blocks of kLanes pixels; an entry visits only the blocks
// that its ellipse touches.
#pragma once

constexpr int kBlockWidth = kLanes < 8 ? kLanes : 8, kBlockHeight = kLanes / kBlockWidth;
constexpr int kColumns = kTile / kBlockWidth, kBlockRows = kTile / kBlockHeight, kBlocks = kColumns * kBlockRows;
constexpr float kDark = 1e-20f;  // far below kMinTransmittance, far above what makes processors slow
constexpr float kMinPower = -7.9943534f, kMaxPower = -1.4434169e-3f;  // log2 of kMinAlpha and kMaxAlpha

struct LaneOffsets {
  Lanes x, y;                // of the pixel centres in a block
  float row_start[kBlocks];  // of a block in its tile
};
INLINE LaneOffsets lane_offsets() {
  LaneOffsets offsets;
  for (int block = 0; block < kBlocks; block++) offsets.row_start[block] = block % kBlockRows * kBlockHeight;
  for (int lane = 0; lane < kLanes; lane++) {
    offsets.x[lane] = lane % kBlockWidth + 0.5f;
    offsets.y[lane] = lane / kBlockWidth + 0.5f;
  }
  return offsets;
}

// Entries of a tile side by side, field by field.
constexpr int kBatch = 64, kGroups = kBatch / kLanes;
struct Batch {
  Lanes x[kGroups], y[kGroups];  // centres, from the tile's corner
  Lanes skew[kGroups], fall_x[kGroups], fall_v[kGroups], lift[kGroups], value[4][kGroups];
  const float *features[kBatch];
  uint64_t touching[kBlocks];  // bit of each entry whose ellipse touches the block
};
INLINE Lanes broadcast(const Lanes *field, int i) { return all(((const float *)field)[i]); }

// Sets the bits of one group of kLanes entries in `touching`, whose other bits are kept.
INLINE void find_touching(Batch &batch, int group, Mask valid, Lanes curve, Lanes reach, Lanes turn) {
  const float margin = 1e-3f;  // px, for rounding
  const Lanes x = 0.5f - batch.x[group], y = 0.5f - batch.y[group], skew = batch.skew[group];
  for (int column = 0; column < kColumns; column++) {
    const Lanes near = x + (float)(column * kBlockWidth), far = near + (float)(kBlockWidth - 1);
    const Lanes at_bottom = smaller(larger(-turn, near), far), at_top = smaller(larger(turn, near), far);
    const Lanes root_bottom = reach - curve * at_bottom * at_bottom, root_top = reach - curve * at_top * at_top;
    const Lanes low = -skew * at_top - root(larger(root_top, Lanes{})) - y - margin;
    const Lanes high = -skew * at_bottom + root(larger(root_bottom, Lanes{})) - y + margin;
    const IntLanes first = rounded_up(larger(low, Lanes{})) / kBlockHeight;
    const IntLanes last = truncated(smaller(high, all(kTile - 1.0f))) / kBlockHeight;
    Mask hit = both(at_least(high, Lanes{}), at_least(all(kTile - 1.0f), low));
    hit = both(both(hit, valid), at_least(larger(root_bottom, root_top), Lanes{}));
    const IntLanes rows = select(hit, ((IntLanes{} + 2) << last) - ((IntLanes{} + 1) << first), IntLanes{});
    for (int row = 0; row < kBlockRows; row++)
      batch.touching[column * kBlockRows + row] |= (uint64_t)bits(has_bit(rows, row)) << group * kLanes;
  }
}

// `count` entries, at most kBatch, of the tile that starts at pixel (left, top)
INLINE void load_batch(const Frame &frame, const Model &model, const Entry *entries, int count, int ahead, int left,
                       int top, Batch &batch) {
  memset(batch.touching, 0, sizeof batch.touching);
  for (int group = 0; group * kLanes < count; group++) {
    Lanes fields[kSplatFields];
    for (int lane = 0; lane < kLanes; lane++) {
      const int i = group * kLanes + lane;
      const uint32_t gaussian = entries[i < count ? i : count - 1].gaussian;
      for (int part = 0; part < kSplatFields / kLanes; part++)
        fields[part * kLanes + lane] = load(&frame.projected[gaussian].x + part * kLanes);
      if (i + kBatch < ahead) __builtin_prefetch(&frame.projected[entries[i + kBatch].gaussian]);
      if (model.features) batch.features[i] = model.features + (int64_t)gaussian * model.features_per_gaussian;
    }
    for (int part = 0; part < kSplatFields / kLanes; part++) transpose(fields + part * kLanes);
    batch.x[group] = fields[0] - (float)left, batch.y[group] = fields[1] - (float)top;
    batch.skew[group] = fields[2], batch.fall_x[group] = fields[3], batch.fall_v[group] = fields[4];
    batch.lift[group] = fields[5];
    for (int k = 0; k < 4; k++) batch.value[k][group] = fields[9 + k];
    const Mask valid = less(numbered(), all(count - group * kLanes));
    find_touching(batch, group, valid, fields[6], fields[7], fields[8]);
  }
}

// Calls visit(block, lane, pixel, count) for each piece of a row of pixels that lies in a block and in the image, row by row;
// `lane` is that of its first pixel. Lanes beyond are outside.
template <typename Visit>
INLINE void visit_pixels(const Frame &frame, int tile, Visit visit) {
  const int left = tile % frame.tiles_x * kTile, top = tile / frame.tiles_x * kTile;
  const int width = frame.view.width - left, height = frame.view.height - top;
  for (int y = 0; y < (height < kTile ? height : kTile); y++)
    for (int column = 0; column < kColumns; column++) {
      const int x = column * kBlockWidth, block = column * kBlockRows + y / kBlockHeight;
      const size_t pixel = (size_t)(top + y) * frame.view.width + left + x;
      if (width >= kTile)
        visit(block, y % kBlockHeight * kBlockWidth, pixel, kBlockWidth);
      else if (x < width)
        visit(block, y % kBlockHeight * kBlockWidth, pixel, width - x < kBlockWidth ? width - x : kBlockWidth);
    }
}

// Asks for the cache lines of a tile in `planes` planes before they are needed; rows lie too far apart for the processor
// to guess.
template <bool WRITE>
INLINE void fetch_tile(const Frame &frame, const float *const *planes, int count, int tile) {
  if (tile >= frame.tiles_x * frame.tiles_y) return;
  const int left = tile % frame.tiles_x * kTile, top = tile / frame.tiles_x * kTile;
  const int bottom = top + kTile < frame.view.height ? top + kTile : frame.view.height;
  for (int k = 0; k < count; k++)
    if (planes[k])
      for (int y = top; y < bottom; y++) __builtin_prefetch(planes[k] + (size_t)y * frame.view.width + left, WRITE);
}

// What is known about the pixels of one block while they are blended.
template <int CHANNELS>
struct Pixels {
  Lanes light;    // left behind all entries so far, those beyond the end of a pixel among them
  Lanes through;  // left behind those before the end: the transmittance
  Lanes sums[CHANNELS ? CHANNELS : kMaxChannels];
  IntLanes end;           // number after the last entry before the end
  IntLanes contributor;   // Gaussian with the largest weight so far, -1 for none
  Lanes largest;          // that weight
};

// Blends the entries of a batch that touch the block, in order; returns whether any pixel is still open behind them.
// CHANNELS = 0: as many as the frame has
template <int CHANNELS, bool CONTRIBUTORS>
INLINE bool blend_block(const Batch &batch, const Entry *entries, int begin, int block, int channels, Lanes x, Lanes y,
                        Pixels<CHANNELS> &pixels, uint64_t *touched) {
  Lanes light = pixels.light, through = pixels.through;
  Lanes sums[CHANNELS ? CHANNELS : kMaxChannels];
  for (int k = 0; k < channels; k++) sums[k] = pixels.sums[k];
  IntLanes end = pixels.end;
  bool open = true;
  for (uint64_t touching = batch.touching[block]; touching; touching &= touching - 1) {
    const int i = __builtin_ctzll(touching);
    const Lanes dx = x - broadcast(batch.x, i), v = (y - broadcast(batch.y, i)) + broadcast(batch.skew, i) * dx;
    const Lanes power =
        broadcast(batch.lift, i) - broadcast(batch.fall_x, i) * dx * dx - broadcast(batch.fall_v, i) * v * v;
    const Mask drawn = at_least(power, all(kMinPower));
    const Lanes alpha = kept(drawn, smaller(all(kMaxAlpha), quick_exp2(power)));
    // the light only falls: once it is too low, it stays so for all entries behind
    const Lanes after = light * (1 - alpha);
    const Mask before_end = above(after, all(kMinTransmittance));
    if (!any(before_end)) {
      open = false;
      break;
    }
    const Lanes weight = kept(before_end, light * alpha);
    for (int k = 0; k < (CHANNELS ? CHANNELS : channels); k++)
      sums[k] += weight * (k < 4 ? broadcast(batch.value[k], i) : all(batch.features[i][k - 4]));
    through = choose(before_end, after, through);
    end = select(before_end, all(begin + i + 1), end);
    if (CONTRIBUTORS) {
      const Mask more = above(weight, pixels.largest);
      pixels.largest = choose(more, weight, pixels.largest);
      pixels.contributor = select(more, all((int32_t)entries[i].gaussian), pixels.contributor);
    }
    light = larger(after, all(kDark));
    touched[i] |= 1ull << block;
  }
  pixels.light = light, pixels.through = through, pixels.end = end;
  for (int k = 0; k < channels; k++) pixels.sums[k] = sums[k];
  return open;
}

template <int CHANNELS, bool CONTRIBUTORS>
static void blend_tile(Frame &frame, const Model &model, const RasterPlanes &planes, int tile) {
  const int channels = CHANNELS ? CHANNELS : frame.channels;
  const int left = tile % frame.tiles_x * kTile, top = tile / frame.tiles_x * kTile;
  const LaneOffsets offsets = lane_offsets();
  fetch_tile<true>(frame, planes.channel, channels, tile), fetch_tile<true>(frame, &planes.alpha, 1, tile);

  Pixels<CHANNELS> pixels[kBlocks];
  for (auto &block : pixels) {
    block.light = Lanes{}, block.through = all(1.0f), block.end = IntLanes{};
    block.contributor = all(-1), block.largest = Lanes{};
    for (int k = 0; k < channels; k++) block.sums[k] = Lanes{};
  }
  uint64_t open = 0;  // bit of each block that entries still can change
  visit_pixels(frame, tile, [&](int block, int lane, size_t, int count) __attribute__((always_inline)) {
    for (int k = 0; k < count; k++) pixels[block].light[lane + k] = 1;
    open |= 1ull << block;
  });

  const Entry *entries = frame.entries.data() + frame.tile_start[tile];
  uint64_t *touched = frame.touched.data() + frame.tile_start[tile];
  const int count = frame.tile_start[tile + 1] - frame.tile_start[tile];
  memset(touched, 0, sizeof *touched * count);
  Batch batch;
  for (int begin = 0; begin < count && open; begin += kBatch) {
    const int size = count - begin < kBatch ? count - begin : kBatch;
    load_batch(frame, model, entries + begin, size, count - begin, left, top, batch);
    for (uint64_t rest = open; rest; rest &= rest - 1) {
      const int block = __builtin_ctzll(rest);
      const Lanes x = offsets.x + (float)(block / kBlockRows * kBlockWidth);
      const Lanes y = offsets.y + offsets.row_start[block];
      if (!blend_block<CHANNELS, CONTRIBUTORS>(batch, entries + begin, begin, block, channels, x, y, pixels[block],
                                               touched + begin))
        open &= ~(1ull << block);
    }
  }

  for (int block = 0; block < kBlocks; block++) {
    const size_t lanes = (size_t)tile * kTilePixels + block * kLanes;
    memcpy(&frame.transmittance[lanes], &pixels[block].through, sizeof(Lanes));
    memcpy(&frame.end[lanes], &pixels[block].end, sizeof(IntLanes));
    for (int k = 0; k < 3; k++) pixels[block].sums[k] += pixels[block].through * frame.view.background[k];
  }
  visit_pixels(frame, tile, [&](int block, int lane, size_t pixel, int count) __attribute__((always_inline)) {
    const Lanes alpha = 1 - pixels[block].through;
    for (int k = 0; k < channels; k++)
      memcpy(planes.channel[k] + pixel, (const float *)&pixels[block].sums[k] + lane, 4 * count);
    memcpy(planes.alpha + pixel, (const float *)&alpha + lane, 4 * count);
    if (CONTRIBUTORS)
      memcpy(planes.contributor + pixel, (const int32_t *)&pixels[block].contributor + lane, 4 * count);
  });
}

// Let T_i be the light before entry i, D_i the sum over channels of value times incoming gradient, and B_i the same for
// what lies behind i, blended as if lit fully. Then dL/dalpha_i = T_i (D_i - B_i), and B_i-1 = B_i + alpha_i (D_i - B_i).
// A slot holds dL/dvalue per channel, then the sums over pixels of g, g dx, g v, g dx^2, g dx v, g v^2 with
// g = alpha dL/dalpha and v as in Splat: all that the gradients of centre, conic and opacity need. With ABSOLUTE come
// the sums of |g d power/dx| / fall_x and |g d power/dy| / fall_v, halved.
template <int CHANNELS, bool ABSOLUTE>
static void blend_tile_backward(Frame &frame, const Model &model, const GradientPlanes &planes, int tile) {
  const int channels = CHANNELS ? CHANNELS : frame.gradient_channels;
  constexpr int kMost = CHANNELS ? CHANNELS : kMaxChannels, kSums = kMoments + 2 * ABSOLUTE;
  const int left = tile % frame.tiles_x * kTile, top = tile / frame.tiles_x * kTile, slot_size = channels + kSums;
  const LaneOffsets offsets = lane_offsets();
  fetch_tile<false>(frame, planes.channel, channels, tile + 1), fetch_tile<false>(frame, &planes.alpha, 1, tile + 1);

  Lanes light[kBlocks], incoming[kBlocks][kMost], behind[kBlocks];
  IntLanes end[kBlocks];
  memcpy(light, &frame.transmittance[(size_t)tile * kTilePixels], sizeof light);
  memcpy(end, &frame.end[(size_t)tile * kTilePixels], sizeof end);
  for (int block = 0; block < kBlocks; block++) {
    for (int k = 0; k < channels; k++) incoming[block][k] = Lanes{};
    behind[block] = Lanes{};
  }
  visit_pixels(frame, tile, [&](int block, int lane, size_t pixel, int count) __attribute__((always_inline)) {
    for (int k = 0; k < channels; k++)
      if (planes.channel[k]) memcpy((float *)&incoming[block][k] + lane, planes.channel[k] + pixel, 4 * count);
    if (planes.alpha) memcpy((float *)&behind[block] + lane, planes.alpha + pixel, 4 * count);
  });
  for (int block = 0; block < kBlocks; block++) {
    behind[block] = -behind[block];
    for (int k = 0; k < 3; k++) behind[block] += incoming[block][k] * frame.view.background[k];
  }

  const Entry *entries = frame.entries.data() + frame.tile_start[tile];
  const uint64_t *touched = frame.touched.data() + frame.tile_start[tile];
  const int count = frame.tile_start[tile + 1] - frame.tile_start[tile];
  float *slots = frame.slots.data();
  for (int e = count - 1; e >= 0; e--) {
    if (e >= 8) {
      __builtin_prefetch(slots + (size_t)entries[e - 8].slot * slot_size, 1);
      __builtin_prefetch(&frame.projected[entries[e - 8].gaussian]);
    }
    float *slot = slots + (size_t)entries[e].slot * slot_size;
    uint64_t blocks = touched[e];
    if (!blocks) {
      memset(slot, 0, 4 * slot_size);
      continue;
    }
    const Splat &s = frame.projected[entries[e].gaussian];
    float values[kMost];
    for (int k = 0; k < (CHANNELS ? CHANNELS : channels); k++)
      values[k] = k < 4 ? s.value[k] : model.features[(int64_t)entries[e].gaussian * model.features_per_gaussian + k - 4];
    Lanes column_x[kColumns], column_power[kColumns], column_v[kColumns];
    for (int column = 0; column < kColumns; column++) {
      const Lanes dx = offsets.x + (left - s.x + column * kBlockWidth);
      column_x[column] = dx, column_power[column] = s.lift - s.fall_x * dx * dx;
      column_v[column] = offsets.y + (s.skew * dx + (top - s.y));
    }
    Lanes sums[kMost + kSums];
    for (int k = 0; k < slot_size; k++) sums[k] = Lanes{};
    Lanes *moments = sums + channels;
    const IntLanes number = all(e);
    const float twist = s.skew * s.fall_v / s.fall_x;
    for (; blocks; blocks &= blocks - 1) {
      const int block = __builtin_ctzll(blocks), column = block / kBlockRows;
      const Lanes dx = column_x[column], v = column_v[column] + offsets.row_start[block];
      const Lanes power = column_power[column] - s.fall_v * v * v;
      const Mask drawn = both(at_least(power, all(kMinPower)), less(number, end[block]));
      const Lanes alpha = kept(drawn, smaller(all(kMaxAlpha), quick_exp2(power)));
      const Lanes before = light[block] * reciprocal(1 - alpha), weight = alpha * before;
      light[block] = before;
      Lanes dot = incoming[block][0] * values[0];
      for (int k = 1; k < (CHANNELS ? CHANNELS : channels); k++) dot += incoming[block][k] * values[k];
      for (int k = 0; k < (CHANNELS ? CHANNELS : channels); k++) sums[k] += weight * incoming[block][k];
      const Lanes difference = dot - behind[block];
      behind[block] += alpha * difference;
      const Lanes g = kept(above(all(kMaxPower), power), weight * difference), g_dx = g * dx, g_v = g * v;
      moments[0] += g;
      moments[1] += g_dx;
      moments[2] += g_v;
      moments[3] += g_dx * dx;
      moments[4] += g_dx * v;
      moments[5] += g_v * v;
      if (ABSOLUTE) {
        moments[6] += magnitude(g_dx + twist * g_v);
        moments[7] += magnitude(g_v);
      }
    }
    if (CHANNELS) {
      sum_lanes<kMost + kSums>(sums, slot);
    } else {
      for (int k = 0; k < slot_size; k++) sum_lanes<1>(sums + k, slot + k);
    }
  }
}

template <bool CONTRIBUTORS>
static void blend_channels(Frame &frame, const Model &model, const RasterPlanes &planes, int tile) {
  switch (frame.channels) {
    case 4: return blend_tile<4, CONTRIBUTORS>(frame, model, planes, tile);
    case 5: return blend_tile<5, CONTRIBUTORS>(frame, model, planes, tile);
    default: return blend_tile<0, CONTRIBUTORS>(frame, model, planes, tile);
  }
}
static void blend(Frame &frame, const Model &model, const RasterPlanes &planes, int tile) {
  if (planes.contributor) return blend_channels<true>(frame, model, planes, tile);
  return blend_channels<false>(frame, model, planes, tile);
}

template <bool ABSOLUTE>
static void blend_backward_channels(Frame &frame, const Model &model, const GradientPlanes &planes, int tile) {
  switch (frame.gradient_channels) {
    case 3: return blend_tile_backward<3, ABSOLUTE>(frame, model, planes, tile);
    case 5: return blend_tile_backward<5, ABSOLUTE>(frame, model, planes, tile);
    default: return blend_tile_backward<0, ABSOLUTE>(frame, model, planes, tile);
  }
}
static void blend_backward(Frame &frame, const Model &model, const GradientPlanes &planes, int tile) {
  if (frame.absolute) return blend_backward_channels<true>(frame, model, planes, tile);
  return blend_backward_channels<false>(frame, model, planes, tile);
}
