#include "tensor/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>

#include "tensor/error.h"
#include "tensor/half.h"
#include "tensor/safetensors_header.h"

namespace sagitta::safetensors {
namespace {

// A file mapped into memory for reading; what is written there never reaches the file.
class Mapping {
 public:
  explicit Mapping(const std::string& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    require(descriptor >= 0, "{}: cannot be opened: {}", path, std::strerror(errno));
    struct stat status {};
    const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
    size_ = regular ? static_cast<std::size_t>(status.st_size) : 0;
    // An empty file cannot be mapped; it stays an empty span.
    if (size_ > 0) data_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0);
    ::close(descriptor);
    require(regular, "{}: not a regular file, expected a .safetensors file", path);
    require(data_ != MAP_FAILED, "{}: cannot be mapped: {}", path, std::strerror(errno));
  }
  ~Mapping() {
    if (size_ > 0 && data_ != MAP_FAILED) ::munmap(data_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

// The element at `address`, which may be unaligned.
template <class T>
T load(const std::byte* address) {
  T value;
  std::memcpy(&value, address, sizeof value);
  return value;
}

template <class To, class From>
To cast(From value, const Entry& entry) {
  if constexpr (std::is_floating_point_v<To>) {
    return static_cast<To>(value);
  } else {
    require(std::in_range<To>(value), "safetensors: {} holds {}, which does not fit the type it is read as",
            entry.name, value);
    return static_cast<To>(value);
  }
}

// Elements stored as `Stored`, seen through `decode`, cast to To.
template <class Stored, class To, class Decode>
std::vector<To> decode_all(const Entry& entry, Decode decode) {
  std::vector<To> values(entry.bytes.size() / sizeof(Stored));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = cast<To>(decode(load<Stored>(entry.bytes.data() + i * sizeof(Stored))), entry);
  return values;
}

constexpr auto kAsIs = [](auto value) { return value; };

template <class To>
void read_as(const Entry& entry, Tensor& destination) {
  const std::vector<To> values = values_of<To>(entry);
  destination.backend().write(values.data(), destination);
}

constexpr DType kDTypes[] = {DType::f32, DType::f64, DType::bf16, DType::f16,
                             DType::i32, DType::i64, DType::i16,  DType::u8};

std::string_view dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f32: return "F32";
    case DType::f64: return "F64";
    case DType::bf16: return "BF16";
    case DType::f16: return "F16";
    case DType::i32: return "I32";
    case DType::i64: return "I64";
    case DType::i16: return "I16";
    case DType::u8: return "U8";
  }
  fail("safetensors: dtype {} has no name in the format", static_cast<int>(dtype));
}

std::optional<DType> dtype_named(std::string_view name) {
  for (DType dtype : kDTypes)
    if (dtype_name(dtype) == name) return dtype;
  return {};
}

}  // namespace

struct File::State {
  explicit State(const std::filesystem::path& file) : path(file), mapping(file.string()) {}

