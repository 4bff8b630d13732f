// Whole files: read at once, and written whole or not at all.
#pragma once

#include <string>
#include <string_view>

namespace vemfast::io {

// The bytes of a regular file. Throws std::system_error, or ModelFileError for what is no regular
// file.
std::string read_file(const std::string& path);

// The bytes go to a temporary file beside the target, reach the disk, and only then take the
// target's name: as vemfast/io/atomic.py does, by the same names and locks. Throws
// std::system_error; the old file is then as it was.
void write_file(const std::string& path, std::string_view content);

}  // namespace vemfast::io
