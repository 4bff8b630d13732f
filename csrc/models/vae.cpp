#include "models/vae.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "models/vae_batch.hpp"
#include "vemfast/require.hpp"

namespace vemfast::models {

namespace {

constexpr std::size_t kRowsOfATile = 256;  // of what is not trained by batches
// Of a row: Adam squares it in single precision.
constexpr double kLargestGradient = 1e18;

std::vector<Layer> layers(const std::vector<std::size_t>& widths, std::size_t& offset) {
    std::vector<Layer> found;
    for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
        found.push_back({widths[i], widths[i + 1], offset});
        offset += (widths[i] + 1) * widths[i + 1];
    }
    return found;
}

// One step of Adam, unless something is not finite.
void update(const VaeNetwork& network, VaeBatch& batch, VaeTraining& training,
            const AdamSettings& adam, const VaeSums& sums, const float* gradient) {
    const auto limit = static_cast<float>(std::min(
        kLargestGradient * sums.weight, static_cast<double>(std::numeric_limits<float>::max())));
    if (!std::isfinite(sums.bound) || !batch.below(gradient, limit)) {
        ++training.failures;
        ++training.halvings;
        return;
    }
    const auto t = static_cast<double>(++training.updates);
    const double rate = adam.learning_rate * std::exp2(-static_cast<double>(training.halvings));
    batch.adam({.gradient = gradient,
                .weights = training.weights,
                .first = training.first,
                .second = training.second,
                .scale = static_cast<float>(1.0 / sums.weight),
                .rate = static_cast<float>(rate / (1.0 - std::pow(adam.decay1, t))),
                .root_scale = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(adam.decay2, t))),
                .one_minus_1 = static_cast<float>(1.0 - adam.decay1),
                .one_minus_2 = static_cast<float>(1.0 - adam.decay2),
                .epsilon = static_cast<float>(adam.epsilon)});
    const std::size_t variances = network.shape().n_variances;
    float* own = training.weights + network.size() - variances;
    for (std::size_t d = 0; d < variances; ++d)
        own[d] = std::max(own[d], adam.least_log_variance);
    training.failures = 0;
}

// The batch's gradient, after gather().
VaeSums batch_gradient(VaeBatch& batch, const float* weights, const VaePass& pass,
                       float* gradient) {
    batch.encode(weights);
    batch.draw(pass);
    batch.score(weights, true);
    batch.backward_decoder(weights, gradient);
    batch.backward_encoder(weights, pass, gradient);
    return batch.sums();
}

}  // namespace

VaeNetwork::VaeNetwork(VaeShape shape) : shape_(std::move(shape)) {
    require(shape_.n_features >= 1 && shape_.n_components >= 1,
            "n_features and n_components must be >= 1");
    require(shape_.n_variances == 0 || shape_.n_variances == 1 ||
                shape_.n_variances == shape_.n_features,
            "there are ", shape_.n_variances, " variances for ", shape_.n_features, " features");
    std::vector<std::size_t> widths{shape_.n_features};
    widths.insert(widths.end(), shape_.hidden.begin(), shape_.hidden.end());
    widths.push_back(2 * shape_.n_components);
    for (const std::size_t width : widths)
        require(width >= 1, "a layer has no units");
    encoder_ = layers(widths, size_);
    widths.back() = shape_.n_components;
    std::reverse(widths.begin(), widths.end());
    decoder_ = layers(widths, size_);
    size_ += shape_.n_variances;
}

VaeSums VaeNetwork::sweep(VaeTraining& training, const AdamSettings& adam,
                          const std::vector<VaeRows>& blocks, const std::int64_t* order,
                          std::size_t n_rows, const VaePass& pass, const Poll& poll) const {
    const std::size_t most = std::min(std::max<std::size_t>(pass.batch_size, 1), n_rows);
    VaeBatch batch(*this, std::max<std::size_t>(most, 1), pass.n_threads, poll);
    const exec::Memory memory = exec::allocate(size_ * sizeof(float));
    auto* gradient = static_cast<float*>(memory.get());
    VaeSums total;
    for (std::size_t first = 0; first < n_rows; first += most) {
        interruption_point();
        batch.gather(blocks, order + first, std::min(most, n_rows - first));
        const VaeSums sums = batch_gradient(batch, training.weights, pass, gradient);
        if (sums.weight <= 0)
            continue;
        update(*this, batch, training, adam, sums, gradient);
        if (training.failures >= kMostFailures)
            break;
        if (training.failures == 0) {
            total.bound += sums.bound;
            total.weight += sums.weight;
        }
    }
    return total;
}

