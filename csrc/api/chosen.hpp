// The options of a fit, read by the names that Python has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "models/rules.hpp"
#include "vemfast/fit_options.hpp"

namespace vemfast::api {

// What Python calls the values of enums, in their order.
inline const std::vector<std::string_view> kInferences{"em", "hard-em", "mean-field",
                                                       "variational-em"};
inline const std::vector<std::string_view> kCovarianceTypes{"full", "tied", "diag", "spherical",
                                                            "tied-spherical"};
inline const std::vector<std::string_view> kStarts{"kmeans", "k-means++", "random"};

// Everything throws std::invalid_argument with the name for what has another type, shape or range.
class Chosen {
  public:
    Chosen(std::string_view class_name, const FitOptions& options);

    const std::string& class_name() const { return class_name_; }
    const FitCallback& callback() const { return options_.callback; }

    std::int64_t integer(const std::string& name, std::int64_t usual, std::int64_t least);
    double real(const std::string& name, double usual);
    std::optional<double> maybe_real(const std::string& name);
    bool boolean(const std::string& name, bool usual);
    // The first word is the default. Returns its number.
    std::size_t word(const std::string& name, const std::vector<std::string_view>& known);

    bool is_given(const std::string& name);
    // Whether a word is given in the place of a number.
    bool is_word(const std::string& name) const;
    // Empty where it is not given.
    std::vector<double> array(const std::string& name, const std::vector<std::int64_t>& shape);
    // One number, or a row, for every row of a table of this shape; empty where it is not given.
    std::vector<double> spread(const std::string& name, std::int64_t rows, std::int64_t columns);
    // The array as it is given, or null.
    const Array* find_array(const std::string& name);

    // Throws for options that nobody has asked for.
    void refuse_others() const;

    // Of the fitted model: its class and the parameters that were given.
    Attributes attributes(std::size_t n_features) const;

  private:
    const Parameter* find(const std::string& name);
    // A parameter that is a number.
    std::optional<double> number(const std::string& name);

    std::string class_name_;
    const FitOptions& options_;
    std::set<std::string> asked_;
    std::map<std::string, Parameter> taken_;
};

// The numbers of an array of this shape; throws where they are too many to be.
std::int64_t size_of(const std::string& name, const std::vector<std::int64_t>& shape);

// What the loop reached, as attributes: the trace and how it ended.
void add_trace(const std::vector<double>& lower_bounds, StopReason reason, Attributes& out);

// A matrix (rows x columns) by columns.
std::vector<double> transposed(const double* matrix, std::size_t rows, std::size_t columns);

}  // namespace vemfast::api
