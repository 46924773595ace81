// The emulated answer to cuda/blas.h: the CPU backend multiplies in f32, and what cuBLASLt would do at the
// end of a product is done here, so that a result is rounded to 16 bits once, as there. What the library
// demands of its arguments is demanded here too.
#include "cuda/blas.h"

#include "cuda/emulator/cpu_copy.h"
#include "cuda/emulator/recording.h"
#include "tensor/error.h"

namespace sagitta::cuda {

class Blas::Impl {
 public:
  explicit Impl(cudaStream_t stream) : stream_(stream) {}

  void run(const Product& product) {
    require(product.a.numel() > 0 && product.b.numel() > 0, "cublasLt: no product of {} and {}",
            product.a.shape(), product.b.shape());
    require(product.a.dtype() == product.b.dtype() && product.a.dtype() == product.y.dtype(),
            "cublasLt: no product of {} and {} in {}", name_of(product.a.dtype()), name_of(product.b.dtype()),
            name_of(product.y.dtype()));
    emulator::enqueue(
        stream_, [params = product.params, accumulate = product.accumulate, a = DeviceMemory(product.a),
                  b = DeviceMemory(product.b), y = DeviceMemory(product.y), bias = DeviceMemory(product.bias),
                  row_sums = DeviceMemory(product.row_sums)] {
          Backend& cpu = cpu_backend();
          const Tensor left = to_cpu(a);
          // Where y is overwritten it is not read: it may hold NaN.
          Tensor result = accumulate ? to_cpu(y) : Tensor(cpu, y.shape, DType::f32);
          cpu.matmul(params, left, to_cpu(b), {result, accumulate});
          if (bias) cpu.add_bias(result, to_cpu(bias), result);
          from_cpu(result, y);
          if (!row_sums) return;
          const std::int64_t m = y.shape[0], k = left.numel() / m;
          const Tensor ones = full(cpu, {k, 1}, DType::f32, 1), sums(cpu, {m, 1}, DType::f32);
          cpu.matmul({.transpose_a = params.transpose_a}, left, ones, {sums});
          from_cpu(sums.reshape({m}), row_sums);
        });
  }

 private:
  cudaStream_t stream_;
};

Blas::Blas(cudaStream_t stream, const BlasOptions&) : impl_(std::make_unique<Impl>(stream)) {}
Blas::~Blas() = default;

bool Blas::try_run(const Product& product) {
  // Not everything, so that the backend's own way is run as well.
  const bool fused = product.bias || product.row_sums;
  if (fused && product.b.shape()[1] % 2 != 0) return false;
  impl_->run(product);
  return true;
}

void Blas::run(const Product& product) { impl_->run(product); }

}  // namespace sagitta::cuda
