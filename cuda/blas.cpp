#include "cuda/blas.h"

#include <algorithm>
#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <source_location>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "cuda/alignment.h"
#include "cuda/blas_library.h"
#include "cuda/check.h"
#include "cuda/context.h"
#include "cuda/fastest.h"
#include "cuda/plan_cache.h"
#include "tensor/error.h"

namespace sagitta::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;  // what NVIDIA recommends for Hopper
constexpr int kCandidates = 16;
// A product of fewer operations takes as long as its launch, whatever the algorithm: not worth timing.
constexpr double kTimedOperations = 1e8;
// Sums that are split are added up in f32, in the workspace and in a fixed order. The other schemes add in
// the order in which blocks finish, or round the parts to 16 bits.
constexpr std::uint32_t kReductions = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;

using Algorithm = cublasLtMatmulAlgo_t;
using Layout = cublasLtMatrixLayoutOpaque_t;

const BlasLibrary& lt() { return BlasLibrary::instance(); }

void check_blas(cublasStatus_t status, std::source_location where = std::source_location::current()) {
  require(status == CUBLAS_STATUS_SUCCESS, "cublasLt: {} ({}), noticed in {} at {}:{}",
          lt().status_text(status), lt().status_name(status), where.function_name(), where.file_name(),
          where.line());
}

struct Destroy {
  void operator()(cublasLtContext* handle) const { lt().destroy(handle); }
};
struct Free {
  void operator()(void* memory) const { cudaFree(memory); }
};

cudaDataType_t data_type(DType dtype) {
  switch (dtype) {
    case DType::f32: return CUDA_R_32F;
    case DType::bf16: return CUDA_R_16BF;
    case DType::f16: return CUDA_R_16F;
    default: fail("matmul: dtype {} has no product on a GPU, expected f32, bf16 or f16", name_of(dtype));
  }
}

// The largest power of two that divides the address, up to kAlignment.
std::uint32_t alignment_of(const Tensor& tensor) {
  return 1U << std::countr_zero((tensor ? address_of(tensor) : 0) | kAlignment);
}

enum class Extra { none, bias, row_sums };

// All that the choice of an algorithm depends on.
struct Kind {
  Kind(const Product& product, bool tf32_allowed)
      : dtype(product.a.dtype()),
        tf32(tf32_allowed && dtype == DType::f32),
        transpose_a(product.params.transpose_a),
        transpose_b(product.params.transpose_b),
        extra(product.bias       ? Extra::bias
              : product.row_sums ? Extra::row_sums
                                 : Extra::none),
        m(product.y.shape()[0]),
        n(product.y.shape()[1]),
        k(product.a.shape()[transpose_a ? 0 : 1]),
        alignment{alignment_of(product.a), alignment_of(product.b), alignment_of(product.y),
                  alignment_of(product.bias ? product.bias : product.row_sums)} {}

  auto operator<=>(const Kind&) const = default;
  std::string str() const {
    constexpr std::string_view kExtras[] = {"plain", "bias", "row sums"};
    return fmt::format("{} [{},{}]{} x [{},{}]{} {} aligned {},{},{},{}", tf32 ? "tf32" : name_of(dtype), m,
                       k, transpose_a ? "^T" : "", k, n, transpose_b ? "^T" : "",
                       kExtras[static_cast<int>(extra)], alignment[0], alignment[1], alignment[2],
                       alignment[3]);
  }

  DType dtype;
  bool tf32;
  bool transpose_a, transpose_b;
  Extra extra;
  std::int64_t m, n, k;
  std::array<std::uint32_t, 4> alignment;  // of a, b, y and bias or row_sums
};

template <class T>
void set(cublasLtMatmulDescOpaque_t& operation, cublasLtMatmulDescAttributes_t name, const T& value) {
  check_blas(lt().set_operation(&operation, name, &value, sizeof value));
}
template <class T>
void set(cublasLtMatmulPreferenceOpaque_t& preference, cublasLtMatmulPreferenceAttributes_t name,
         const T& value) {
  check_blas(lt().set_preference(&preference, name, &value, sizeof value));
}

