// What a model file must say for each class of estimators: the twin of vemfast/io/schemas.py.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/container.hpp"

namespace vemfast::io {

// Constructor parameters of a file: numbers and words that a model is made of, with the defaults of
// the Python class where a file does not say. What no native code asks for is kept, not judged.
class Parameters {
  public:
    explicit Parameters(const Container& file) : file_(&file) {}

    std::int64_t integer(std::string_view name, std::int64_t otherwise, std::int64_t least) const;
    double real(std::string_view name, double otherwise) const;
    bool boolean(std::string_view name, bool otherwise) const;
    // One of the words, of which the first is the default.
    std::string word(std::string_view name, const std::vector<std::string_view>& known) const;
    // Whether the parameter is absent or null.
    bool is_none(std::string_view name) const;
    // The parameter that is an array, or null.
    const Tensor* array(std::string_view name) const;

  private:
    const Json* find(std::string_view name) const;

    const Container* file_;
};

// Throws ModelFileError, which names the field, unless the file can be a fitted model of its class.
void check_model(const Container& file);

// The class, and what it has fitted. The file must have been checked.
std::string class_of(const Container& file);
std::size_t n_features_of(const Container& file);
bool has_tensor(const Container& file, const std::string& name);
std::vector<double> numbers_of(const Container& file, const std::string& name);

// read_container and check_model, and that the class is `wanted` (any: empty).
Container read_model(const std::string& path, std::string_view wanted);

}  // namespace vemfast::io
