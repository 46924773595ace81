// Fingerprint: the 64-bit FNV-1a hash (Fowler, Noll and Vo, 1991), to tell things apart without carrying
// them: patients without their identifier, inputs of a cached result. No protection against forgery.
#pragma once
#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace sagitta::data {

class Fingerprint {
 public:
  Fingerprint& add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) hash_ = (hash_ ^ static_cast<std::uint64_t>(byte)) * 0x100000001B3u;
    return *this;
  }
  Fingerprint& add(std::string_view text) { return add(std::as_bytes(std::span(text))); }
  std::string hex() const { return fmt::format("{:016x}", hash_); }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325u;
};

}  // namespace sagitta::data
