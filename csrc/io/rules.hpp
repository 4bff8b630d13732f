// What the numbers of a model file must be. A rule throws ModelFileError with the field's name.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>

namespace vemfast::io {

// An array as rules see it: its numbers, and the length of its last axis (1 of a scalar).
struct Values {
    std::span<const double> numbers;
    std::size_t last = 1;
};

using Rule = std::function<void(const std::string& name, const Values& values)>;

void finite(const std::string& name, const Values& values);
void positive(const std::string& name, const Values& values);
void not_negative(const std::string& name, const Values& values);
void probabilities(const std::string& name, const Values& values);      // each in [0, 1]
void stochastic(const std::string& name, const Values& values);         // rows that sum to 1
void symmetric(const std::string& name, const Values& values);          // matrices
void positive_definite(const std::string& name, const Values& values);  // matrices
void upper_factor(const std::string& name, const Values& values);       // triangular matrices
void numbers_of_codes(const std::string& name, const Values& values);   // whole, > 0
Rule above(double least);

}  // namespace vemfast::io