Layout layout_of(const Tensor& matrix) {
  Layout layout;
  const auto rows = static_cast<std::uint64_t>(matrix.shape()[0]),
             columns = static_cast<std::uint64_t>(matrix.shape()[1]);
  check_blas(
      lt().init_layout(&layout, sizeof layout, data_type(matrix.dtype()), columns, rows, matrix.shape()[1]));
  return layout;
}

// A product in cuBLASLt's words. Its matrices are column-major, and a row-major matrix read so is its own
// transpose: asked for y^T = op(b)^T op(a)^T, the library writes our y. Its first operand is therefore our b,
// its bias runs along our rows, and the sums over our op(a) are those over its second operand.
struct Problem {
  Problem(const Product& product, const Kind& kind)
      : a(layout_of(product.a)), b(layout_of(product.b)), y(layout_of(product.y)) {
    check_blas(lt().init_operation(&operation, sizeof operation,
                                   kind.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                                   CUDA_R_32F));
    const auto op = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
    set(operation, CUBLASLT_MATMUL_DESC_TRANSA, op(product.params.transpose_b));
    set(operation, CUBLASLT_MATMUL_DESC_TRANSB, op(product.params.transpose_a));
    if (const Tensor& vector = product.bias ? product.bias : product.row_sums) {
      set(operation, CUBLASLT_MATMUL_DESC_EPILOGUE,
          product.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_BGRADB);
      set(operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(vector.raw()));
    }
  }

  cublasLtMatmulDescOpaque_t operation;
  Layout a, b, y;
};

// An algorithm is 64 bytes that mean something to one version of the library on one kind of GPU: kept as
// eight numbers of sixteen hexadecimal digits.
std::string text_of(const Algorithm& algorithm) {
  std::string text;
  for (const std::uint64_t word : algorithm.data) text += fmt::format("{:016x} ", word);
  return text;
}

std::optional<Algorithm> algorithm_from(const std::string& text) {
  Algorithm algorithm{};
  std::istringstream words(text);
  for (std::uint64_t& word : algorithm.data) words >> std::hex >> word;
  if (!words) return {};
  return algorithm;
}

}  // namespace

class Blas::Impl {
 public:
  Impl(cudaStream_t stream, const BlasOptions& options)
      : stream_(stream),
        options_(options),
        plans_(options.plan_cache, fmt::format("{}, cuBLASLt {}", current_device_name(), lt().version())) {
    cublasLtHandle_t handle = nullptr;
    check_blas(lt().create(&handle));
    handle_.reset(handle);
    void* workspace = nullptr;
    check(cudaMalloc(&workspace, kWorkspaceBytes));
    workspace_.reset(workspace);
  }

  bool try_run(const Product& product) {
    const Kind kind(product, options_.tf32);
    Problem problem(product, kind);
    const std::optional<Algorithm>& algorithm = algorithm_for(problem, product, kind);
    if (algorithm) check_blas(enqueue(problem, product, product.y, *algorithm));
    return algorithm.has_value();
  }

  void run(const Product& product) {
    require(try_run(product), "matmul: cublasLt has no algorithm for {}", Kind(product, options_.tf32).str());
  }

 private:
  cublasStatus_t enqueue(Problem& problem, const Product& product, const Tensor& y,
                         const Algorithm& algorithm) {
    const float alpha = 1, beta = product.accumulate ? 1 : 0;
    return lt().matmul(handle_.get(), &problem.operation, &alpha, product.b.raw(), &problem.b,
                       product.a.raw(), &problem.a, &beta, y.raw(), &problem.y, y.raw(), &problem.y,
                       &algorithm, workspace_.get(), kWorkspaceBytes, stream_);
  }

