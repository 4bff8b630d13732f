#include "api/chosen.hpp"

#include <algorithm>
#include <cmath>

#include "vemfast/require.hpp"

namespace vemfast::api {

namespace {

std::string shown(const std::vector<std::int64_t>& shape) {
    std::string out = "(";
    for (const std::int64_t n : shape)
        out.append(out.size() > 1 ? ", " : "").append(std::to_string(n));
    return out.append(1, ')');
}

void check_array(const std::string& name, const Array& given) {
    const std::int64_t size = size_of(name, given.shape);
    require(size == static_cast<std::int64_t>(given.values.size()), name, " has ",
            given.values.size(), " numbers, but its shape is ", shown(given.shape));
    for (const double value : given.values)
        require(std::isfinite(value), name, " must be finite");
}

}  // namespace

Chosen::Chosen(std::string_view class_name, const FitOptions& options)
    : class_name_(class_name), options_(options) {
    for (const auto& [name, value] : options.parameters)
        require(!options.arrays.contains(name), name, " is given twice");
}

const Parameter* Chosen::find(const std::string& name) {
    asked_.insert(name);
    const auto found = options_.parameters.find(name);
    return found == options_.parameters.end() ? nullptr : &found->second;
}

const Array* Chosen::find_array(const std::string& name) {
    asked_.insert(name);
    const auto found = options_.arrays.find(name);
    if (found == options_.arrays.end())
        return nullptr;
    check_array(name, found->second);
    return &found->second;
}

bool Chosen::is_given(const std::string& name) {
    return find(name) != nullptr || options_.arrays.contains(name);
}

bool Chosen::is_word(const std::string& name) const {
    const auto found = options_.parameters.find(name);
    return found != options_.parameters.end() && std::holds_alternative<std::string>(found->second);
}

std::optional<double> Chosen::number(const std::string& name) {
    const Parameter* given = find(name);
    require(given != nullptr || !options_.arrays.contains(name), name, " must be a number");
    if (given == nullptr)
        return std::nullopt;
    double value = 0;
    if (const auto* real = std::get_if<double>(given))
        value = *real;
    else if (const auto* integer = std::get_if<std::int64_t>(given))
        value = static_cast<double>(*integer);
    else
        require(false, name, " must be a number");
    require(std::isfinite(value), name, " must be finite; got ", value);
    return value;
}

std::int64_t Chosen::integer(const std::string& name, std::int64_t usual, std::int64_t least) {
    const std::optional<double> given = number(name);
    if (!given)
        return usual;
    constexpr double kMost = 1 << 30;
    require(*given == std::floor(*given), name, " must be a whole number; got ", *given);
    require(*given >= static_cast<double>(least) && *given <= kMost, name, " must be >= ", least,
            " and <= ", kMost, "; got ", *given);
    const auto value = static_cast<std::int64_t>(*given);
    taken_[name] = value;
    return value;
}

std::optional<double> Chosen::maybe_real(const std::string& name) {
    const std::optional<double> given = number(name);
    if (given)
        taken_[name] = *given;
    return given;
}

double Chosen::real(const std::string& name, double usual) {
    return maybe_real(name).value_or(usual);
}

bool Chosen::boolean(const std::string& name, bool usual) {
    const Parameter* given = find(name);
    require(given != nullptr || !options_.arrays.contains(name), name, " must be true or false");
    if (given == nullptr)
        return usual;
    bool value = false;
    if (const auto* truth = std::get_if<bool>(given)) {
        value = *truth;
    } else {
        const double as_number = number(name).value_or(0);
        require(as_number == 0 || as_number == 1, name, " must be true or false");
        value = as_number == 1;
    }
    taken_[name] = value;
    return value;
}

std::size_t Chosen::word(const std::string& name, const std::vector<std::string_view>& known) {
    const Parameter* given = find(name);
    std::string all;
    for (const std::string_view one : known)
        all.append(all.empty() ? "'" : ", '").append(one).append("'");
    require(given != nullptr || !options_.arrays.contains(name), name, " must be one of ", all);
    if (given == nullptr)
        return 0;
    const auto* text = std::get_if<std::string>(given);
    require(text != nullptr, name, " must be one of ", all);
    const auto found = std::find(known.begin(), known.end(), *text);
    require(found != known.end(), name, "='", *text, "' is not what a fit of ", class_name_,
            " takes here; use one of ", all);
    taken_[name] = *text;
    return static_cast<std::size_t>(found - known.begin());
}

std::vector<double> Chosen::array(const std::string& name, const std::vector<std::int64_t>& shape) {
    const Array* given = find_array(name);
    if (given == nullptr) {
        require(find(name) == nullptr, name, " must be an array of the shape ", shown(shape));
        return {};
    }
    require(given->shape == shape, name, " must have the shape ", shown(shape), "; got ",
            shown(given->shape));
    return given->values;
}

std::vector<double> Chosen::spread(const std::string& name, std::int64_t rows,
                                   std::int64_t columns) {
    const auto n = static_cast<std::size_t>(rows * columns);
    const Array* given = find_array(name);
    if (given == nullptr) {
        const std::optional<double> one = maybe_real(name);
        return one ? std::vector<double>(n, *one) : std::vector<double>{};
    }
    if (given->shape.empty())
        return std::vector<double>(n, given->values.front());
    const bool is_row = given->shape == std::vector<std::int64_t>{columns};
    require(is_row || given->shape == std::vector<std::int64_t>{rows, columns}, name,
            " must be a number, or have the shape ", shown({columns}),
            rows > 1 ? " or " + shown({rows, columns}) : "", "; got ", shown(given->shape));
    std::vector<double> out(n);
    for (std::size_t i = 0; i < n; ++i)
        out[i] = given->values[i % given->values.size()];
    return out;
}

void Chosen::refuse_others() const {
    std::string known;
    for (const std::string& name : asked_)
        known.append(known.empty() ? "" : ", ").append(name);
    const auto check = [&](const std::string& name) {
        require(asked_.contains(name), "a fit of ", class_name_, " without Python takes no ", name,
                "; it takes ", known);
    };
    for (const auto& [name, value] : options_.parameters)
        check(name);
    for (const auto& [name, value] : options_.arrays)
        check(name);
}

Attributes Chosen::attributes(std::size_t n_features) const {
    Attributes out{class_name_, n_features, taken_, {}, {}};
    for (const auto& [name, value] : options_.arrays)
        out.arrays["parameter." + name] = value;
    return out;
}

std::int64_t size_of(const std::string& name, const std::vector<std::int64_t>& shape) {
    constexpr std::int64_t kMost = std::int64_t{1} << 40;
    std::int64_t size = 1;
    for (const std::int64_t n : shape) {
        require(n >= 0 && (n == 0 || size <= kMost / n), name,
                " has a length that is out of range: ", shown(shape));
        size *= n;
    }
    return size;
}

void add_trace(const std::vector<double>& lower_bounds, StopReason reason, Attributes& out) {
    constexpr const char* kReasons[] = {"tolerance", "max_iter", "numerical", "callback"};
    const auto n = static_cast<std::int64_t>(lower_bounds.size());
    out.arrays["lower_bounds_"] = {{n}, lower_bounds};
    out.values["lower_bound_"] = lower_bounds.back();
    out.values["n_iter_"] = n - 1;
    out.values["converged_"] = reason == StopReason::tolerance;
    out.values["stop_reason_"] = std::string(kReasons[static_cast<std::size_t>(reason)]);
}

std::vector<double> transposed(const double* matrix, std::size_t rows, std::size_t columns) {
    std::vector<double> out(rows * columns);
    for (std::size_t i = 0; i < rows * columns; ++i)
        out[i % columns * rows + i / columns] = matrix[i];
    return out;
}

}  // namespace vemfast::api
