// SGD and Adam(W) over a ParameterArena: one backend call per step, whatever the number of parameters.
// The update equations are PyTorch's (torch.optim.SGD, Adam, AdamW); learning rate and step number are read
// from the step state on the device. With a loss scale a step whose gradient overflowed changes nothing but
// the scale, without the host looking at it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "nn/arena.h"

namespace sagitta::nn {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // Applies the gradients accumulated in the arena, then forgets them.
  void step(const Tensor& step_state);
  // L2 norm of the gradient of the last step(), before clipping and with the loss scale taken out. Not
  // finite: with a loss scale, that step was skipped.
  double gradient_norm() const;
  // What a checkpoint must keep besides the values: moments and loss scale, by name; restored in place.
  std::vector<std::pair<std::string, Tensor>> state();

  // Forgets the moments, as a new optimizer would begin; the caller counts its steps from 1 again.
  void reset();

  // From now on the loss is multiplied by a factor that adapts itself (Micikevicius et al., "Mixed precision
  // training", 2017), as gradients in f16 need; the first factor is PyTorch's.
  void scale_loss(const LossScaleParams& params = {}, double first_factor = 65536);
  // f32 [3] (LossScale in tensor/op_params.h); empty without one.
  const Tensor& loss_scale() const { return loss_scale_; }
  // What backward() is to start from instead of `seed` [1] f32: the seed times the loss scale, if there is
  // one.
  Tensor scaled_seed(const Tensor& seed) const;

 protected:
  explicit Optimizer(ParameterArena& arena);
  virtual void update(const ParameterUpdate& update) = 0;
  virtual std::vector<std::pair<std::string, Tensor>> moments() = 0;

  ParameterArena& arena_;

 private:
  Tensor norm2_;       // [1], squared gradient norm
  Tensor loss_scale_;  // f32 [3], or empty
  Tensor used_scale_;  // the loss scale that norm2_ belongs to
  LossScaleParams loss_scale_params_;
};

class Sgd final : public Optimizer {
 public:
  Sgd(ParameterArena& arena, const SgdParams& params);

 protected:
  void update(const ParameterUpdate& update) override;
  std::vector<std::pair<std::string, Tensor>> moments() override;

 private:
  SgdParams params_;
  Tensor momentum_;  // empty without momentum
};

class Adam final : public Optimizer {
 public:
  Adam(ParameterArena& arena, const AdamParams& params);

 protected:
  void update(const ParameterUpdate& update) override;
  std::vector<std::pair<std::string, Tensor>> moments() override;

 private:
  AdamParams params_;
  Tensor first_moment_, second_moment_;
};

}  // namespace sagitta::nn
