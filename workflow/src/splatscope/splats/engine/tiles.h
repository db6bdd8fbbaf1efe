// Which tiles a Gaussian touches, a lane for each of kLanes Gaussians.
#pragma once

INLINE IntLanes rounded_down(Lanes a) {  // of numbers from -1 up, -1 for less
  return truncated(larger(a, all(-1.0f)) + 1) - 1;
}

// Writes the tiles of the visible Gaussians keys[begin .. end), row by row of tiles, to `spans`, which grows as needed, and
// the number of rows of each to spans_of.
static void find_spans(Frame &frame, size_t begin, size_t end, std::vector<Span> &spans) {
  constexpr int kParts = (6 + kLanes - 1) / kLanes;  // of a Splat, up to `lift`
  const float height = frame.view.height, width = frame.view.width, margin = 1e-3f;  // px, for rounding
  size_t written = 0;
  for (size_t first = begin; first < end; first += kLanes) {
    const int group = end - first < kLanes ? (int)(end - first) : kLanes;
    Lanes fields[kParts * kLanes];
    for (int lane = 0; lane < kLanes; lane++) {
      const size_t place = first + lane, ahead = place + 2 * kLanes;
      const Splat &s = frame.projected[(uint32_t)frame.keys[place < end ? place : end - 1]];
      for (int part = 0; part < kParts; part++) fields[part * kLanes + lane] = load(&s.x + part * kLanes);
      if (ahead < end) __builtin_prefetch(&frame.projected[(uint32_t)frame.keys[ahead]]);
    }
    for (int part = 0; part < kParts; part++) transpose(fields + part * kLanes);
    const Lanes x = fields[0], y = fields[1], skew = fields[2], lift = fields[5];
    // the ellipse again, now dx by dy: dx lies within -across dy -+ sqrt(reach - curve dy^2)
    const Lanes level = (lift - kMinPower) * (2 / kLog2e);  // Mahalanobis distance^2 at its border
    const Lanes var_x = 0.5f * kLog2e / fields[3], var_v = 0.5f * kLog2e / fields[4];
    const Lanes var_y = var_v + skew * skew * var_x, across = skew * var_x / var_y, ratio = var_v / var_y;
    const Lanes reach = level * var_x * ratio, curve = var_x / var_y * ratio;
    const Lanes extent_y = root(level * var_y), at_right = -skew * root(level * var_x);
    const IntLanes low = rounded_up(larger(y - extent_y - 0.5f - margin, Lanes{}));
    const IntLanes high = rounded_down(smaller(y + extent_y - 0.5f + margin, all(height - 1)));
    const IntLanes tile_row = low / kTile, rows = select(less(high, low), IntLanes{}, high / kTile - tile_row + 1);
    size_t place[kLanes];
    int most = 0;
    for (int lane = 0; lane < group; lane++) {
      place[lane] = written;
      written += rows[lane];
      most = rows[lane] > most ? rows[lane] : most;
      frame.spans_of[first + lane] = (uint16_t)rows[lane];
    }
    if (spans.size() < written) spans.resize(written + written / 2);
    for (int step = 0; step < most; step++) {
      const Lanes start = as_float((tile_row + step) * kTile);
      const Lanes top = larger(start, as_float(low)) + 0.5f - y;
      const Lanes bottom = smaller(start + (kTile - 1.0f), as_float(high)) + 0.5f - y;
      const Lanes dy_right = smaller(larger(at_right, top), bottom), dy_left = smaller(larger(-at_right, top), bottom);
      const Lanes right = x - across * dy_right + root(larger(reach - curve * dy_right * dy_right, Lanes{})) - 0.5f;
      const Lanes left = x - across * dy_left - root(larger(reach - curve * dy_left * dy_left, Lanes{})) - 0.5f;
      const IntLanes begins = rounded_up(smaller(larger(left - margin, Lanes{}), all(width)));
      const IntLanes ends = rounded_down(smaller(right + margin, all(width - 1)));
      const IntLanes first_tile = begins / kTile, last_tile = select(less(ends, begins), first_tile - 1, ends / kTile);
      for (int lane = 0; lane < group; lane++)
        if (step < rows[lane])
          spans[place[lane] + step] = {(uint16_t)(tile_row[lane] + step), (int16_t)first_tile[lane], (int16_t)last_tile[lane]};
    }
  }
}
