#include "models/trace.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <locale>
#include <sstream>

#include "vemfast/errors.hpp"

namespace vemfast::models {

namespace {

template <class... Parts>
[[noreturn]] void break_down(const Parts&... parts) {
    std::ostringstream message;
    message.imbue(std::locale::classic());
    message.precision(17);
    (message << ... << parts);
    throw NumericalError(message.str());
}

}  // namespace

Trace::Trace(double tol, int max_iter, double total_weight, bool is_float)
    // A gain is never below -inf, so tol = 0 never converges.
    : enough_(tol > 0 ? tol * total_weight : -std::numeric_limits<double>::infinity()),
      most_(static_cast<std::size_t>(max_iter)),
      total_weight_(total_weight),
      is_float_(is_float) {}

bool Trace::add(double objective, double size_of_terms) {
    if (!std::isfinite(objective))
        break_down("the objective is ", objective, " at iteration ", values_.size());
    const double gain =
        values_.empty() ? std::numeric_limits<double>::infinity() : objective - values_.back();
    const double allowed =
        std::max((is_float_ ? 2e-6 : 1e-9) * std::max(std::abs(objective), total_weight_),
                 (is_float_ ? 2e-6 : 1e-15) * size_of_terms);
    if (-gain > allowed)
        break_down("the objective fell at iteration ", values_.size(), ", from ", values_.back(),
                   " to ", objective, " nats; rounding explains ", allowed,
                   is_float_ ? "; float64 rows would round less" : "");
    values_.push_back(objective);
    if (gain < enough_) {
        reason_ = StopReason::tolerance;
        return false;
    }
    return values_.size() <= most_;
}

}  // namespace vemfast::models
