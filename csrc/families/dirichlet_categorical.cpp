#include "dirichlet_categorical.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "exec/parallel.hpp"
#include "isa/dispatch.hpp"
#include "vemfast/random.hpp"
#include "vemfast/require.hpp"
#include "vemfast/special.hpp"

namespace vemfast::detail {

namespace {

constexpr double kLeastLog = -690.0;  // a drawn probability is at least e to this

// Words of one block: some thousand numbers, whatever the shape.
std::size_t block_words(std::size_t K) {
    return std::max<std::size_t>(1, 8192 / std::max<std::size_t>(K, 1));
}

}  // namespace

DirichletCategorical::DirichletCategorical(std::size_t n_words, std::size_t n_components,
                                           std::vector<double> eta)
    : V_(n_words), K_(n_components), eta_(std::move(eta)) {
    require(V_ > 0 && K_ > 0, "topics need at least one word and one component, got ", V_, " and ",
            K_);
    require(eta_.size() == 1 || eta_.size() == V_ || eta_.size() == V_ * K_,
            "eta must be one number, ", V_, " (one a word) or ", V_, " x ", K_, "; got ",
            eta_.size(), " numbers");
    for (const double value : eta_)
        require(value > 0 && std::isfinite(value), "eta must be positive and finite, got ", value);
}

template <class Body>
void DirichletCategorical::with_eta(double scale, Body&& body) const {
    const double* eta = eta_.data();
    const std::size_t K = K_;
    if (eta_.size() == 1)
        body([value = scale * eta[0]](std::size_t, std::size_t) { return value; });
    else if (eta_.size() == V_ * K_)
        body([=](std::size_t w, std::size_t k) { return scale * eta[w * K + k]; });
    else
        body([=](std::size_t w, std::size_t) { return scale * eta[w]; });
}

bool DirichletCategorical::is_flat(double scale) const {
    return std::all_of(eta_.begin(), eta_.end(), [&](double x) { return scale * x == 1.0; });
}

double DirichletCategorical::smallest(double scale) const {
    return scale * *std::min_element(eta_.begin(), eta_.end());
}

template <class Body>
void DirichletCategorical::for_each_words(int n_threads, const Poll& poll, Body&& body) const {
    const std::size_t words = block_words(K_);
    const auto n_blocks = static_cast<std::int64_t>((V_ + words - 1) / words);
    exec::parallel_for(n_blocks, n_threads, poll, [&](std::int64_t block, int) {
        const std::size_t first = static_cast<std::size_t>(block) * words;
        body(first, std::min(first + words, V_));
    });
}

template <class Body>
double DirichletCategorical::sum_over_words(int n_threads, const Poll& poll, Body&& body) const {
    const std::size_t words = block_words(K_);
    const auto n_blocks = static_cast<std::int64_t>((V_ + words - 1) / words);
    std::vector<std::vector<double>> scratch(
        static_cast<std::size_t>(exec::n_slots(n_blocks, n_threads)));
    double sum = 0;
    exec::map_reduce(
        n_blocks, 1, n_threads, poll,
        [&](std::int64_t block, int slot, double* out) {
            auto& own = scratch[static_cast<std::size_t>(slot)];
            own.resize(2 * words * K_);
            const std::size_t first = static_cast<std::size_t>(block) * words;
            *out += body(first, std::min(first + words, V_), own.data());
        },
        &sum);
    return sum;
}

std::vector<double> DirichletCategorical::column_sums(const double* values, int n_threads,
                                                      const Poll& poll) const {
    const std::size_t words = block_words(K_);
    const auto n_blocks = static_cast<std::int64_t>((V_ + words - 1) / words);
    std::vector<double> sums(K_);
    exec::map_reduce(
        n_blocks, static_cast<std::int64_t>(K_), n_threads, poll,
        [&](std::int64_t block, int, double* out) {
            const std::size_t first = static_cast<std::size_t>(block) * words;
            const std::size_t end = std::min(first + words, V_);
            for (std::size_t w = first; w < end; ++w) {
                for (std::size_t k = 0; k < K_; ++k)
                    out[k] += values[w * K_ + k];
            }
        },
        sums.data());
    return sums;
}

std::vector<double> DirichletCategorical::eta_sums(double scale) const {
    std::vector<double> sums(K_, 0.0);
    if (eta_.size() == 1) {
        std::fill(sums.begin(), sums.end(), static_cast<double>(V_) * (scale * eta_[0]));
        return sums;
    }
    with_eta(scale, [&](auto eta) {
        for (std::size_t w = 0; w < V_; ++w) {
            for (std::size_t k = 0; k < K_; ++k)
                sums[k] += eta(w, k);
        }
    });
    return sums;
}

// sum_k (log Gamma(sum_w eta) - sum_w log Gamma(eta_wk)).
double DirichletCategorical::log_normaliser(double scale) const {
    const auto V = static_cast<double>(V_);
    const auto K = static_cast<double>(K_);
    double sum = 0;
    if (eta_.size() == 1) {
        const double eta = scale * eta_[0];
        return K * (special::lgamma(V * eta) - V * special::lgamma(eta));
    }
    const double copies = eta_.size() == V_ * K_ ? 1.0 : K;
    for (const double value : eta_)
        sum -= copies * special::lgamma(scale * value);
    for (const double total : eta_sums(scale))
        sum += special::lgamma(total);
    return sum;
}

void DirichletCategorical::posterior(double scale, const double* sstats, int n_threads,
                                     const Poll& poll, double* out) const {
    with_eta(scale, [&](auto eta) {
        for_each_words(n_threads, poll, [&](std::size_t first, std::size_t end) {
            for (std::size_t w = first; w < end; ++w) {
                for (std::size_t k = 0; k < K_; ++k)
                    out[w * K_ + k] = eta(w, k) + sstats[w * K_ + k];
            }
        });
    });
}

void DirichletCategorical::gather(double scale, double less, double factor, const double* sstats,
                                  const std::int32_t* words, std::size_t n, double* out) const {
    with_eta(scale, [&](auto eta) {
        for (std::size_t i = 0; i < n; ++i) {
            const auto w = static_cast<std::size_t>(words[i]);
            for (std::size_t k = 0; k < K_; ++k)
                out[i * K_ + k] = std::max((eta(w, k) - less) + factor * sstats[w * K_ + k], 0.0);
        }
    });
}

void DirichletCategorical::mode(double scale, const double* sstats, const double* previous,
                                int n_threads, const Poll& poll, double* out) const {
    with_eta(scale, [&](auto eta) {
        for_each_words(n_threads, poll, [&](std::size_t first, std::size_t end) {
            for (std::size_t w = first; w < end; ++w) {
                for (std::size_t k = 0; k < K_; ++k)
                    out[w * K_ + k] = std::max(sstats[w * K_ + k] + (eta(w, k) - 1.0), 0.0);
            }
        });
    });
    const std::vector<double> totals = column_sums(out, n_threads, poll);
    const double uniform = 1.0 / static_cast<double>(V_);
    for_each_words(n_threads, poll, [&](std::size_t first, std::size_t end) {
        for (std::size_t w = first; w < end; ++w) {
            for (std::size_t k = 0; k < K_; ++k) {
                double& beta = out[w * K_ + k];
                if (totals[k] > 1e-278)  // a smaller one has no reciprocal
                    beta /= totals[k];
                else
                    beta = previous == nullptr ? uniform : previous[w * K_ + k];
            }
        }
    });
}

void DirichletCategorical::sample(double scale, const double* sstats, std::uint64_t seed,
                                  std::uint32_t iteration, int n_threads, const Poll& poll,
                                  double* out) const {
    // Each number has a stream of its own, so that words may be drawn in any order.
    const auto log_gammas = [&](std::size_t w, double* row) {
        const auto stream_of_word = random::kTableStream + static_cast<std::uint32_t>(w);
        std::vector<double> shape(K_);
        with_eta(scale, [&](auto eta) {
            for (std::size_t k = 0; k < K_; ++k)
                shape[k] = eta(w, k) + sstats[w * K_ + k];
        });
        kernels().lda.draw_small(shape.data(), K_, random::kSmallShape, seed, iteration,
                                 stream_of_word, row);
        for (std::size_t k = 0; k < K_; ++k) {
            if (shape[k] > random::kSmallShape)
                row[k] =
                    random::Stream(seed, iteration, stream_of_word, k).log_gamma_draw(shape[k]);
        }
    };
    const std::size_t words = block_words(K_);
    const std::size_t n_blocks = (V_ + words - 1) / words;
    std::vector<double> largest(n_blocks * K_, -std::numeric_limits<double>::infinity());
    for_each_words(n_threads, poll, [&](std::size_t first, std::size_t end) {
        double* most = &largest[first / words * K_];
        for (std::size_t w = first; w < end; ++w) {
            double* row = out + w * K_;
            log_gammas(w, row);
            for (std::size_t k = 0; k < K_; ++k)
                most[k] = std::max(most[k], row[k]);
        }
    });
    for (std::size_t i = K_; i < largest.size(); ++i)
        largest[i % K_] = std::max(largest[i % K_], largest[i]);
    for_each_words(n_threads, poll, [&](std::size_t first, std::size_t end) {
        for (std::size_t w = first; w < end; ++w) {
            for (std::size_t k = 0; k < K_; ++k)
                out[w * K_ + k] -= largest[k];
        }
        double* block = out + first * K_;
        kernels().special.on_double.exp_nonpositive(block, (end - first) * K_, block);
    });
    const std::vector<double> totals = column_sums(out, n_threads, poll);
    const double least = std::exp(kLeastLog);  // kept above zero, where the density is finite
    for_each_words(n_threads, poll, [&](std::size_t first, std::size_t end) {
        for (std::size_t w = first; w < end; ++w) {
            for (std::size_t k = 0; k < K_; ++k)
                out[w * K_ + k] = std::max(out[w * K_ + k] / totals[k], least);
        }
    });
}

void DirichletCategorical::mean(const double* lambda, int n_threads, const Poll& poll,
                                double* out) const {
    const std::vector<double> totals = column_sums(lambda, n_threads, poll);
    for_each_words(n_threads, poll, [&](std::size_t first, std::size_t end) {
        for (std::size_t w = first; w < end; ++w) {
            for (std::size_t k = 0; k < K_; ++k)
                out[w * K_ + k] = lambda[w * K_ + k] / totals[k];
        }
    });
}

double DirichletCategorical::log_prior(double scale, const double* beta, int n_threads,
                                       const Poll& poll) const {
    if (is_flat(scale))
        return 0.0;
    const double sum =
        sum_over_words(n_threads, poll, [&](std::size_t first, std::size_t end, double*) {
            double part = 0;
            with_eta(scale, [&](auto eta) {
                for (std::size_t w = first; w < end; ++w) {
                    for (std::size_t k = 0; k < K_; ++k) {
                        const double excess = eta(w, k) - 1.0;
                        if (excess != 0.0)
                            part += excess * std::log(beta[w * K_ + k]);
                    }
                }
            });
            return part;
        });
    return sum + log_normaliser(scale);
}

double DirichletCategorical::kl(double scale, const double* lambda, int n_threads,
                                const Poll& poll) const {
    const auto& special_functions = kernels().special.on_double;
    const std::vector<double> totals = column_sums(lambda, n_threads, poll);
    const double inner =
        sum_over_words(n_threads, poll, [&](std::size_t first, std::size_t end, double* scratch) {
            const std::size_t n = (end - first) * K_;
            const double* from = lambda + first * K_;
            special_functions.digamma(from, n, scratch);
            special_functions.lgamma(from, n, scratch + n);
            std::array<double, 4> parts{};  // so many chains hide the latency of additions
            with_eta(scale, [&](auto eta) {
                for (std::size_t w = first; w < end; ++w) {
                    for (std::size_t k = 0; k < K_; ++k) {
                        const std::size_t i = (w - first) * K_ + k;
                        parts[i % 4] += (from[i] - eta(w, k)) * scratch[i] - scratch[n + i];
                    }
                }
            });
            return (parts[0] + parts[1]) + (parts[2] + parts[3]);
        });
    const std::vector<double> prior = eta_sums(scale);
    double sum = inner - log_normaliser(scale);
    for (std::size_t k = 0; k < K_; ++k)
        sum += special::lgamma(totals[k]) - (totals[k] - prior[k]) * special::digamma(totals[k]);
    return sum;
}

double DirichletCategorical::sum_expected_log(const double* lambda, int n_threads,
                                              const Poll& poll) const {
    const auto& special_functions = kernels().special.on_double;
    const std::vector<double> totals = column_sums(lambda, n_threads, poll);
    double sum =
        sum_over_words(n_threads, poll, [&](std::size_t first, std::size_t end, double* scratch) {
            const std::size_t n = (end - first) * K_;
            special_functions.digamma(lambda + first * K_, n, scratch);
            double part = 0;
            for (std::size_t i = 0; i < n; ++i)
                part += scratch[i];
            return part;
        });
    for (const double total : totals)
        sum -= static_cast<double>(V_) * special::digamma(total);
    return sum;
}

double DirichletCategorical::sum_log(const double* beta, int n_threads, const Poll& poll) const {
    const auto& special_functions = kernels().special.on_double;
    return sum_over_words(n_threads, poll,
                          [&](std::size_t first, std::size_t end, double* scratch) {
                              const std::size_t n = (end - first) * K_;
                              special_functions.log(beta + first * K_, n, scratch);
                              double part = 0;
                              for (std::size_t i = 0; i < n; ++i)
                                  part += scratch[i];
                              return part;
                          });
}

double DirichletCategorical::expected_log_density(const double* lambda, const double* sstats,
                                                  int n_threads, const Poll& poll) const {
    const auto& special_functions = kernels().special.on_double;
    std::vector<double> of_totals = column_sums(lambda, n_threads, poll);
    for (double& total : of_totals)
        total = special::digamma(total);
    return sum_over_words(
        n_threads, poll, [&](std::size_t first, std::size_t end, double* scratch) {
            const std::size_t n = (end - first) * K_;
            special_functions.digamma(lambda + first * K_, n, scratch);
            const double* counts = sstats + first * K_;
            double part = 0;
            for (std::size_t w = 0; w < end - first; ++w) {
                for (std::size_t k = 0; k < K_; ++k)
                    part += counts[w * K_ + k] * (scratch[w * K_ + k] - of_totals[k]);
            }
            return part;
        });
}

double DirichletCategorical::log_density(const double* beta, const double* sstats, int n_threads,
                                         const Poll& poll) const {
    const auto& special_functions = kernels().special.on_double;
    return sum_over_words(n_threads, poll,
                          [&](std::size_t first, std::size_t end, double* scratch) {
                              const std::size_t n = (end - first) * K_;
                              special_functions.log(beta + first * K_, n, scratch);
                              const double* counts = sstats + first * K_;
                              double part = 0;
                              for (std::size_t i = 0; i < n; ++i)
                                  part += counts[i] == 0.0 ? 0.0 : counts[i] * scratch[i];
                              return part;
                          });
}

}  // namespace vemfast::detail
