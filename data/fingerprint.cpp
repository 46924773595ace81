#include "data/fingerprint.h"

#include <algorithm>
#include <fstream>
#include <vector>

#include "tensor/error.h"

namespace sagitta::data {

Fingerprint& Fingerprint::add(std::span<const std::byte> bytes) {
  constexpr Word kPrime = word(0x0000000001000000, 0x000000000000013b);
  for (const std::byte byte : bytes) hash_ = (hash_ ^ static_cast<std::uint8_t>(byte)) * kPrime;
  return *this;
}

Fingerprint& Fingerprint::add(std::string_view text) {
  const std::string length = std::to_string(text.size()) + ":";
  add(std::as_bytes(std::span(length)));
  return add(std::as_bytes(std::span(text)));
}

Fingerprint& Fingerprint::add_file(const std::filesystem::path& file) {
  add(file.filename().string());
  if (!std::filesystem::exists(file)) return add("missing");
  std::ifstream stream(file, std::ios::binary);
  std::vector<char> block(1 << 20);
  std::uint64_t size = 0;
  while (stream.read(block.data(), static_cast<std::streamsize>(block.size())) || stream.gcount() > 0) {
    const auto count = static_cast<std::size_t>(stream.gcount());
    add(std::as_bytes(std::span(block).first(count)));
    size += count;
  }
  require(stream.eof(), "{}: cannot be read", file.string());
  return add(std::to_string(size));
}

std::string Fingerprint::hex() const {
  return fmt::format("{:016x}{:016x}", static_cast<std::uint64_t>(hash_ >> 64),
                     static_cast<std::uint64_t>(hash_));
}

std::string Fingerprint::uid() const {
  Word uuid = hash_;
  uuid = (uuid & ~word(0xf000, 0)) | word(0x8000, 0);                                  // version 8
  uuid = (uuid & ~word(0, std::uint64_t{3} << 62)) | word(0, std::uint64_t{2} << 62);  // variant
  std::string digits;
  for (; uuid > 0; uuid /= 10) digits += static_cast<char>('0' + static_cast<int>(uuid % 10));
  std::reverse(digits.begin(), digits.end());
  return "2.25." + digits;
}

}  // namespace sagitta::data
