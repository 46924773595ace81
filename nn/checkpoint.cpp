#include "nn/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "tensor/error.h"

namespace sagitta::nn {
namespace {

constexpr std::string_view kBatchCounter = ".num_batches_tracked";

// Swaps the two inner groups of axes: [outer, a, b] -> [outer, b, a].
// OIHW -> OHWI has a = I and b = KH*KW; the way back exchanges them.
template <class T>
void swap_inner(const std::byte* source, std::byte* target, std::size_t outer, std::size_t a, std::size_t b) {
  for (std::size_t o = 0; o < outer; ++o, source += a * b * sizeof(T)) {
    for (std::size_t column = 0; column < b; ++column) {
      for (std::size_t row = 0; row < a; ++row, target += sizeof(T))
        std::memcpy(target, source + (row * b + column) * sizeof(T), sizeof(T));
    }
  }
}

void swap_inner(std::span<const std::byte> source, std::byte* target, std::int64_t a, std::int64_t b,
                std::size_t size) {
  const auto rows = static_cast<std::size_t>(a), columns = static_cast<std::size_t>(b);
  const std::size_t outer = source.size() / size / std::max<std::size_t>(1, rows * columns);
  switch (size) {
    case 2: return swap_inner<std::uint16_t>(source.data(), target, outer, rows, columns);
    case 4: return swap_inner<std::uint32_t>(source.data(), target, outer, rows, columns);
    case 8: return swap_inner<std::uint64_t>(source.data(), target, outer, rows, columns);
    default: fail("checkpoint: a kernel of {}-byte elements has no other layout", size);
  }
}

std::vector<std::byte> swapped(std::span<const std::byte> source, std::int64_t a, std::int64_t b,
                               std::size_t size) {
  std::vector<std::byte> result(source.size());
  swap_inner(source, result.data(), a, b, size);
  return result;
}

std::vector<std::byte> bytes_of(const Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.bytes());
  tensor.backend().read(tensor, bytes.data());
  return bytes;
}

// A tensor of the file with the file that holds it.
struct Match {
  const safetensors::File* file = nullptr;
  const safetensors::Entry* entry = nullptr;
};

// Whether both layouts are the same bytes: a 1x1 convolution has nothing to exchange.
bool same_bytes(const FileTensor& tensor) {
  return tensor.layout == FileLayout::same || tensor.memory.shape()[1] * tensor.memory.shape()[2] == 1;
}

void load_tensor(const Match& match, FileTensor& tensor, bool adopt) {
  Backend& backend = tensor.memory.backend();
  const Shape& shape = tensor.memory.shape();
  const std::size_t size = size_of(tensor.memory.dtype());
  const safetensors::Entry& entry = *match.entry;
  const bool same = same_bytes(tensor);
  if (const Tensor view = match.file->view(entry, backend); view && view.dtype() == tensor.memory.dtype()) {
    if (same && adopt && tensor.whole != nullptr) return tensor.whole->adopt(view.reshape(shape));
    if (!same) return swap_inner(entry.bytes, tensor.memory.raw(), shape[3], shape[1] * shape[2], size);
    // A part of a fused parameter. The backend would share these few megabytes among threads, and where
    // another process keeps one of them waiting, that takes twenty times as long.
    if (adopt && !entry.bytes.empty()) {
      std::memcpy(tensor.memory.raw(), entry.bytes.data(), entry.bytes.size());
      return;
    }
  }
  if (tensor.layout == FileLayout::same) return safetensors::read_into(entry, tensor.memory);
  const Tensor oihw = safetensors::read(entry, backend, tensor.memory.dtype());
  if (same) return backend.convert(oihw.reshape(shape), tensor.memory);
  backend.write(swapped(bytes_of(oihw), shape[3], shape[1] * shape[2], size).data(), tensor.memory);
}

safetensors::Source source_of(const FileTensor& tensor) {
  safetensors::Source source = safetensors::source_of(tensor.name, tensor.memory);
  if (tensor.layout == FileLayout::same) return source;
  source.shape = tensor.file_shape();
  source.bytes = [memory = tensor.memory] {
    const Shape& shape = memory.shape();
    return swapped(bytes_of(memory), shape[1] * shape[2], shape[3], size_of(memory.dtype()));
  };
  return source;
}

// Collects what is wrong with a checkpoint, to say all of it at once.
class Problems {
 public:
  void add(const std::string& kind, std::string what) { found_[kind].push_back(std::move(what)); }
  void throw_if_any(const std::vector<safetensors::File>& files) const {
    if (found_.empty()) return;
    std::string text;
    for (const auto& [kind, names] : found_)
      text += fmt::format("; {} {}: {}", names.size(), kind, fmt::join(names, ", "));
    fail("{}: does not fit the model{}", files.empty() ? "checkpoint" : files.front().path().string(), text);
  }

