// recompute: run a block without saving its activations and run it again when its gradient is due
// (Chen et al., "Training deep nets with sublinear memory cost", 2016). Trades one more forward pass for
// memory.
#pragma once
#include <functional>

#include "autograd/variable.h"

namespace sagitta::autograd {

// block(x), keeping only x. Parameters used inside get their gradients during backward() as usual. The block
// must compute the same values again: dropout does (its numbers are a function of the step), and batch norm
// leaves its running statistics alone the second time.
Variable recompute(const Variable& x, std::function<Variable(const Variable&)> block);

// True while a block runs for the second time.
bool is_recomputing();

}  // namespace sagitta::autograd
