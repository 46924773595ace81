// Damaged DICOM files, fixed seeds: every one either reads or is refused with an Error that names the file.
// Run under AddressSanitizer and UndefinedBehaviorSanitizer by the debug preset; elsewhere with an
// address-space limit, so that a length in a damaged header cannot make the reader ask for gigabytes
// unnoticed.
#include <sys/resource.h>

#include <random>

#include "data/dicom_reader.h"
#include "tests/ct_fixture.h"

using namespace sagitta;
using namespace sagitta::data;
using namespace sagitta::testing;

namespace {

void limit_memory() {
#if !defined(__SANITIZE_ADDRESS__)
  const rlimit limit{std::uint64_t{2} << 30, std::uint64_t{2} << 30};
  REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
#endif
}

// A smooth picture with some noise, so that every coder has something to code.
std::string good_file(const TempFolder& folder, TransferSyntax syntax) {
  Volume volume = make_volume(1, 64, 64, 0.5, 1);
  std::mt19937 random(3);
  for (std::size_t i = 0; i < volume.hu.size(); ++i)
    volume.hu[i] =
        static_cast<std::int16_t>(static_cast<int>(i / 64) * 20 - 900 + static_cast<int>(random() % 50));
  CtSliceFile file = slice_file(volume, 0);
  file.padding_value = 0;
  write_ct_slice(folder.path() / "good.dcm", file, syntax);
  return read_bytes(folder.path() / "good.dcm");
}

struct Outcome {
  int read = 0, refused = 0;
};

// Reads headers and pixels. Anything but an Error that names the file, in one line, fails the test.
void try_file(const std::filesystem::path& path, const std::string& bytes, Outcome& outcome) {
  write_bytes(path, bytes);
  try {
    for (const CtSlice& slice : read_ct_headers(path)) {
      if (slice.is_localizer()) continue;
      std::vector<std::int16_t> hu(static_cast<std::size_t>(slice.rows) *
                                   static_cast<std::size_t>(slice.columns));
      read_hu(slice, hu);
    }
    ++outcome.read;
  } catch (const Error& error) {
    const std::string message = error.what();
    CHECK_MESSAGE(message.find(path.string()) != std::string::npos, message);
    CHECK_MESSAGE(message.find('\n') == std::string::npos, message);
    ++outcome.refused;
  }
}

}  // namespace

TEST_CASE("files cut off at any length are refused") {
  limit_memory();
  TempFolder folder;
  for (const TransferSyntax syntax : kTransferSyntaxes) {
    CAPTURE(transfer_syntax_name(syntax));
    const std::string good = good_file(folder, syntax);
    std::mt19937 random(11);
    Outcome outcome;
    for (int i = 0; i < 60; ++i)
      try_file(folder.path() / "cut.dcm", good.substr(0, random() % (good.size() - 20)), outcome);
    CHECK(outcome.read == 0);
  }
}

TEST_CASE("flipped bits, overwritten bytes and swapped blocks never crash the reader") {
  limit_memory();
  TempFolder folder;
  for (const TransferSyntax syntax : kTransferSyntaxes) {
    CAPTURE(transfer_syntax_name(syntax));
    const std::string good = good_file(folder, syntax);
    std::mt19937 random(12);
    const auto below = [&](std::size_t limit) { return random() % limit; };
    Outcome outcome;
    for (int i = 0; i < 200; ++i) {
      std::string bad = good;
      // Half of the damage goes to the headers, which are a small part of the file.
      const std::size_t reach = i % 2 ? bad.size() : std::min<std::size_t>(bad.size(), 1200);
      const std::size_t hits = 1 + below(8);
      for (std::size_t hit = 0; hit < hits; ++hit) {
        const std::size_t at = 128 + below(reach - 128);
        switch (below(3)) {
          case 0:
            bad[at] = static_cast<char>(bad[at] ^ (1 << below(8)));
            break;
          case 1:
            bad[at] = static_cast<char>(below(2) ? 0xff : 0x00);
            break;
          default:
            for (std::size_t k = 0; k < 4 && at + k < bad.size(); ++k)
              bad[at + k] = static_cast<char>(random());
        }
      }
      try_file(folder.path() / "bad.dcm", bad, outcome);
    }
    CHECK(outcome.read + outcome.refused == 200);
    CHECK(outcome.refused > 20);
  }
}

TEST_CASE("lengths that promise gigabytes are refused") {
  limit_memory();
  TempFolder folder;
  const auto path = folder.path() / "long.dcm";
  const std::string good = good_file(folder, TransferSyntax::explicit_little);
  Outcome outcome;
  SUBCASE("pixel data") {
    std::string bad = good;
    const std::size_t at = bad.rfind(std::string("\xe0\x7f\x10\x00OW", 6));
    REQUIRE(at != std::string::npos);
    bad.replace(at + 8, 4, "\xfe\xff\xff\x7f");
    try_file(path, bad, outcome);
  }
  SUBCASE("an attribute") {
    std::string bad = good;
    bad.insert(bad.find(std::string("\x28\x00\x10\x00US", 6)),
               std::string("\x20\x00\x00\x40UN\x00\x00\xf0\xff\xff\x7f", 12));
    try_file(path, bad, outcome);
  }
  CHECK(outcome.refused == 1);
}
