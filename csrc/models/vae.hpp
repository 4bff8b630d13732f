// The variational autoencoder: multi-layer perceptrons as encoder and decoder, trained by Adam.
//
// Weights are one flat array of floats, layer after layer, the encoder's first: W (inputs x
// outputs) and then b (outputs); behind the decoder the log variances of the Gaussian likelihood.
// Rows of a batch are independent but for the sums over them, which run in a fixed order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/vae_task.hpp"
#include "latents/encoder.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::models {

struct VaeShape {
    std::size_t n_features = 0;
    std::size_t n_components = 0;
    std::vector<std::size_t> hidden;  // of the encoder; the decoder's are the reverse
    detail::Activation activation = detail::Activation::relu;
    detail::Likelihood likelihood = detail::Likelihood::bernoulli;
    std::size_t n_variances = 0;  // Gaussian: 1, or n_features
};

enum class Storage : int { none, float32, float64, bytes };

// Rows as they come: dense, row i at values + i * row_stride numbers, NaN (a byte of 255) missing;
// or sparse, where what is not stored is 0.
struct VaeRows {
    std::size_t n_rows = 0;
    std::uint64_t offset = 0;  // global number of the first
    const double* weights = nullptr;
    const void* values = nullptr;
    Storage storage = Storage::float32;  // none: sparse ones
    std::ptrdiff_t row_stride = 0;
    const std::int64_t* indptr = nullptr;  // null: dense
    const std::int32_t* indices = nullptr;
};

struct Layer {
    std::size_t inputs, outputs, offset;  // W at offset, b right behind
};

struct AdamSettings {
    double learning_rate = 1e-3;
    double decay1 = 0.9;
    double decay2 = 0.999;
    double epsilon = 1e-8;
    float least_log_variance = 0;
};

// Weights and what Adam remembers, changed in place.
struct VaeTraining {
    float* weights = nullptr;
    float* first = nullptr;
    float* second = nullptr;
    std::int64_t updates = 0;
    std::int64_t failures = 0;  // in a row, of updates that were left out
    std::int64_t halvings = 0;
};

struct VaePass {
    detail::LatentRule rule;
    std::uint64_t seed = 0;
    std::uint32_t iteration = 0;
    std::size_t batch_size = 128;
    int n_threads = 1;
};

// The sum of the objective over rows (times their weights), and of the weights.
struct VaeSums {
    double bound = 0;
    double weight = 0;
};

inline constexpr std::int64_t kMostFailures = 3;

class VEMFAST_API VaeNetwork {
  public:
    explicit VaeNetwork(VaeShape shape);

    const VaeShape& shape() const { return shape_; }
    std::size_t size() const { return size_; }
    const std::vector<Layer>& encoder() const { return encoder_; }
    const std::vector<Layer>& decoder() const { return decoder_; }

    // A step of Adam for each batch of the rows, which come in the order of `order`: positions in
    // the blocks one behind the other. Ends early after kMostFailures updates in a row that were
    // not finite.
    VaeSums sweep(VaeTraining& training, const AdamSettings& adam,
                  const std::vector<VaeRows>& blocks, const std::int64_t* order, std::size_t n_rows,
                  const VaePass& pass, const Poll& poll) const;

    // Adds the gradient of the rows' bounds to `gradient` (size()).
    VaeSums gradient(const float* weights, const VaeRows& rows, const VaePass& pass,
                     const Poll& poll, double* gradient) const;

    // Means and held log variances of q(z|x), n_rows x n_components each.
    void encode(const float* weights, const VaeRows& rows, int n_threads, const Poll& poll,
                float* mean, float* log_variance) const;

    // The decoder's outputs, n_rows x n_features: logits, means or log rates.
    void decode(const float* weights, const float* z, std::size_t n_rows, int n_threads,
                const Poll& poll, float* out) const;

    // log p(x|z) of each row; with `of_z`, its gradient too (n_rows x n_components).
    void log_density(const float* weights, const VaeRows& rows, const float* z, int n_threads,
                     const Poll& poll, double* out, float* of_z) const;

  private:
    VaeShape shape_;
    std::vector<Layer> encoder_, decoder_;
    std::size_t size_ = 0;
};

}  // namespace vemfast::models
