// The fitted attributes of each class, with the shapes that its parameters imply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/container.hpp"
#include "io/rules.hpp"
#include "io/schemas.hpp"

namespace vemfast::io {

// In front of the names of tensors that are constructor parameters.
inline constexpr std::string_view kParameter = "parameter.";

// A number; or a word, a length that is free where it comes first and the same from there on. It is
// at least 1 unless a star ends the word.
struct Length {
    Length(std::size_t number) : fixed(static_cast<std::int64_t>(number)) {}
    Length(const char* name) : word(name) {}
    Length(std::string name) : word(std::move(name)) {}

    std::int64_t fixed = 0;
    std::string word;
};
using Shape = std::vector<Length>;

struct Field {
    // Tensors are of doubles; the others stand in the JSON document.
    enum class Kind { tensor, real, integer, boolean, word, names };

    Kind kind = Kind::tensor;
    Shape shape;
    Rule rule;
    std::string group;       // fields of one group are there all or none; of the group "", all
    std::int64_t least = 0;  // of an integer
    std::vector<std::string_view> words;
};

using Fields = std::vector<std::pair<std::string, Field>>;

struct Schema {
    std::string_view name;
    std::function<Fields(const Parameters&, std::size_t n_features)> fields;
    std::function<void(const Container&)> agree;  // whether fields, each fine, agree; or empty
};

// Widths of an autoencoder's hidden layers.
std::vector<std::size_t> hidden_widths(const Parameters& given);

// Null for a class that is not known.
const Schema* schema_of(std::string_view name);

}  // namespace vemfast::io
