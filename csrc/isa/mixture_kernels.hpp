// Entry points of the mixture kernels of one level.
#pragma once

#include <cstddef>

#include "kernels/task.hpp"

namespace vemfast {

template <class T>
struct MixtureEntry {
    // Adds the statistics of rows [first, first + n_rows) to `stats`.
    void (*estep)(const detail::MixtureTask<T>& task, std::size_t first, std::size_t n_rows,
                  std::size_t tile_rows, void* memory, double* stats);
    void (*assign)(const detail::MixtureTask<T>& task, std::size_t first, std::size_t n_rows,
                   std::size_t tile_rows, void* memory, const detail::AssignOutputs& out);
    std::size_t (*workspace_bytes)(std::size_t tile_rows, std::size_t features, std::size_t K);
    // What an E-step or assignment of rows with missing values needs beyond that; `matrix`: the
    // table's covariances are full or tied.
    std::size_t (*missing_bytes)(std::size_t tile_rows, std::size_t n_features, std::size_t K,
                                 bool matrix);
};

struct MixtureKernels {
    MixtureEntry<float> on_float;
    MixtureEntry<double> on_double;
    // The layout of GaussianScores::factor from one lower triangular matrix of order n.
    void (*pack_triangle)(const double* lower, std::size_t n, double* out);
    // k-means: distances to one centre; to candidates of a seed, and their potentials; a seed
    // taken; the sums of few clusters in few features. See kernels/kmeans.hpp.
    void (*distances)(const detail::ClusterRows& rows, const double* centre, double* out);
    void (*potentials)(const detail::ClusterRows& rows, const double* nearest,
                       const double* candidates, std::size_t n_candidates, double* distances,
                       double* potentials);
    void (*take_seed)(const detail::ClusterRows& rows, const double* distances, double* nearest,
                      double* mass);
    double (*cluster_few)(const detail::ClusterRows& rows, const double* centres, std::size_t K,
                          double* sums, double* mass);
};

}  // namespace vemfast