 private:
  std::map<std::string, std::vector<std::string>> found_;
};

}  // namespace

std::vector<std::int64_t> FileTensor::file_shape() const {
  const Shape& shape = memory.shape();
  if (layout == FileLayout::oihw) return {shape[0], shape[3], shape[1], shape[2]};
  return {shape.extents().begin(), shape.extents().end()};
}

std::vector<FileTensor> file_tensors(const Module& model) {
  std::vector<FileTensor> tensors;
  for (const auto& [name, parameter] : model.named_parameters()) {
    if (parameter->slices().empty())
      tensors.push_back({name, parameter->value(), parameter->layout(), parameter});
    const std::string module = name.substr(0, name.size() - parameter->name().size());
    for (const FileSlice& slice : parameter->slices())
      tensors.push_back({module + slice.name, parameter->value().slice(slice.begin, slice.end),
                         parameter->layout(), nullptr});
  }
  for (const auto& [name, buffer] : model.named_buffers())
    tensors.push_back({name, buffer->value(), FileLayout::same, nullptr});
  return tensors;
}

void refresh_copies(const Module& model) {
  for (const NamedParameter& named : model.named_parameters()) named.parameter->refresh_copy();
}

void load(Module& model, const std::vector<safetensors::File>& files, const LoadRules& rules) {
  std::map<std::string, Match> entries;  // by the model's names
  Problems problems;
  for (const safetensors::File& file : files) {
    for (const safetensors::Entry& entry : file.entries()) {
      const std::string name = rules.rename ? rules.rename(entry.name) : entry.name;
      if (name.empty() || rules.keep.contains(name)) continue;
      if (!entries.emplace(name, Match{&file, &entry}).second) problems.add("twice", name);
    }
  }

  std::vector<FileTensor> tensors = file_tensors(model);
  std::vector<Match> matched(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const FileTensor& tensor = tensors[i];
    if (const auto found = entries.find(tensor.name); found != entries.end()) {
      matched[i] = found->second;
      entries.erase(found);
      const std::vector<std::int64_t> expected = tensor.file_shape();
      const safetensors::Entry& entry = *matched[i].entry;
      if (entry.shape != expected)
        problems.add("misshapen", fmt::format("{} is {}, expected [{}]", tensor.name, entry.shape_str(),
                                              fmt::join(expected, ", ")));
    } else if (!rules.keep.contains(tensor.name) && !tensor.name.ends_with(kBatchCounter)) {
      problems.add("missing", tensor.name);
    }
  }
  for (const auto& [name, match] : entries) problems.add("unexpected", name);
  problems.throw_if_any(files);

  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (matched[i].entry != nullptr)
      load_tensor(matched[i], tensors[i], rules.adopt);
    else if (!rules.keep.contains(tensors[i].name))
      tensors[i].memory.backend().fill(tensors[i].memory, 0);
  }
  refresh_copies(model);
}

void save(const Module& model, const std::filesystem::path& path, const safetensors::Metadata& metadata) {
  std::vector<safetensors::Source> sources;
  for (const FileTensor& tensor : file_tensors(model)) sources.push_back(source_of(tensor));
  safetensors::write(path, std::move(sources), metadata);
}

}  // namespace sagitta::nn
