// The two index searches of gsplat's PyTorch reference that exist only for CUDA, for the CPU: which tiles a Gaussian's
// box touches, and which (Gaussian, pixel) pairs are drawn. Neither is differentiated.
#include <torch/extension.h>

#include <algorithm>
#include <cmath>
#include <vector>

// means [N, 2], radii [N, 2] int, depths [N] -> tile [M] and Gaussian [M], by tile and then by depth
std::vector<torch::Tensor> tiles_of(torch::Tensor means, torch::Tensor radii, torch::Tensor depths, int size, int across,
                                    int down) {
  const float *m = means.data_ptr<float>(), *d = depths.data_ptr<float>();
  const int *r = radii.data_ptr<int>();
  std::vector<std::pair<int, int>> pairs;
  for (int i = 0; i < means.size(0); i++) {
    if (r[2 * i] <= 0 || r[2 * i + 1] <= 0) continue;
    auto tile = [size](float value, int limit) { return std::clamp((int)value, 0, limit); };
    const int left = tile(std::floor((m[2 * i] - r[2 * i]) / size), across);
    const int right = tile(std::ceil((m[2 * i] + r[2 * i]) / size), across);
    const int top = tile(std::floor((m[2 * i + 1] - r[2 * i + 1]) / size), down);
    const int bottom = tile(std::ceil((m[2 * i + 1] + r[2 * i + 1]) / size), down);
    for (int y = top; y < bottom; y++)
      for (int x = left; x < right; x++) pairs.push_back({y * across + x, i});
  }
  std::stable_sort(pairs.begin(), pairs.end(), [d](auto a, auto b) {
    return a.first != b.first ? a.first < b.first : d[a.second] < d[b.second];
  });
  torch::Tensor tiles = torch::empty({(int64_t)pairs.size()}, torch::kLong);
  torch::Tensor gaussians = torch::empty({(int64_t)pairs.size()}, torch::kInt);
  for (size_t k = 0; k < pairs.size(); k++) {
    tiles.data_ptr<int64_t>()[k] = (int64_t)pairs[k].first;
    gaussians.data_ptr<int>()[k] = pairs[k].second;
  }
  return {tiles, gaussians};
}

// first [tiles + 1] into gaussians [M] -> Gaussian [P] and pixel [P] (row-major) of everything drawn, by pixel
std::vector<torch::Tensor> pairs_of(torch::Tensor light, torch::Tensor means, torch::Tensor conics,
                                    torch::Tensor opacities, int width, int height, int size, int across,
                                    torch::Tensor first, torch::Tensor gaussians) {
  const float *t = light.data_ptr<float>(), *m = means.data_ptr<float>(), *c = conics.data_ptr<float>();
  const float *o = opacities.data_ptr<float>();
  const int *starts = first.data_ptr<int>(), *ids = gaussians.data_ptr<int>();
  std::vector<int64_t> drawn, pixels;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      const int tile = y / size * across + x / size;
      float left = t[y * width + x];
      for (int k = starts[tile]; k < starts[tile + 1]; k++) {
        const int i = ids[k];
        const float dx = x + 0.5f - m[2 * i], dy = y + 0.5f - m[2 * i + 1];
        const float power = 0.5f * (c[3 * i] * dx * dx + c[3 * i + 2] * dy * dy) + c[3 * i + 1] * dx * dy;
        const float alpha = std::min(0.999f, o[i] * std::exp(-power));
        if (power < 0 || alpha < 1.0f / 255) continue;
        if (left * (1 - alpha) <= 1e-4f) break;
        left *= 1 - alpha;
        drawn.push_back(i), pixels.push_back(y * width + x);
      }
    }
  auto tensor = [](std::vector<int64_t> &v) { return torch::from_blob(v.data(), {(int64_t)v.size()}, torch::kLong).clone(); };
  return {tensor(drawn), tensor(pixels)};
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("tiles_of", &tiles_of);
  module.def("pairs_of", &pairs_of);
}
