// Fingerprint: 128 bits that tell contents apart - of a model's files, of settings, of a picture.
// FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv), which guards against mix-ups, not against forgers.
// Invariant: a function of the bytes alone; the same on every machine.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace sagitta::data {

class Fingerprint {
 public:
  Fingerprint& add(std::span<const std::byte> bytes);
  // With its length, so that "ab", "c" is not "a", "bc".
  Fingerprint& add(std::string_view text);
  // The name and the content of a file, at any length; a missing one counts as missing. Throws Error when it
  // cannot be read.
  Fingerprint& add_file(const std::filesystem::path& file);

  // 32 hexadecimal digits.
  std::string hex() const;
  // A DICOM UID made of it: "2.25." and a UUID as a decimal number (PS3.5 B.2), of version 8 (RFC 9562),
  // whose content is free.
  std::string uid() const;

 private:
  __extension__ using Word = unsigned __int128;
  static constexpr Word word(std::uint64_t high, std::uint64_t low) { return (Word{high} << 64) | low; }

  Word hash_ = word(0x6c62272e07bb0142, 0x62b821756295c58d);
};

}  // namespace sagitta::data
