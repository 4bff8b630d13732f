// The version of the library (CMake reads it from here; pyproject.toml and CITATION.cff repeat it,
// and a test holds the three together), and the macro that exports a symbol.
#pragma once

#define VEMFAST_VERSION "0.1.0"

// Everything is hidden unless marked: the bindings and other native callers see what carries this.
#if defined(_WIN32)
#define VEMFAST_API
#else
#define VEMFAST_API __attribute__((visibility("default")))
#endif