  std::filesystem::path path;
  Mapping mapping;
  std::vector<Entry> entries;
  std::unordered_map<std::string_view, std::size_t> index;  // views into entries
  Metadata metadata;
};

File File::open(const std::filesystem::path& path) {
  auto state = std::make_shared<State>(path);
  Header header = parse_header(state->mapping.bytes(), path.string());
  state->entries = std::move(header.entries);
  state->metadata = std::move(header.metadata);
  for (std::size_t i = 0; i < state->entries.size(); ++i) state->index.emplace(state->entries[i].name, i);
  return File(std::move(state));
}

const std::filesystem::path& File::path() const { return state_->path; }
const std::vector<Entry>& File::entries() const { return state_->entries; }
const Metadata& File::metadata() const { return state_->metadata; }

const Entry* File::find(std::string_view name) const {
  const auto found = state_->index.find(name);
  return found == state_->index.end() ? nullptr : &state_->entries[found->second];
}

const Entry& File::at(std::string_view name) const {
  const Entry* entry = find(name);
  require(entry != nullptr, "{}: has no tensor \"{}\"", path().string(), name);
  return *entry;
}

Tensor File::view(const Entry& entry, Backend& backend) const {
  if (backend.device().kind != Device::Kind::cpu) return {};
  const std::optional<DType> dtype = dtype_named(entry.dtype);
  auto* memory = const_cast<std::byte*>(entry.bytes.data());  // mapped writable
  if (!dtype || reinterpret_cast<std::uintptr_t>(memory) % size_of(*dtype) != 0) return {};
  return Tensor(backend, Shape(std::span<const std::int64_t>(entry.shape)), *dtype, memory, state_);
}

std::int64_t Entry::numel() const {
  std::int64_t product = 1;
  for (std::int64_t extent : shape) product *= extent;  // checked when the file was opened
  return product;
}

std::string Entry::shape_str() const { return fmt::format("[{}]", fmt::join(shape, ", ")); }

template <class T>
std::vector<T> values_of(const Entry& entry) {
  const std::string& type = entry.dtype;
  if constexpr (std::is_floating_point_v<T>) {
    if (type == "F32") return decode_all<float, T>(entry, kAsIs);
    if (type == "F64") return decode_all<double, T>(entry, kAsIs);
    if (type == "F16") return decode_all<std::uint16_t, T>(entry, float_from_f16);
    if (type == "BF16") return decode_all<std::uint16_t, T>(entry, float_from_bf16);
  }
  if (type == "I64") return decode_all<std::int64_t, T>(entry, kAsIs);
  if (type == "I32") return decode_all<std::int32_t, T>(entry, kAsIs);
  if (type == "I16") return decode_all<std::int16_t, T>(entry, kAsIs);
  if (type == "I8") return decode_all<std::int8_t, T>(entry, [](std::int8_t value) { return int{value}; });
  if (type == "U8" || type == "BOOL")
    return decode_all<std::uint8_t, T>(entry, [](std::uint8_t value) { return int{value}; });
  if (type == "U16") return decode_all<std::uint16_t, T>(entry, kAsIs);
  if (type == "U32") return decode_all<std::uint32_t, T>(entry, kAsIs);
  if (type == "U64") return decode_all<std::uint64_t, T>(entry, kAsIs);
  fail("safetensors: {} has dtype {}, which cannot be read as {}", entry.name, type,
       name_of(sagitta::dtype_of<T>));
}

template std::vector<float> values_of(const Entry&);
template std::vector<double> values_of(const Entry&);
template std::vector<std::int64_t> values_of(const Entry&);
template std::vector<std::int32_t> values_of(const Entry&);
template std::vector<std::int16_t> values_of(const Entry&);
template std::vector<std::uint8_t> values_of(const Entry&);

DType dtype_of(const Entry& entry) {
  if (const std::optional<DType> dtype = dtype_named(entry.dtype)) return *dtype;
  require(entry.dtype == "BOOL", "safetensors: {} has dtype {}, which Sagitta does not compute with",
          entry.name, entry.dtype);
  return DType::u8;
}

void read_into(const Entry& entry, Tensor& destination) {
  require(std::ranges::equal(entry.shape, destination.shape().extents()),
          "safetensors: {} has shape {}, expected {}", entry.name, entry.shape_str(), destination.shape());
  if (entry.dtype == dtype_name(destination.dtype())) {
    destination.backend().write(entry.bytes.data(), destination);
    return;
  }
  switch (destination.dtype()) {
    case DType::f32: return read_as<float>(entry, destination);
    case DType::f64: return read_as<double>(entry, destination);
    case DType::i64: return read_as<std::int64_t>(entry, destination);
    case DType::i32: return read_as<std::int32_t>(entry, destination);
    case DType::i16: return read_as<std::int16_t>(entry, destination);
    case DType::u8: return read_as<std::uint8_t>(entry, destination);
    case DType::bf16:
    case DType::f16: {
      const Tensor wide = read(entry, destination.backend(), DType::f32);
      destination.backend().convert(wide, destination);
    }
  }
}

Tensor read(const Entry& entry, Backend& backend, DType dtype) {
  Tensor tensor(backend, Shape(std::span<const std::int64_t>(entry.shape)), dtype);
  read_into(entry, tensor);
  return tensor;
}

Source source_of(std::string name, const Tensor& tensor) {
  const std::span<const std::int64_t> extents = tensor.shape().extents();
  return {
      std::move(name), std::string(dtype_name(tensor.dtype())), {extents.begin(), extents.end()}, [tensor] {
        std::vector<std::byte> bytes(tensor.bytes());
        tensor.backend().read(tensor, bytes.data());
        return bytes;
      }};
}

}  // namespace sagitta::safetensors
