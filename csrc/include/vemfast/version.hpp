// The version of the library (CMake reads it from here; pyproject.toml and CITATION.cff repeat it,
// and a test holds the three together), and the macro that exports a symbol.
#pragma once

#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) < 202002L
#error \
    "vemfast needs C++20: compile with -std=c++20 (CMake: target_compile_features(... cxx_std_20)), or use the C interface, vemfast/vemfast.h"
#endif

#define VEMFAST_VERSION "0.1.0"

// Everything is hidden unless marked: the bindings and other native callers see what carries this.
#if !defined(VEMFAST_API)
#if defined(_WIN32)
#define VEMFAST_API
#else
#define VEMFAST_API __attribute__((visibility("default")))
#endif
#endif

namespace vemfast {

// The version of the library that runs, as VEMFAST_VERSION is that of the headers.
VEMFAST_API const char* version();

// Throws std::runtime_error, which says both, where the library that runs is of another major or
// minor version than the headers that the caller was compiled with.
VEMFAST_API void check_version(const char* headers = VEMFAST_VERSION);

}  // namespace vemfast
