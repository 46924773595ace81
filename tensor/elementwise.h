// Every elementwise formula, once: value and derivative, for the CPU loops and the CUDA kernels alike.
// A new unary op is a functor here plus a line in the enum and the visitor; f(x) is the value, df(x, y) the
// derivative dy/dx given the input x and the output y (use whichever is cheaper; `kSaves` says which must be
// kept for it).
#pragma once
#include <cmath>
#include <cstdint>

#include "tensor/host_device.h"

namespace sagitta {

enum class UnaryOp : std::uint8_t {
  identity,
  relu,
  gelu,
  gelu_tanh,
  quick_gelu,
  silu,
  sigmoid,
  tanh,
  exp,
  square
};
enum class BinaryOp : std::uint8_t { add, sub, mul };

// What a derivative reads: saving only that keeps activation memory small.
enum class Saves : std::uint8_t { nothing, input, output };

namespace elementwise {

struct Identity {
  static constexpr Saves kSaves = Saves::nothing;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T x) {
    return x;
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T df(T, T) {
    return T(1);
  }
};

// max(x, 0); NaN propagates, as in PyTorch.
struct Relu {
  static constexpr Saves kSaves = Saves::output;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T x) {
    return x < T(0) ? T(0) : x;
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T df(T, T y) {
    return y > T(0) ? T(1) : T(0);
  }
};

// x * Phi(x), exact (Hendrycks and Gimpel, 2016); Hugging Face's "gelu".
struct Gelu {
  static constexpr Saves kSaves = Saves::input;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T x) {
    return T(0.5) * x * (T(1) + std::erf(x * T(0.70710678118654752)));
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T df(T x, T) {
    return T(0.5) * (T(1) + std::erf(x * T(0.70710678118654752))) +
           x * T(0.39894228040143268) * std::exp(T(-0.5) * x * x);
  }
};

// The tanh approximation; Hugging Face's "gelu_new" and "gelu_pytorch_tanh".
struct GeluTanh {
  static constexpr Saves kSaves = Saves::input;
  template <class T>
  SAGITTA_HOST_DEVICE static T inner(T x) {
    return T(0.79788456080286536) * (x + T(0.044715) * x * x * x);
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T x) {
    return T(0.5) * x * (T(1) + std::tanh(inner(x)));
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T df(T x, T) {
    const T t = std::tanh(inner(x));
    return T(0.5) * (T(1) + t) +
           T(0.5) * x * (T(1) - t * t) * T(0.79788456080286536) * (T(1) + T(0.134145) * x * x);
  }
};

struct Sigmoid {
  static constexpr Saves kSaves = Saves::output;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T x) {
    return T(1) / (T(1) + std::exp(-x));
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T df(T, T y) {
    return y * (T(1) - y);
  }
};

// x * sigmoid(1.702 x); Hugging Face's "quick_gelu".
struct QuickGelu {
  static constexpr Saves kSaves = Saves::input;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T x) {
    return x * Sigmoid::f(T(1.702) * x);
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T df(T x, T) {
    const T s = Sigmoid::f(T(1.702) * x);
    return s + T(1.702) * x * s * (T(1) - s);
  }
};

// x * sigmoid(x); also called swish.
struct Silu {
  static constexpr Saves kSaves = Saves::input;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T x) {
    return x * Sigmoid::f(x);
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T df(T x, T) {
    const T s = Sigmoid::f(x);
    return s + x * s * (T(1) - s);
  }
};

struct Tanh {
  static constexpr Saves kSaves = Saves::output;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T x) {
    return std::tanh(x);
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T df(T, T y) {
    return T(1) - y * y;
  }
};

struct Exp {
  static constexpr Saves kSaves = Saves::output;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T x) {
    return std::exp(x);
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T df(T, T y) {
    return y;
  }
};

struct Square {
  static constexpr Saves kSaves = Saves::input;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T x) {
    return x * x;
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T df(T x, T) {
    return T(2) * x;
  }
};

// Binary: f(a, b), da(a, b) = df/da, db(a, b) = df/db.
struct Add {
  static constexpr Saves kSaves = Saves::nothing;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T a, T b) {
    return a + b;
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T da(T, T) {
    return T(1);
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T db(T, T) {
    return T(1);
  }
};

struct Sub {
  static constexpr Saves kSaves = Saves::nothing;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T a, T b) {
    return a - b;
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T da(T, T) {
    return T(1);
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T db(T, T) {
    return T(-1);
  }
};

struct Mul {
  static constexpr Saves kSaves = Saves::input;
  template <class T>
  SAGITTA_HOST_DEVICE static T f(T a, T b) {
    return a * b;
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T da(T, T b) {
    return b;
  }
  template <class T>
  SAGITTA_HOST_DEVICE static T db(T a, T) {
    return a;
  }
};

}  // namespace elementwise

// Calls visitor(Functor{}) for the enumerator: the one place that maps names to formulas.
template <class Visitor>
decltype(auto) visit(UnaryOp op, Visitor&& visitor) {
  switch (op) {
    case UnaryOp::relu: return visitor(elementwise::Relu{});
    case UnaryOp::gelu: return visitor(elementwise::Gelu{});
    case UnaryOp::gelu_tanh: return visitor(elementwise::GeluTanh{});
    case UnaryOp::quick_gelu: return visitor(elementwise::QuickGelu{});
    case UnaryOp::silu: return visitor(elementwise::Silu{});
    case UnaryOp::sigmoid: return visitor(elementwise::Sigmoid{});
    case UnaryOp::tanh: return visitor(elementwise::Tanh{});
    case UnaryOp::exp: return visitor(elementwise::Exp{});
    case UnaryOp::square: return visitor(elementwise::Square{});
    case UnaryOp::identity: break;
  }
  return visitor(elementwise::Identity{});
}

template <class Visitor>
decltype(auto) visit(BinaryOp op, Visitor&& visitor) {
  switch (op) {
    case BinaryOp::sub: return visitor(elementwise::Sub{});
    case BinaryOp::mul: return visitor(elementwise::Mul{});
    case BinaryOp::add: break;
  }
  return visitor(elementwise::Add{});
}

inline Saves saves_of(UnaryOp op) {
  return visit(op, [](auto f) { return f.kSaves; });
}
inline Saves saves_of(BinaryOp op) {
  return visit(op, [](auto f) { return f.kSaves; });
}

}  // namespace sagitta
