// The one error type of Sagitta and the check that throws it.
// Bottom of the book: everything may include this. A message reads `op: argument is X, expected Y`, names the
// file or flag for a user's mistake, and says how to repair it; executables print it as one line and exit
// with 1.
#pragma once
#include <fmt/format.h>

#include <stdexcept>
#include <utility>

namespace sagitta {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws Error with the formatted message.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Throws Error unless `ok`; the message is only formatted on failure, so a check on a hot path costs a
// branch.
template <class... Args>
void require(bool ok, fmt::format_string<Args...> format, Args&&... args) {
  if (!ok) [[unlikely]]
    fail(format, std::forward<Args>(args)...);
}

}  // namespace sagitta
