#include "nn/optimizer.h"

#include <cmath>

namespace sagitta::nn {
namespace {

Tensor zeros_like(const Tensor& tensor) { return zeros(tensor.backend(), tensor.shape(), tensor.dtype()); }

}  // namespace

Optimizer::Optimizer(ParameterArena& arena)
    : arena_(arena), norm2_(zeros(arena.values().backend(), {1}, arena.values().dtype())) {}

void Optimizer::step(const Tensor& step_state) {
  arena_.complete_gradients();
  norm2_.backend().squared_norm(arena_.gradients(), norm2_);
  update(step_state);
  arena_.clear_gradients();
}

double Optimizer::gradient_norm() const { return std::sqrt(scalar_of(norm2_)); }

Sgd::Sgd(ParameterArena& arena, const SgdParams& params) : Optimizer(arena), params_(params) {
  if (params_.momentum != 0) momentum_ = zeros_like(arena.values());
}

void Sgd::update(const Tensor& step_state) {
  norm2_.backend().sgd(params_, arena_.segments(), step_state, norm2_, arena_.gradients(), momentum_,
                       arena_.values());
}

std::vector<std::pair<std::string, Tensor>> Sgd::state() {
  if (!momentum_) return {};
  return {{"momentum", momentum_}};
}

Adam::Adam(ParameterArena& arena, const AdamParams& params)
    : Optimizer(arena),
      params_(params),
      first_moment_(zeros_like(arena.values())),
      second_moment_(zeros_like(arena.values())) {}

void Adam::update(const Tensor& step_state) {
  norm2_.backend().adam(params_, arena_.segments(), step_state, norm2_, arena_.gradients(), first_moment_,
                        second_moment_, arena_.values());
}

std::vector<std::pair<std::string, Tensor>> Adam::state() {
  return {{"first_moment", first_moment_}, {"second_moment", second_moment_}};
}

}  // namespace sagitta::nn
