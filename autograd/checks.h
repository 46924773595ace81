// What ops ask of the dtypes of their inputs; see the rules at the top of tensor/backend.h.
#pragma once
#include <initializer_list>

#include "autograd/variable.h"
#include "tensor/error.h"

namespace sagitta::autograd {

// `others` (absent ones left out) have the dtype `expected`.
inline void require_dtype(const char* op, DType expected, std::initializer_list<const Variable*> others) {
  for (const Variable* other : others)
    require(!*other || other->value().dtype() == expected, "{}: an input is {}, expected {}; cast it first",
            op, name_of(other->value().dtype()), name_of(expected));
}

}  // namespace sagitta::autograd
