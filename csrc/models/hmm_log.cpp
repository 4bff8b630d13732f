#include "models/hmm_log.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "vemfast/poll.hpp"

namespace vemfast::models {

namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

double log_sum(const std::vector<double>& terms) {
    const double largest = *std::max_element(terms.begin(), terms.end());
    if (!(largest > kMinusInfinity))
        return kMinusInfinity;
    double sum = 0;
    for (const double term : terms)
        sum += std::exp(term - largest);
    return largest + std::log(sum);
}

}  // namespace

LogChain::LogChain(const detail::ChainTables& chain, std::vector<double> scores)
    : chain_(chain),
      K_(chain.n_states),
      T_(scores.size() / chain.n_states),
      scores_(std::move(scores)),
      forward_(scores_.size()),
      gains_(T_),
      impossible_from_(T_) {
    std::vector<double> terms(K_);
    std::vector<double> row(K_);
    for (std::size_t t = 0; t < T_; ++t) {
        interruption_point();
        for (std::size_t k = 0; k < K_; ++k) {
            double before = chain_.log_start[k];
            if (t > 0) {
                const double* into = chain_.log_transposed + k * chain_.ld;
                for (std::size_t i = 0; i < K_; ++i)
                    terms[i] = forward_[(t - 1) * K_ + i] + into[i];
                before = log_sum(terms);
            }
            row[k] = before + scores_[t * K_ + k];
        }
        gains_[t] = log_sum(row);
        log_normaliser_ += gains_[t];
        if (!(gains_[t] > kMinusInfinity)) {
            impossible_from_ = t;
            return;
        }
        for (std::size_t k = 0; k < K_; ++k)
            forward_[t * K_ + k] = row[k] - gains_[t];
    }
}

std::vector<double> LogChain::posteriors(double weight, double* pairs) const {
    std::vector<double> out(T_ * K_);
    std::vector<double> backward(K_, 0.0);
    std::vector<double> later(K_);
    std::vector<double> terms(K_);
    for (std::size_t t = T_; t-- > 0;) {
        interruption_point();
        for (std::size_t k = 0; k < K_; ++k)
            out[t * K_ + k] = std::exp(forward_[t * K_ + k] + backward[k]);
        if (t == 0)
            break;
        for (std::size_t j = 0; j < K_; ++j)
            later[j] = scores_[t * K_ + j] + backward[j] - gains_[t];
        for (std::size_t i = 0; i < K_; ++i) {
            const double* from = chain_.log_transitions + i * chain_.ld;
            for (std::size_t j = 0; j < K_; ++j) {
                terms[j] = from[j] + later[j];
                if (pairs != nullptr)
                    pairs[i * K_ + j] += weight * std::exp(forward_[(t - 1) * K_ + i] + terms[j]);
            }
            backward[i] = log_sum(terms);
        }
    }
    return out;
}

void LogChain::draw(const double* uniforms, std::int32_t* labels) const {
    std::vector<double> weights(K_);
    std::size_t next = 0;
    for (std::size_t t = T_; t-- > 0;) {
        const double* into = t + 1 == T_ ? nullptr : chain_.log_transposed + next * chain_.ld;
        for (std::size_t k = 0; k < K_; ++k)
            weights[k] = forward_[t * K_ + k] + (into == nullptr ? 0.0 : into[k]);
        const double largest = *std::max_element(weights.begin(), weights.end());
        double total = 0;
        for (double& weight : weights)
            total += weight = std::exp(weight - largest);
        double cumulated = 0;
        std::size_t last = 0;
        for (std::size_t k = 0; k < K_; ++k) {
            if (weights[k] > 0)
                last = k;
        }
        for (next = 0; next < last; ++next) {
            cumulated += weights[next];
            if (cumulated > uniforms[t] * total)
                break;
        }
        labels[t] = static_cast<std::int32_t>(next);
    }
}

}  // namespace vemfast::models
