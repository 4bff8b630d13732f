// What fits of many data sets leave beside their parameters: arrays over the data sets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "models/batch_loop.hpp"
#include "vemfast/errors.hpp"

namespace vemfast::models {

// Where a fit failed.
inline constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

// NaN, 0 and StopReason::failed where a fit failed.
struct FitRecords {
    std::vector<double> lower_bound;
    std::vector<std::int32_t> n_iter;
    std::vector<std::int8_t> stop_reason;  // StopReason
    std::vector<std::uint8_t> degenerate;
    std::vector<double> lower_bounds;  // the traces, one after another
    std::vector<std::int64_t> trace;   // a number more than fits: where each begins
    std::vector<std::pair<std::int64_t, std::string>> failures;  // in order, and why
};

// Fills records, of which `Records` has the fields, from several threads.
template <class Records>
class Recorder {
  public:
    Recorder(Records& out, std::size_t n) : out_(out), traces_(n), messages_(n) {
        out.lower_bound.resize(n, kNothing);
        out.n_iter.resize(n, 0);
        out.stop_reason.resize(n, static_cast<std::int8_t>(StopReason::failed));
        out.degenerate.resize(n, 0);
        out.trace.resize(n + 1, 0);
    }

    // Calls fit() for the i-th data set; that it cannot be fitted is noted.
    template <class Fit>
    void guarded(std::size_t i, Fit&& fit) {
        try {
            std::forward<Fit>(fit)();
        } catch (const NumericalError& error) {
            messages_[i] = error.what();
        } catch (const std::invalid_argument& error) {
            messages_[i] = error.what();
        }
    }

    void keep(std::size_t i, const FitState& state, bool degenerate) {
        traces_[i] = state.lower_bounds;
        out_.lower_bound[i] = state.lower_bounds.back();
        out_.n_iter[i] = static_cast<std::int32_t>(state.lower_bounds.size()) - 1;
        out_.stop_reason[i] = static_cast<std::int8_t>(state.stop_reason);
        out_.degenerate[i] = degenerate ? 1 : 0;
    }

    // To be called when all fits are done.
    void finish() {
        for (std::size_t i = 0; i < traces_.size(); ++i) {
            out_.lower_bounds.insert(out_.lower_bounds.end(), traces_[i].begin(), traces_[i].end());
            out_.trace[i + 1] = static_cast<std::int64_t>(out_.lower_bounds.size());
            if (!messages_[i].empty())
                out_.failures.emplace_back(static_cast<std::int64_t>(i), std::move(messages_[i]));
        }
    }

  private:
    Records& out_;
    std::vector<std::vector<double>> traces_;
    std::vector<std::string> messages_;
};

}  // namespace vemfast::models
