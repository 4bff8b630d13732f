#include "models/vae.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/vae_batch.hpp"
#include "vemfast/require.hpp"

namespace vemfast::models {

namespace {

constexpr std::size_t kRowsOfATile = 256;  // of what is not trained by batches

std::vector<Layer> layers(const std::vector<std::size_t>& widths, std::size_t& offset) {
    std::vector<Layer> found;
    for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
        found.push_back({widths[i], widths[i + 1], offset});
        offset += (widths[i] + 1) * widths[i + 1];
    }
    return found;
}

std::size_t tile_of(std::size_t n_rows) {
    return std::min(kRowsOfATile, std::max<std::size_t>(n_rows, 1));
}

// `count` arrays in panels, zeros, the first line of each at the start of a cache line.
class PanelArrays {
  public:
    PanelArrays(const VaePanels& panels, std::size_t count)
        : size_(panels.size()), memory_(exec::allocate(size_ * count * sizeof(float))) {
        std::fill_n((*this)[0], size_ * count, 0.0F);
    }
    float* operator[](std::size_t i) { return static_cast<float*>(memory_.get()) + i * size_; }

  private:
    std::size_t size_;
    exec::Memory memory_;
};

// The next step, but for what depends on the batch.
detail::AdamTask next_step(const AdamSettings& adam, const VaeTraining& training) {
    const auto t = static_cast<double>(training.updates + 1);
    const double rate = adam.learning_rate * std::exp2(-static_cast<double>(training.halvings));
    return {.rate = static_cast<float>(rate / (1.0 - std::pow(adam.decay1, t))),
            .root_scale = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(adam.decay2, t))),
            .one_minus_1 = static_cast<float>(1.0 - adam.decay1),
            .one_minus_2 = static_cast<float>(1.0 - adam.decay2),
            .epsilon = static_cast<float>(adam.epsilon)};
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
    const std::size_t most = std::max<std::size_t>(std::min(pass.batch_size, n_rows), 1);
    const VaePanels panels(*this);
    VaeBatch batch(*this, panels, most, pass.n_threads, poll);
    PanelArrays arrays(panels, 4);
    float* const flat[] = {training.weights, training.first, training.second};
    for (std::size_t i = 0; i < 3; ++i)
        panels.pack(flat[i], arrays[i]);
    VaeTraining counts = training;  // what an interrupted pass leaves alone
    VaeSums total;
    for (std::size_t first = 0; first < n_rows; first += most) {
        interruption_point();
        batch.take(blocks, order + first, std::min(most, n_rows - first));
        VaeStep step{next_step(adam, counts), arrays[3], adam.least_log_variance};
        step.adam.weights = arrays[0];
        step.adam.first = arrays[1];
        step.adam.second = arrays[2];
        const VaeStepped stepped = batch.train(pass, step);
        if (stepped.sums.weight <= 0)
            continue;
        if (stepped.updated) {
            ++counts.updates;
            counts.failures = 0;
            total.bound += stepped.sums.bound;
            total.weight += stepped.sums.weight;
        } else {
            ++counts.halvings;
            if (++counts.failures >= kMostFailures)
                break;
        }
    }
    for (std::size_t i = 0; i < 3; ++i)
        panels.unpack(arrays[i], flat[i]);
    training = counts;
    return total;
}

VaeSums VaeNetwork::gradient(const float* weights, const VaeRows& rows, const VaePass& pass,
                             const Poll& poll, double* gradient) const {
    const std::size_t most = std::min(pass.batch_size, std::max<std::size_t>(rows.n_rows, 1));
    const VaePanels panels(*this);
    VaeBatch batch(*this, panels, most, pass.n_threads, poll);
    PanelArrays arrays(panels, 2);
    panels.pack(weights, arrays[0]);
    std::vector<float> own(size_);
    VaeSums total;
    for (std::size_t first = 0; first < rows.n_rows; first += most) {
        interruption_point();
        batch.take(rows, first, std::min(most, rows.n_rows - first));
        const VaeSums sums = batch.gradient(pass, arrays[0], arrays[1]);
        total.bound += sums.bound;
        total.weight += sums.weight;
        panels.unpack(arrays[1], own.data());
        for (std::size_t i = 0; i < size_; ++i)
            gradient[i] += own[i];
    }
    return total;
}

void VaeNetwork::encode(const float* weights, const VaeRows& rows, int n_threads, const Poll& poll,
                        float* mean, float* log_variance) const {
    const std::size_t Z = shape_.n_components;
    const VaePanels panels(*this);
    VaeBatch batch(*this, panels, tile_of(rows.n_rows), n_threads, poll);
    PanelArrays arrays(panels, 1);
    panels.pack_encoder(weights, arrays[0]);
    for (std::size_t first = 0; first < rows.n_rows; first += kRowsOfATile) {
        interruption_point();
        batch.take(rows, first, std::min(kRowsOfATile, rows.n_rows - first));
        batch.encode(arrays[0]);
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
    const VaePanels panels(*this);
    VaeBatch batch(*this, panels, tile_of(n_rows), n_threads, poll);
    PanelArrays arrays(panels, 1);
    panels.pack_decoder(weights, arrays[0]);
    for (std::size_t first = 0; first < n_rows; first += kRowsOfATile) {
        interruption_point();
        batch.decode(arrays[0], z + first * Z, std::min(kRowsOfATile, n_rows - first));
        for (std::size_t i = 0; i < batch.rows(); ++i)
            std::copy_n(batch.decoded(i), D, out + (first + i) * D);
    }
}

void VaeNetwork::log_density(const float* weights, const VaeRows& rows, const float* z,
                             int n_threads, const Poll& poll, double* out, float* of_z) const {
    const std::size_t Z = shape_.n_components;
    const VaePanels panels(*this);
    VaeBatch batch(*this, panels, tile_of(rows.n_rows), n_threads, poll);
    PanelArrays arrays(panels, 1);
    panels.pack_decoder(weights, arrays[0]);
    for (std::size_t first = 0; first < rows.n_rows; first += kRowsOfATile) {
        interruption_point();
        batch.take(rows, first, std::min(kRowsOfATile, rows.n_rows - first));
        batch.score(arrays[0], z + first * Z, of_z != nullptr);
        for (std::size_t i = 0; i < batch.rows(); ++i) {
            out[first + i] = batch.log_density(i);
            if (of_z != nullptr)
                std::copy_n(batch.of_codes(i), Z, of_z + (first + i) * Z);
        }
    }
}

}  // namespace vemfast::models
