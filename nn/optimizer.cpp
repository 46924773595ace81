#include "nn/optimizer.h"

#include <cmath>

#include "tensor/error.h"

namespace sagitta::nn {
namespace {

Tensor zeros_like(const Tensor& tensor) { return zeros(tensor.backend(), tensor.shape(), tensor.dtype()); }

}  // namespace

Optimizer::Optimizer(ParameterArena& arena)
    : arena_(arena), norm2_(zeros(arena.values().backend(), {1}, arena.values().dtype())) {}

void Optimizer::step(const Tensor& step_state) {
  require(arena_.values().kept_forms() == nullptr,
          "optimizer: a ConstantParameters holds the parameters; let it go before training");
  Backend& backend = norm2_.backend();
  arena_.complete_gradients();
  backend.squared_norm(arena_.gradients(), norm2_);
  update({.segments = arena_.segments(),
          .state = step_state,
          .norm2 = norm2_,
          .loss_scale = loss_scale_,
          .gradient = arena_.gradients(),
          .values = arena_.values(),
          .copy = arena_.copies()});
  if (loss_scale_) {
    backend.convert(loss_scale_, used_scale_);
    backend.update_loss_scale(loss_scale_params_, norm2_, loss_scale_);
  }
  arena_.clear_gradients();
}

Tensor Optimizer::scaled_seed(const Tensor& seed) const {
  if (!loss_scale_) return seed;
  Tensor scaled = seed.like();
  seed.backend().scale_by(seed, loss_scale_, {scaled});
  return scaled;
}

double Optimizer::gradient_norm() const {
  const double norm = std::sqrt(scalar_of(norm2_));
  if (!used_scale_) return norm;
  return norm / static_cast<double>(to_host<float>(used_scale_)[kLossScaleFactor]);
}

std::vector<std::pair<std::string, Tensor>> Optimizer::state() {
  std::vector<std::pair<std::string, Tensor>> all = moments();
  if (loss_scale_) all.emplace_back("loss_scale", loss_scale_);
  return all;
}

void Optimizer::reset() {
  for (auto& [name, moment] : moments()) moment.backend().fill(moment, 0);
}

void Optimizer::scale_loss(const LossScaleParams& params, double first_factor) {
  loss_scale_params_ = params;
  loss_scale_ = from_host<float>(norm2_.backend(), {3}, {static_cast<float>(first_factor), 0, 0});
  used_scale_ = loss_scale_.like();
  norm2_.backend().convert(loss_scale_, used_scale_);
}

Sgd::Sgd(ParameterArena& arena, const SgdParams& params) : Optimizer(arena), params_(params) {
  if (params_.momentum != 0) momentum_ = zeros_like(arena.values());
}

void Sgd::update(const ParameterUpdate& update) { arena_.values().backend().sgd(params_, update, momentum_); }

std::vector<std::pair<std::string, Tensor>> Sgd::moments() {
  if (!momentum_) return {};
  return {{"momentum", momentum_}};
}

Adam::Adam(ParameterArena& arena, const AdamParams& params)
    : Optimizer(arena),
      params_(params),
      first_moment_(zeros_like(arena.values())),
      second_moment_(zeros_like(arena.values())) {}

void Adam::update(const ParameterUpdate& update) {
  arena_.values().backend().adam(params_, update, first_moment_, second_moment_);
}

std::vector<std::pair<std::string, Tensor>> Adam::moments() {
  return {{"first_moment", first_moment_}, {"second_moment", second_moment_}};
}

}  // namespace sagitta::nn
