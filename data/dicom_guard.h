// Looks at the structure of a DICOM file before DCMTK reads it: DCMTK goes one level of its call stack down
// for every nested sequence and inflates whatever it is given, so that a crafted file of a few kilobytes
// could end the program. Invariant: a file that passes makes DCMTK recurse a bounded number of levels, and
// inflate a bounded number of bytes.
#pragma once
#include <filesystem>

namespace sagitta::data {

// Throws Error naming the file if it lacks the marker of DICOM Part 10, if its sequences are nested more than
// 64 deep, if it inflates to more than 256 MiB, or if it holds many sequences and is damaged, so that their
// depth cannot be known. Reads tags and lengths (DICOM PS3.5 section 7), not values; other damage is left to
// the reader. Safe to call from several threads.
void refuse_dicom_bomb(const std::filesystem::path& file);

}  // namespace sagitta::data
