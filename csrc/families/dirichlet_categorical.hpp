// Topics: K distributions over V words with Dirichlet priors, the O(K V) half of latent Dirichlet
// allocation. All matrices are V x K, the topic the fast axis. Sums run over fixed blocks of words,
// so that they have the same bits for any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::detail {

class VEMFAST_API DirichletCategorical {
  public:
    // eta: one number, one a word (V), or one a word and topic (V x K).
    DirichletCategorical(std::size_t n_words, std::size_t n_components, std::vector<double> eta);

    std::size_t n_words() const { return V_; }
    std::size_t n_components() const { return K_; }
    std::size_t size() const { return V_ * K_; }

    // Everything below takes the prior times `scale`.
    bool is_flat(double scale) const;
    double smallest(double scale) const;

    // lambda = scale eta + sstats.
    void posterior(double scale, const double* sstats, int n_threads, const Poll& poll,
                   double* out) const;
    // The same of single words, n x K: scale eta - less + factor sstats, at least 0.
    void gather(double scale, double less, double factor, const double* sstats,
                const std::int32_t* words, std::size_t n, double* out) const;
    // Sums over the words of scale eta: K numbers.
    std::vector<double> eta_sums(double scale) const;
    // The posterior mode; a topic without mass keeps `previous`, or is uniform where that is null.
    void mode(double scale, const double* sstats, const double* previous, int n_threads,
              const Poll& poll, double* out) const;
    // A draw from Dirichlet(scale eta + sstats), each number from a stream of its own.
    void sample(double scale, const double* sstats, std::uint64_t seed, std::uint32_t iteration,
                int n_threads, const Poll& poll, double* out) const;
    // E[beta] of a posterior.
    void mean(const double* lambda, int n_threads, const Poll& poll, double* out) const;

    // log p(beta), with all constants; 0 where the prior is flat.
    double log_prior(double scale, const double* beta, int n_threads, const Poll& poll) const;
    double kl(double scale, const double* lambda, int n_threads, const Poll& poll) const;

    // sum_wk E[log beta_wk] of a posterior, or the sum of log beta of a point.
    double sum_expected_log(const double* lambda, int n_threads, const Poll& poll) const;
    double sum_log(const double* beta, int n_threads, const Poll& poll) const;
    // <sstats, E[log beta]> and <sstats, log beta>, with 0 log 0 = 0.
    double expected_log_density(const double* lambda, const double* sstats, int n_threads,
                                const Poll& poll) const;
    double log_density(const double* beta, const double* sstats, int n_threads,
                       const Poll& poll) const;

    // Sums over the words: K numbers.
    std::vector<double> column_sums(const double* values, int n_threads, const Poll& poll) const;

  private:
    // body(eta), eta(w, k) the scaled prior: one loop for each shape that it can have.
    template <class Body>
    void with_eta(double scale, Body&& body) const;
    // The sum over fixed blocks of words of body(first, end, scratch of 2 block sizes).
    template <class Body>
    double sum_over_words(int n_threads, const Poll& poll, Body&& body) const;
    template <class Body>
    void for_each_words(int n_threads, const Poll& poll, Body&& body) const;
    double log_normaliser(double scale) const;

    std::size_t V_, K_;
    std::vector<double> eta_;
};

}  // namespace vemfast::detail
