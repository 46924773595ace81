// Damaged DICOM files, fixed seeds: every one either reads or is refused with an Error that names the file.
// Run under AddressSanitizer and UndefinedBehaviorSanitizer by the debug preset; elsewhere with an
// address-space limit, so that a length in a damaged header cannot make the reader ask for gigabytes
// unnoticed.
#include <sys/resource.h>
#include <zlib.h>

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
  std::string reason;  // of the last refusal
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
    outcome.reason = message;
  }
}

// `value` in `bytes` bytes.
std::string number(std::uint32_t value, int bytes, bool big_endian) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * (big_endian ? bytes - 1 - i : i));
  return text;
}

// `levels` sequences of one item, each inside the other; sequences of undefined length leave out the ends if
// `cut`.
std::string nest(int levels, TransferSyntax syntax, bool undefined_length, bool cut = false) {
  const bool big = syntax == TransferSyntax::explicit_big,
             implicit = syntax == TransferSyntax::implicit_little;
  const auto tag = [&](std::uint32_t group, std::uint32_t element) {
    return number(group, 2, big) + number(element, 2, big);
  };
  const std::string sequence = tag(0x0008, 0x1140) + (implicit ? "" : "SQ" + std::string(2, 0)),
                    item = tag(0xFFFE, 0xE000);
  const std::uint32_t per_level = static_cast<std::uint32_t>(sequence.size() + item.size() + 8);
  std::string text;
  for (int level = levels; level > 0; --level) {
    const std::uint32_t inside = per_level * static_cast<std::uint32_t>(level - 1);
    text += sequence + number(undefined_length ? 0xFFFFFFFF : inside + 8, 4, big);
    text += item + number(undefined_length ? 0xFFFFFFFF : inside, 4, big);
  }
  if (!undefined_length || cut) return text;
  for (int level = 0; level < levels; ++level)
    text += tag(0xFFFE, 0xE00D) + number(0, 4, big) + tag(0xFFFE, 0xE0DD) + number(0, 4, big);
  return text;
}

std::size_t data_set_start(const std::string& file) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < 4; ++i)
    length |= static_cast<std::size_t>(static_cast<unsigned char>(file[140 + i])) << 8 * i;
  return 144 + length;
}

// `repeats` times `text`, as a raw deflate stream.
std::string deflated(const std::string& text, int repeats = 1) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 1, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string result, out(1 << 16, 0);
  for (int i = 0; i < repeats; ++i) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    do {
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      deflate(&stream, i + 1 == repeats ? Z_FINISH : Z_NO_FLUSH);
      result.append(out, 0, out.size() - stream.avail_out);
    } while (stream.avail_out == 0);
  }
  deflateEnd(&stream);
  return result;
}

// A good file with `elements` in front of its own.
std::string with_elements(const TempFolder& folder, TransferSyntax syntax, const std::string& elements) {
  const std::string good = good_file(folder, syntax), meta = good.substr(0, data_set_start(good));
  if (syntax != TransferSyntax::deflated) return meta + elements + good.substr(meta.size());
  const std::string plain = good_file(folder, TransferSyntax::explicit_little);
  return meta + deflated(elements + plain.substr(data_set_start(plain)));
}

}  // namespace

TEST_CASE("files cut off at any length are refused") {
  limit_memory();
  const TempFolder folder;
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
  const TempFolder folder;
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
          case 0: bad[at] = static_cast<char>(bad[at] ^ (1 << below(8))); break;
          case 1: bad[at] = static_cast<char>(below(2) ? 0xff : 0x00); break;
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
  const TempFolder folder;
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

TEST_CASE("sequences nested thousands deep are refused before they end the call stack") {
  limit_memory();
  const TempFolder folder;
  const auto path = folder.path() / "nested.dcm";
  for (const TransferSyntax syntax :
       {TransferSyntax::implicit_little, TransferSyntax::explicit_little, TransferSyntax::explicit_big,
        TransferSyntax::deflated, TransferSyntax::rle}) {
    for (const bool undefined_length : {false, true}) {
      CAPTURE(transfer_syntax_name(syntax));
      CAPTURE(undefined_length);
      Outcome outcome;
      for (const int levels : {65, 4000, 100000}) {
        try_file(path, with_elements(folder, syntax, nest(levels, syntax, undefined_length)), outcome);
        CHECK_MESSAGE(outcome.reason.find("nested more than 64 deep") != std::string::npos, outcome.reason);
      }
      CHECK(outcome.refused == 3);
      try_file(path, with_elements(folder, syntax, nest(64, syntax, undefined_length)), outcome);
      CHECK(outcome.read == 1);
    }
  }
}

TEST_CASE("deep nesting is found behind every kind of damage") {
  limit_memory();
  const TempFolder folder;
  const auto path = folder.path() / "nested.dcm";
  constexpr TransferSyntax kExplicit = TransferSyntax::explicit_little;
  const std::string bomb = nest(20000, kExplicit, true);
  std::string file = with_elements(folder, kExplicit, bomb);
  Outcome outcome;
  SUBCASE("no end") { file = with_elements(folder, kExplicit, nest(20000, kExplicit, true, true)); }
  SUBCASE("an unknown value representation in front") {
    file = with_elements(folder, kExplicit, std::string("\x08\x00\x01\x00QQ\x02\x00  ", 10) + bomb);
  }
  SUBCASE("an unknown transfer syntax") {
    const std::size_t at = file.find(std::string("1.2.840.10008.1.2.1\0", 20));
    REQUIRE(at != std::string::npos);
    file[at + 18] = '7';
  }
  SUBCASE("a header of a wrong length") { file[140] = static_cast<char>(file[140] + 2); }
  SUBCASE("inside an unknown element, in implicit little endian") {
    const std::string unknown("\x09\x00\x01\x10UN\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff", 20);
    const std::string ends("\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0", 16);
    file =
        with_elements(folder, kExplicit, unknown + nest(20000, TransferSyntax::implicit_little, true) + ends);
  }
  SUBCASE("deflated, with a damaged header") {
    file = with_elements(folder, TransferSyntax::deflated, bomb);
    file[140] = static_cast<char>(file[140] + 2);
  }
  try_file(path, file, outcome);
  CHECK(outcome.refused == 1);
}

TEST_CASE("many items side by side are no nesting") {
  limit_memory();
  const TempFolder folder;
  std::string items;
  for (int i = 0; i < 3000; ++i) items += std::string("\xfe\xff\x00\xe0\0\0\0\0", 8);
  const std::string sequence = std::string("\x08\x00\x40\x11SQ\0\0", 8) +
                               number(static_cast<std::uint32_t>(items.size()), 4, false) + items;
  Outcome outcome;
  try_file(folder.path() / "flat.dcm", with_elements(folder, TransferSyntax::explicit_little, sequence),
           outcome);
  CHECK_MESSAGE(outcome.read == 1, outcome.reason);
}

TEST_CASE("a deflated file that inflates to hundreds of megabytes is refused") {
  limit_memory();
  const TempFolder folder;
  const std::string good = good_file(folder, TransferSyntax::deflated);
  const std::string bomb = good.substr(0, data_set_start(good)) + deflated(std::string(1 << 20, 0), 257);
  CHECK(bomb.size() < 2'000'000);
  Outcome outcome;
  try_file(folder.path() / "bomb.dcm", bomb, outcome);
  CHECK_MESSAGE(outcome.reason.find("inflates to more than 256 MiB") != std::string::npos, outcome.reason);
}
