// Entry points of the kernels of latent Dirichlet allocation of one level.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/lda_task.hpp"

namespace vemfast {

template <class T>
struct LdaEntry {
    // Rows of words [first, end) and their shifts. `scratch`: 2 K doubles and two vectors.
    void (*posterior_rows)(const double* lambda, const double* digamma_sums, std::size_t K,
                           std::size_t first, std::size_t end, std::size_t ld, double* scratch,
                           T* rows, double* shift);
    void (*point_rows)(const double* beta, std::size_t K, std::size_t first, std::size_t end,
                       std::size_t ld, double* scratch, T* rows, double* shift);
    // Documents [first, end), none of more than `longest` distinct words.
    void (*documents)(const detail::LdaTask<T>& task, std::size_t first, std::size_t end,
                      std::size_t longest, void* memory, double* partial);
    std::size_t (*workspace_bytes)(std::size_t longest, std::size_t ld);
    // Adds the chunk's statistics of words [first, end) to sstats (n_words x K).
    void (*words)(const detail::LdaTask<T>& task, const detail::WordIndex& index, std::size_t first,
                  std::size_t end, double* sstats);
    // <sstats, E[log beta]> of words [first, end).
    double (*log_joint)(const detail::TopicRows<T>& topics, const double* sstats, std::size_t first,
                        std::size_t end);
};

struct LdaKernels {
    LdaEntry<float> on_float;
    LdaEntry<double> on_double;
    // out_d = sum_w c_dw log(theta_d . beta_w) of documents [first, end).
    void (*predict)(const detail::Documents& documents, const double* theta, const double* topics,
                    std::size_t K, std::size_t first, std::size_t end, double* out);
    // out_k = random::Stream(seed, iteration, stream, k).log_gamma_of_small(shape_k), k < K, where
    // the shape is at most `most`; anything elsewhere.
    void (*draw_small)(const double* shape, std::size_t K, double most, std::uint64_t seed,
                       std::uint32_t iteration, std::uint32_t stream, double* out);
};

}  // namespace vemfast
