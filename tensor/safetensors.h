// safetensors: the file format of Hugging Face checkpoints, read through a memory map and written atomically.
// A file is an 8-byte little-endian header length, a JSON header, then the tensors' bytes without gaps
// (github.com/huggingface/safetensors). Invariant: a File that opened is valid in every respect that the
// reference implementation checks, so its entries can be used without further range checks.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tensor/backend.h"

namespace sagitta::safetensors {

using Metadata = std::map<std::string, std::string>;

// One tensor of a file.
struct Entry {
  std::string name;
  std::string dtype;  // the format's name: "F32", "I64", ...
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;  // into the file's mapping; at any alignment

  std::int64_t numel() const;
  std::string shape_str() const;  // "[2, 3]"
};

// A read-only file. Cheap to copy: copies share the mapping, and entries live as long as one of them does.
class File {
 public:
  // Maps and validates the file. Throws Error, naming the file and the first violation in the reference's
  // order.
  static File open(const std::filesystem::path& path);

  const std::filesystem::path& path() const;
  const std::vector<Entry>& entries() const;  // in the order of their bytes
  const Metadata& metadata() const;
  const Entry* find(std::string_view name) const;  // null when there is none
  const Entry& at(std::string_view name) const;    // throws Error when there is none
  // An entry of this file as a tensor on the mapping itself: nothing is read before it is used, and what is
  // written to it stays in memory (copy on write) but shows in the entry. Empty unless `backend` computes in
  // host memory and the entry is of a dtype of Sagitta's and aligned for it.
  Tensor view(const Entry& entry, Backend& backend) const;

 private:
  struct State;
  explicit File(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// The values on the host, cast to T (float, double, or an integer type of DTypeOf). F16, BF16, F32 and F64
// read into floating-point types, integers and BOOL into every type that holds the value; anything else
// throws.
template <class T>
std::vector<T> values_of(const Entry& entry);

// Copies the entry into `destination`, whose shape must be equal, casting as values_of does.
void read_into(const Entry& entry, Tensor& destination);
// The entry as a new tensor.
Tensor read(const Entry& entry, Backend& backend, DType dtype);
// The tensor dtype that holds the entry without loss ("BOOL" is u8). Throws for dtypes Sagitta does not
// compute with.
DType dtype_of(const Entry& entry);

// One tensor to be written. `bytes` is called once, when its turn comes, so that only one copy exists at a
// time.
struct Source {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::function<std::vector<std::byte>()> bytes;
};

// A tensor under its own dtype.
Source source_of(std::string name, const Tensor& tensor);

// Metadata by which transformers recognizes a PyTorch checkpoint.
inline Metadata pytorch_metadata() { return {{"format", "pt"}}; }

// Writes the file as the reference implementation would, byte for byte: by dtype in descending order of its
// list, then by name, header padded with spaces to 8 bytes. `path` is replaced atomically: a crash leaves the
// old file or the new one. Throws Error on duplicate or reserved names, unknown dtypes, and when the disk is
// full.
void write(const std::filesystem::path& path, std::vector<Source> sources, const Metadata& metadata = {});

}  // namespace sagitta::safetensors