VaeSums VaeNetwork::gradient(const float* weights, const VaeRows& rows, const VaePass& pass,
                             const Poll& poll, double* gradient) const {
    const std::size_t most = std::min(pass.batch_size, std::max<std::size_t>(rows.n_rows, 1));
    VaeBatch batch(*this, most, pass.n_threads, poll);
    std::vector<float> own(size_);
    VaeSums total;
    for (std::size_t first = 0; first < rows.n_rows; first += most) {
        interruption_point();
        batch.gather(rows, first, std::min(most, rows.n_rows - first));
        const VaeSums sums = batch_gradient(batch, weights, pass, own.data());
        total.bound += sums.bound;
        total.weight += sums.weight;
        for (std::size_t i = 0; i < size_; ++i)
            gradient[i] += own[i];
    }
    return total;
}

void VaeNetwork::encode(const float* weights, const VaeRows& rows, int n_threads, const Poll& poll,
                        float* mean, float* log_variance) const {
    const std::size_t Z = shape_.n_components;
    VaeBatch batch(*this, std::min(kRowsOfATile, std::max<std::size_t>(rows.n_rows, 1)), n_threads,
                   poll);
    for (std::size_t first = 0; first < rows.n_rows; first += kRowsOfATile) {
        interruption_point();
        batch.gather(rows, first, std::min(kRowsOfATile, rows.n_rows - first));
        batch.encode(weights);
        for (std::size_t i = 0; i < batch.rows(); ++i) {
            const float* own = batch.encoded(i);
            std::copy_n(own, Z, mean + (first + i) * Z);
            std::transform(own + Z, own + 2 * Z, log_variance + (first + i) * Z,
                           detail::held_log_variance);
        }
    }
}

void VaeNetwork::decode(const float* weights, const float* z, std::size_t n_rows, int n_threads,
                        const Poll& poll, float* out) const {
    const std::size_t Z = shape_.n_components, D = shape_.n_features;
    VaeBatch batch(*this, std::min(kRowsOfATile, std::max<std::size_t>(n_rows, 1)), n_threads,
                   poll);
    for (std::size_t first = 0; first < n_rows; first += kRowsOfATile) {
        interruption_point();
        batch.take_codes(z + first * Z, std::min(kRowsOfATile, n_rows - first));
        batch.decode(weights);
        for (std::size_t i = 0; i < batch.rows(); ++i)
            std::copy_n(batch.decoded(i), D, out + (first + i) * D);
    }
}

void VaeNetwork::log_density(const float* weights, const VaeRows& rows, const float* z,
                             int n_threads, const Poll& poll, double* out, float* of_z) const {
    const std::size_t Z = shape_.n_components;
    VaeBatch batch(*this, std::min(kRowsOfATile, std::max<std::size_t>(rows.n_rows, 1)), n_threads,
                   poll);
    for (std::size_t first = 0; first < rows.n_rows; first += kRowsOfATile) {
        interruption_point();
        batch.gather(rows, first, std::min(kRowsOfATile, rows.n_rows - first));
        batch.set_codes(z + first * Z);
        batch.score(weights, false);
        for (std::size_t i = 0; i < batch.rows(); ++i)
            out[first + i] = batch.log_density(i);
        if (of_z == nullptr)
            continue;
        batch.backward_decoder(weights, nullptr);
        for (std::size_t i = 0; i < batch.rows(); ++i)
            std::copy_n(batch.of_codes(i), Z, of_z + (first + i) * Z);
    }
}

}  // namespace vemfast::models
