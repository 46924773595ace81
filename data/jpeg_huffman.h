// The Huffman codes of lossless JPEG: a code says how many bits the difference has that follows it (ITU-T
// T.81 annexes C and H). The inner loop of jpeg_lossless.h. Invariant: a table that was built answers every
// window of bits within its bounds.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace sagitta::data {

inline constexpr int kMaxCodeBits = 16;

// Throws the Error of a damaged stream.
[[noreturn]] void jpeg_damaged(const char* what);

// The difference that `bits` of category `category` stand for (T.81 tables H.2 and F.2); 16 has no bits and
// is 32768.
inline int jpeg_difference(std::uint32_t bits, int category) {
  if (category == 0) return 0;
  if (category == 16) return 32768;
  return static_cast<int>(bits) - (bits >> (category - 1) ? 0 : (1 << category) - 1);
}

class HuffmanTable {
 public:
  HuffmanTable() = default;
  // `counts` codes of each length 1..16, and their categories in order (T.81 annex C). Throws Error if there
  // are more codes than bits allow, or a category above 16.
  HuffmanTable(std::span<const std::uint8_t, kMaxCodeBits> counts, std::span<const std::uint8_t> categories);

  bool defined() const { return !categories_.empty(); }

  // A difference whose code and bits lie within the first kLookupBits, or only its code, or nothing.
  struct Found {
    std::int32_t difference : 17;
    std::uint32_t bits : 6;      // of the code and the difference; 0: none
    std::uint32_t category : 5;  // still to be read; 0: `difference` is it
  };
  Found find(std::uint64_t window) const { return lookup_[window >> (64 - kLookupBits)]; }
  // The same for a code of more than kLookupBits bits.
  Found find_long(std::uint64_t window) const;

 private:
  // Codes are looked up by this many bits, with their differences if these fit; longer ones take a second
  // step.
  static constexpr int kLookupBits = 12;
  void fill_lookup();

  std::vector<std::uint8_t> categories_;
  // For each length: the codes below `limit` (left-aligned to 16 bits) have at most this length.
  std::array<std::uint32_t, kMaxCodeBits + 1> limit_{}, first_code_{}, first_index_{};
  std::vector<Found> lookup_;
};

}  // namespace sagitta::data
