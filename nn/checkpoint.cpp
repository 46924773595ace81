#include "nn/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "tensor/error.h"

namespace sagitta::nn {
namespace {

constexpr std::string_view kBatchCounter = ".num_batches_tracked";

// Swaps the two inner groups of axes: [outer, a, b] -> [outer, b, a], elements of `size` bytes.
// OIHW -> OHWI has a = I and b = KH*KW; the way back exchanges them.
std::vector<std::byte> swap_inner(const std::vector<std::byte>& source, std::int64_t a, std::int64_t b,
                                  std::size_t size) {
  std::vector<std::byte> result(source.size());
  const auto columns = static_cast<std::size_t>(b), matrix = static_cast<std::size_t>(a * b);
  for (std::size_t i = 0; i < source.size() / size; ++i) {
    const std::size_t outer = i / matrix, row = i % matrix / columns, column = i % columns;
    const std::size_t target = outer * matrix + column * static_cast<std::size_t>(a) + row;
    std::memcpy(result.data() + target * size, source.data() + i * size, size);
  }
  return result;
}

std::vector<std::byte> bytes_of(const Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.bytes());
  tensor.backend().read(tensor, bytes.data());
  return bytes;
}

void load_tensor(const safetensors::Entry& entry, FileTensor& tensor) {
  if (tensor.layout == FileLayout::same) return safetensors::read_into(entry, tensor.memory);
  Backend& backend = tensor.memory.backend();
  const Shape& shape = tensor.memory.shape();  // [O,KH,KW,I]
  const Tensor oihw = safetensors::read(entry, backend, tensor.memory.dtype());
  const auto ohwi = swap_inner(bytes_of(oihw), shape[3], shape[1] * shape[2], size_of(tensor.memory.dtype()));
  backend.write(ohwi.data(), tensor.memory);
}

safetensors::Source source_of(const FileTensor& tensor) {
  safetensors::Source source = safetensors::source_of(tensor.name, tensor.memory);
  if (tensor.layout == FileLayout::same) return source;
  source.shape = tensor.file_shape();
  source.bytes = [memory = tensor.memory] {
    const Shape& shape = memory.shape();
    return swap_inner(bytes_of(memory), shape[1] * shape[2], shape[3], size_of(memory.dtype()));
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
    if (parameter->slices().empty()) tensors.push_back({name, parameter->value(), parameter->layout()});
    const std::string module = name.substr(0, name.size() - parameter->name().size());
    for (const FileSlice& slice : parameter->slices())
      tensors.push_back(
          {module + slice.name, parameter->value().slice(slice.begin, slice.end), parameter->layout()});
  }
  for (const auto& [name, buffer] : model.named_buffers())
    tensors.push_back({name, buffer->value(), FileLayout::same});
  return tensors;
}

void refresh_copies(const Module& model) {
  for (const NamedParameter& named : model.named_parameters()) named.parameter->refresh_copy();
}

void load(Module& model, const std::vector<safetensors::File>& files, const LoadRules& rules) {
  std::map<std::string, const safetensors::Entry*> entries;  // by the model's names
  Problems problems;
  for (const safetensors::File& file : files) {
    for (const safetensors::Entry& entry : file.entries()) {
      const std::string name = rules.rename ? rules.rename(entry.name) : entry.name;
      if (name.empty() || rules.keep.contains(name)) continue;
      if (!entries.emplace(name, &entry).second) problems.add("twice", name);
    }
  }

  std::vector<FileTensor> tensors = file_tensors(model);
  std::vector<const safetensors::Entry*> matched(tensors.size(), nullptr);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const FileTensor& tensor = tensors[i];
    if (const auto found = entries.find(tensor.name); found != entries.end()) {
      matched[i] = found->second;
      entries.erase(found);
      const std::vector<std::int64_t> expected = tensor.file_shape();
      if (matched[i]->shape != expected)
        problems.add("misshapen", fmt::format("{} is {}, expected [{}]", tensor.name, matched[i]->shape_str(),
                                              fmt::join(expected, ", ")));
    } else if (!rules.keep.contains(tensor.name) && !tensor.name.ends_with(kBatchCounter)) {
      problems.add("missing", tensor.name);
    }
  }
  for (const auto& [name, entry] : entries) problems.add("unexpected", name);
  problems.throw_if_any(files);

  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (matched[i])
      load_tensor(*matched[i], tensors[i]);
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
