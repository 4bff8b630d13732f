// The container of a model file: safetensors, with one JSON document as its metadata.
//
// Layout and digest are those of vemfast/io/container.py; a file that is read and written keeps its
// bytes. Nothing here knows what a model is: see schemas.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.hpp"

namespace vemfast::io {

struct Tensor {
    std::string type = "F64";  // by the names of safetensors
    std::vector<std::int64_t> shape;
    std::string bytes;  // little-endian, the last index fastest

    std::size_t size() const;
    // Numbers of a tensor of type F64.
    std::vector<double> values() const;

    static Tensor of(std::vector<std::int64_t> shape, const double* values);
};

using Tensors = std::map<std::string, Tensor>;  // in the order of the bytes of their names

struct Container {
    Json document;  // format, version, estimator, parameters and fitted; without the digest
    Tensors tensors;
    bool is_newer = false;  // of a later minor version: it may hold what is not known here
};

// A header may be so long and no longer, as in the safetensors library.
inline constexpr std::uint64_t kLongestHeader = 100'000'000;

// Throws ModelFileError, without the path.
Container parse_container(std::string_view content);

// The file's bytes.
std::string to_bytes(const Container& container);

// An empty document for a class of estimators.
Json new_document(std::string_view estimator);

// The same from and to a file; the path stands before messages. Files appear whole or not at all.
// Throws std::system_error where a file cannot be read or written.
Container read_container(const std::string& path);
void write_container(const std::string& path, const Container& container);

}  // namespace vemfast::io