  // Empty when there is none.
  const std::optional<Algorithm>& algorithm_for(Problem& problem, const Product& product, const Kind& kind) {
    if (const auto known = chosen_.find(kind); known != chosen_.end()) return known->second;
    require(!is_capturing(stream_),
            "matmul: {} is new within a captured step; run the step once before it is captured", kind.str());
    std::optional<Algorithm> algorithm = remembered(problem, kind);
    if (!algorithm) algorithm = choose(problem, product, kind);
    return chosen_.emplace(kind, algorithm).first->second;
  }

  // The choice of an earlier run; empty when there is none that still works.
  std::optional<Algorithm> remembered(Problem& problem, const Kind& kind) {
    const std::string* text = plans_.find(kind.str());
    if (text == nullptr) return {};
    const std::optional<Algorithm> algorithm = algorithm_from(*text);
    cublasLtMatmulHeuristicResult_t needs;
    if (!algorithm ||
        lt().check(handle_.get(), &problem.operation, &problem.b, &problem.a, &problem.y, &problem.y,
                   &*algorithm, &needs) != CUBLAS_STATUS_SUCCESS ||
        needs.workspaceSize > kWorkspaceBytes)
      return {};
    return algorithm;
  }

  std::optional<Algorithm> choose(Problem& problem, const Product& product, const Kind& kind) {
    const std::vector<Algorithm> candidates = propose(problem, kind);
    if (candidates.empty()) return {};
    const double operations =
        2.0 * static_cast<double>(kind.m) * static_cast<double>(kind.n) * static_cast<double>(kind.k);
    if (candidates.size() == 1 || !options_.time_algorithms || operations < kTimedOperations)
      return candidates.front();
    // Each trial would add to y; where y is overwritten it can be the scratch itself.
    const Tensor scratch = product.accumulate ? product.y.like() : product.y;
    const std::optional<std::size_t> best = fastest(stream_, candidates.size(), [&](std::size_t i) {
      return enqueue(problem, product, scratch, candidates[i]) == CUBLAS_STATUS_SUCCESS;
    });
    if (!best) return {};
    plans_.store(kind.str(), text_of(candidates[*best]));
    return candidates[*best];
  }

  // The library's guesses, best first.
  std::vector<Algorithm> propose(Problem& problem, const Kind& kind) {
    cublasLtMatmulPreferenceOpaque_t preference;
    check_blas(lt().init_preference(&preference, sizeof preference));
    set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes});
    set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, kReductions);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kind.alignment[1]);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, kind.alignment[0]);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, kind.alignment[2]);
    set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, kind.alignment[2]);
    std::array<cublasLtMatmulHeuristicResult_t, kCandidates> results;
    int count = 0;
    const cublasStatus_t status =
        lt().propose(handle_.get(), &problem.operation, &problem.b, &problem.a, &problem.y, &problem.y,
                     &preference, kCandidates, results.data(), &count);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED) return {};
    check_blas(status);
    std::vector<Algorithm> algorithms;
    for (int i = 0; i < count; ++i)
      if (results[static_cast<std::size_t>(i)].state == CUBLAS_STATUS_SUCCESS)
        algorithms.push_back(results[static_cast<std::size_t>(i)].algo);
    return algorithms;
  }

  cudaStream_t stream_;
  BlasOptions options_;
  PlanCache plans_;
  std::unique_ptr<cublasLtContext, Destroy> handle_;
  std::unique_ptr<void, Free> workspace_;
  std::map<Kind, std::optional<Algorithm>> chosen_;
};

Blas::Blas(cudaStream_t stream, const BlasOptions& options)
    : impl_(std::make_unique<Impl>(stream, options)) {}
Blas::~Blas() = default;

bool Blas::try_run(const Product& product) { return impl_->try_run(product); }
void Blas::run(const Product& product) { impl_->run(product); }

}  // namespace sagitta::cuda
