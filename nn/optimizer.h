// SGD and Adam(W) over a ParameterArena: one backend call per step, whatever the number of parameters.
// The update equations are PyTorch's (torch.optim.SGD, Adam, AdamW); learning rate and step number are read
// from the step state on the device.
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
  // L2 norm of the gradient that the last step() applied, before clipping.
  double gradient_norm() const;
  // What a checkpoint must keep besides the values: the moments, by name; restored in place.
  virtual std::vector<std::pair<std::string, Tensor>> state() = 0;

 protected:
  explicit Optimizer(ParameterArena& arena);
  virtual void update(const Tensor& step_state) = 0;

  ParameterArena& arena_;
  Tensor norm2_;  // [1], squared gradient norm
};

class Sgd final : public Optimizer {
 public:
  Sgd(ParameterArena& arena, const SgdParams& params);
  std::vector<std::pair<std::string, Tensor>> state() override;

 protected:
  void update(const Tensor& step_state) override;

 private:
  SgdParams params_;
  Tensor momentum_;  // empty without momentum
};

class Adam final : public Optimizer {
 public:
  Adam(ParameterArena& arena, const AdamParams& params);
  std::vector<std::pair<std::string, Tensor>> state() override;

 protected:
  void update(const Tensor& step_state) override;

 private:
  AdamParams params_;
  Tensor first_moment_, second_moment_;
};

}  // namespace sagitta::nn
