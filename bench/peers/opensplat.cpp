// OpenSplat behind Python, for measuring beside it. Compiled at bench time against the user's own checkout of OpenSplat
// (AGPL-3.0); nothing of it is in this repository.
#include <torch/extension.h>

#include <memory>

#include "model.hpp"
#include "project_gaussians.hpp"
#include "rasterize_gaussians.hpp"

namespace {

torch::Tensor draw(torch::Tensor means, torch::Tensor scales, torch::Tensor quaternions, torch::Tensor opacities,
                   torch::Tensor sh, torch::Tensor camera_from_world, float fx, float fy, int width, int height,
                   int degree) {
  const torch::Tensor projection = projectionMatrix(0.001f, 1000.0f, 2 * std::atan(width / (2 * fx)),
                                                    2 * std::atan(height / (2 * fy)), torch::kCPU);
  torch::Tensor full = torch::matmul(projection, camera_from_world);
  auto p = ProjectGaussiansCPU::apply(means, scales, 1, quaternions / quaternions.norm(2, {-1}, true),
                                      camera_from_world, full, fx, fy, width / 2.0f, height / 2.0f, height, width);
  const torch::Tensor centre = -torch::matmul(camera_from_world.slice(0, 0, 3).slice(1, 0, 3).t(),
                                              camera_from_world.slice(0, 0, 3).select(1, 3));
  torch::Tensor directions = means.detach() - centre;
  directions = directions / directions.norm(2, {-1}, true);
  const torch::Tensor colours = torch::clamp_min(SphericalHarmonicsCPU::apply(degree, directions, sh) + 0.5f, 0.0f);
  const torch::Tensor nothing = torch::empty({0});
  return RasterizeGaussiansCPU::apply(p[0], p[1], p[2], colours, opacities, p[3], p[4], height, width,
                                      torch::zeros(3), nothing, nothing, nothing, nothing)[0];
}

class Trainer {
 public:
  // images [H, W, 3] in 0..1; world_from_camera [C, 4, 4] with OpenGL axes; intrinsics [C, 2] (fx, fy); the principal
  // point is the image's centre. colours uint8. Settings are those of the program's own defaults.
  Trainer(std::vector<torch::Tensor> images, torch::Tensor world_from_camera, torch::Tensor intrinsics,
          torch::Tensor points, torch::Tensor colours, int iterations, int densify_from, int densify_until) {
    data_.scale = 1;
    data_.translation = torch::zeros(3);
    data_.points.xyz = points;
    data_.points.rgb = colours;
    for (size_t i = 0; i < images.size(); i++) {
      const int width = images[i].size(1), height = images[i].size(0);
      data_.cameras.emplace_back(width, height, intrinsics[i][0].item<float>(), intrinsics[i][1].item<float>(),
                                 width / 2.0f, height / 2.0f, 0, 0, 0, 0, 0, world_from_camera[i], "");
      data_.cameras.back().image = images[i];
      data_.cameras.back().K = data_.cameras.back().getIntrinsicsMatrix();
    }
    model_ = std::make_unique<Model>(data_, (int)images.size(), 0, 3000, 3, 1000, 500, densify_from, densify_until,
                                     5000000, 0.1f, iterations, false, torch::kCPU);
    model_->trainCams = &data_.cameras;
  }

  // The loop body of opensplat.cpp's main.
  float step(int index, int step) {
    Camera &camera = data_.cameras[index];
    torch::Tensor colour = model_->forward(camera, step), target = camera.getImageGpu(1, torch::kCPU), mask;
    torch::Tensor loss = model_->mainLoss(colour, target, mask, 0.2f);
    loss.backward();
    const float value = loss.item<float>();  // the program prints it at every step
    model_->afterTrain(step);
    model_->optimizerStepCadence(step);
    model_->schedulersStep(step);
    return value;
  }

  torch::Tensor render(torch::Tensor world_from_camera, float fx, float fy, int width, int height, int step) {
    Camera camera(width, height, fx, fy, width / 2.0f, height / 2.0f, 0, 0, 0, 0, 0, world_from_camera, "");
    return model_->forward(camera, step).detach();
  }

  int64_t count() const { return model_->means.size(0); }

 private:
  InputData data_;
  std::unique_ptr<Model> model_;
};

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("draw", &draw);
  pybind11::class_<Trainer>(module, "Trainer")
      .def(pybind11::init<std::vector<torch::Tensor>, torch::Tensor, torch::Tensor, torch::Tensor, torch::Tensor, int,
                          int, int>())
      .def("step", &Trainer::step, pybind11::call_guard<pybind11::gil_scoped_release>())
      .def("render", &Trainer::render, pybind11::call_guard<pybind11::gil_scoped_release>())
      .def("count", &Trainer::count);
}
