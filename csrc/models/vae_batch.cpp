#include "models/vae_batch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "exec/parallel.hpp"
#include "isa/dispatch.hpp"

namespace vemfast::models {

namespace {

using detail::kVaePad;
using detail::Likelihood;

constexpr std::size_t kRowsOfAnItem = 16;
constexpr std::size_t kPanelsOfAnItem = 8;
constexpr std::size_t kWeightsOfAnItem = 1 << 14;
// Products of fewer operations (a batch, forward and back) do not gain by a second thread.
constexpr double kWorthThreads = 8e6;

std::size_t rounded_up(std::size_t n, std::size_t step) {
    return (n + step - 1) / step * step;
}

std::size_t items(std::size_t n, std::size_t step) {
    return (n + step - 1) / step;
}

template <class T>
bool copy_numbers(const T* from, std::size_t n, float* to) {
    int missing = 0;
    for (std::size_t d = 0; d < n; ++d) {
        to[d] = static_cast<float>(from[d]);
        missing += std::isnan(from[d]) ? 1 : 0;
    }
    return missing > 0;
}

bool copy_bytes(const unsigned char* from, std::size_t n, float* to) {
    constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
    int missing = 0;
    for (std::size_t d = 0; d < n; ++d) {
        to[d] = from[d] == 255 ? kNaN : static_cast<float>(from[d]);
        missing += from[d] == 255 ? 1 : 0;
    }
    return missing > 0;
}

double operations(const VaeNetwork& network, std::size_t rows) {
    double weights = 0;
    for (const auto* layers : {&network.encoder(), &network.decoder()}) {
        for (const Layer& layer : *layers)
            weights += static_cast<double>(layer.inputs) * static_cast<double>(layer.outputs);
    }
    return 6.0 * weights * static_cast<double>(rows);
}

}  // namespace

VaeBatch::VaeBatch(const VaeNetwork& network, std::size_t most_rows, int n_threads,
                   const Poll& poll)
    : network_(network),
      kernels_(kernels().vae),
      poll_(poll),
      most_rows_(most_rows),
      n_threads_(operations(network, most_rows) < kWorthThreads ? 1 : std::max(n_threads, 1)),
      weights_(most_rows, 1.0),
      ones_(most_rows, 1.0),
      latent_terms_(most_rows),
      densities_(most_rows),
      global_rows_(most_rows),
      has_missing_(std::max(most_rows, items(network.size(), kWeightsOfAnItem))) {
    const VaeShape& shape = network.shape();
    const std::size_t D = shape.n_features, Z = shape.n_components;
    std::size_t widest = std::max(D, 2 * Z);
    for (const std::size_t width : shape.hidden)
        widest = std::max(widest, width);
    const std::size_t row_panels = rounded_up(most_rows, kernels_.panel_rows);
    const std::size_t column_panels = rounded_up(widest, kernels_.panel_rows);
    const std::size_t panel = rounded_up(kernels_.panel_floats, 16);
    const std::size_t wide = rounded_up(widest, kVaePad);

    std::size_t total = 0;
    const auto matrices = [&](std::size_t count, std::size_t width) {
        total += count * most_rows * rounded_up(width, kVaePad);
    };
    matrices(3, D);       // x, what the encoder sees of it, what is observed
    matrices(3, Z);       // z, its gradient, noise
    matrices(1, 2 * Z);   // the gradient by the encoder's outputs
    matrices(2, widest);  // gradients by sums, of a layer and of the one below
    for (const auto* layers : {&network.encoder(), &network.decoder()}) {
        for (const Layer& layer : *layers)
            matrices(2, layer.outputs);
    }
    const std::size_t left = rounded_up(row_panels * widest, 16);
    const std::size_t other = rounded_up(column_panels * most_rows, 16);
    total += left + other + panel * static_cast<std::size_t>(n_threads_) + 3 * wide;
    memory_ = exec::allocate(total * sizeof(float));

    auto* at = static_cast<float*>(memory_.get());
    std::fill_n(at, total, 0.0F);
    x_ = padded(D, at);
    seen_ = padded(D, at);
    observed_ = padded(D, at);
    z_ = padded(Z, at);
    of_codes_ = padded(Z, at);
    noise_ = padded(Z, at);
    of_encoded_ = padded(2 * Z, at);
    for (Padded& sums : of_sums_)
        sums = padded(widest, at);
    encoder_ = levels(network.encoder(), at);
    decoder_ = levels(network.decoder(), at);
    const auto take = [&](std::size_t floats) {
        float* own = at;
        at += floats;
        return own;
    };
    packed_left_ = take(left);
    packed_other_ = take(other);
    panels_ = take(panel * static_cast<std::size_t>(n_threads_));
    precisions_ = take(wide);
    normalisers_ = take(wide);
    of_log_variances_ = take(wide);
    strips_.resize(items(D, kernels_.panel_columns) * most_rows);
}

Padded VaeBatch::padded(std::size_t width, float*& at) const {
    const Padded found{at, rounded_up(width, kVaePad)};
    at += most_rows_ * found.ld;
    return found;
}

std::vector<VaeBatch::Level> VaeBatch::levels(const std::vector<Layer>& layers, float*& at) const {
    std::vector<Level> found;
    for (const Layer& layer : layers) {
        const Padded out = padded(layer.outputs, at);
        found.push_back({layer, out, padded(layer.outputs, at)});
    }
    return found;
}

template <class Work>
void VaeBatch::parallel(std::size_t n, const Work& work) {
    if (n_threads_ == 1) {  // small batches: nothing to set up
        for (std::size_t i = 0; i < n; ++i)
            work(i, 0);
        return;
    }
    exec::parallel_for(static_cast<std::int64_t>(n), n_threads_, poll_,
                       [&](std::int64_t i, int slot) {
                           work(static_cast<std::size_t>(i), static_cast<std::size_t>(slot));
                       });
}

// ---- rows -----------------------------------------------------------------------------------

const VaeRows* VaeBatch::locate(std::int64_t position, std::size_t& row) const {
    const auto after = std::upper_bound(first_of_block_.begin(), first_of_block_.end(), position);
    const auto block = static_cast<std::size_t>(after - first_of_block_.begin()) - 1;
    row = static_cast<std::size_t>(position - first_of_block_[block]);
    return &(*blocks_)[block];
}

void VaeBatch::gather(const std::vector<VaeRows>& blocks, const std::int64_t* order,
                      std::size_t n) {
    rows_ = n;
    if (blocks_ != &blocks) {
        blocks_ = &blocks;
        first_of_block_.clear();
        std::int64_t first = 0;
        for (const VaeRows& block : blocks) {
            first_of_block_.push_back(first);
            first += static_cast<std::int64_t>(block.n_rows);
        }
    }
    parallel(items(n, kRowsOfAnItem), [&](std::size_t item, std::size_t) {
        const std::size_t end = std::min(n, (item + 1) * kRowsOfAnItem);
        for (std::size_t i = item * kRowsOfAnItem; i < end; ++i) {
            std::size_t row = 0;
            const VaeRows* block = locate(order[i], row);
            gather_row(*block, row, i);
        }
    });
    finish_gather();
}

void VaeBatch::gather(const VaeRows& block, std::size_t first, std::size_t n) {
    rows_ = n;
    parallel(items(n, kRowsOfAnItem), [&](std::size_t item, std::size_t) {
        const std::size_t end = std::min(n, (item + 1) * kRowsOfAnItem);
        for (std::size_t i = item * kRowsOfAnItem; i < end; ++i)
            gather_row(block, first + i, i);
    });
    finish_gather();
}

void VaeBatch::gather_row(const VaeRows& block, std::size_t row, std::size_t i) {
    const std::size_t D = network_.shape().n_features;
    float* to = x_.row(i);
    bool missing = false;
    if (block.indptr != nullptr) {
        std::fill_n(to, D, 0.0F);
        for (std::int64_t e = block.indptr[row]; e < block.indptr[row + 1]; ++e) {
            float value = 1;
            if (block.storage == Storage::float32)
                value = static_cast<const float*>(block.values)[e];
            else if (block.storage == Storage::float64)
                value = static_cast<float>(static_cast<const double*>(block.values)[e]);
            to[block.indices[e]] = value;
            missing = missing || std::isnan(value);
        }
    } else {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * block.row_stride;
        if (block.storage == Storage::float32)
            missing = copy_numbers(static_cast<const float*>(block.values) + at, D, to);
        else if (block.storage == Storage::float64)
            missing = copy_numbers(static_cast<const double*>(block.values) + at, D, to);
        else
            missing = copy_bytes(static_cast<const unsigned char*>(block.values) + at, D, to);
    }
    has_missing_[i] = missing ? 1 : 0;
    weights_[i] = block.weights == nullptr ? 1.0 : block.weights[row];
    global_rows_[i] = block.offset + row;
}

void VaeBatch::finish_gather() {
    const std::size_t D = network_.shape().n_features;
    any_missing_ =
        std::any_of(has_missing_.begin(), has_missing_.begin() + static_cast<std::ptrdiff_t>(rows_),
                    [](unsigned char some) { return some != 0; });
    const bool of_counts = network_.shape().likelihood == Likelihood::poisson;
    if (!any_missing_ && !of_counts)
        return;
    parallel(rows_, [&](std::size_t i, std::size_t) {
        float* x = x_.row(i);
        float* observed = observed_.row(i);
        for (std::size_t d = 0; any_missing_ && d < D; ++d) {
            observed[d] = std::isnan(x[d]) ? 0.0F : 1.0F;
            x[d] = std::isnan(x[d]) ? 0.0F : x[d];
        }
        if (of_counts)
            kernels_.log1p(x, D, seen_.row(i));
    });
}

void VaeBatch::take_codes(const float* z, std::size_t n) {
    rows_ = n;
    set_codes(z);
}

void VaeBatch::set_codes(const float* z) {
    const std::size_t Z = network_.shape().n_components;
    for (std::size_t i = 0; i < rows_; ++i)
        std::copy_n(z + i * Z, Z, z_.row(i));
}

// ---- forward ---------------------------------------------------------------------------------

void VaeBatch::pack(const Padded& from, std::size_t width) {
    const std::size_t panels = items(rows_, kernels_.panel_rows);
    parallel(items(panels, kPanelsOfAnItem), [&](std::size_t item, std::size_t) {
        const std::size_t first = item * kPanelsOfAnItem;
        kernels_.pack(from.data, from.ld, 1, rows_, width, first,
                      std::min(panels, first + kPanelsOfAnItem), packed_left_);
    });
}

void VaeBatch::layer(Level& level, const Padded& input, const float* weights, bool is_last) {
    pack(input, level.layer.inputs);
    const detail::LayerTask task{
        .packed = packed_left_,
        .rows = rows_,
        .inputs = level.layer.inputs,
        .outputs = level.layer.outputs,
        .coefs = weights + level.layer.offset,
        .intercepts = weights + level.layer.offset + level.layer.inputs * level.layer.outputs,
        .activation = is_last ? detail::Activation::identity : network_.shape().activation,
        .out = level.out.data,
        .slope = level.slope.data,
        .ld = level.out.ld};
    const std::size_t panel = rounded_up(kernels_.panel_floats, 16);
    parallel(items(task.outputs, kernels_.panel_columns), [&](std::size_t strip, std::size_t slot) {
        kernels_.layer(task, strip, panels_ + slot * panel);
    });
}

void VaeBatch::forward(std::vector<Level>& levels, std::size_t last, const Padded& input,
                       const float* weights) {
    for (std::size_t i = 0; i < last; ++i)
        layer(levels[i], i == 0 ? input : levels[i - 1].out, weights, i + 1 == levels.size());
}

void VaeBatch::encode(const float* weights) {
    const bool of_counts = network_.shape().likelihood == Likelihood::poisson;
    forward(encoder_, encoder_.size(), of_counts ? seen_ : x_, weights);
}

void VaeBatch::draw(const VaePass& pass) {
    const std::size_t Z = network_.shape().n_components;
    parallel(items(rows_, kRowsOfAnItem), [&](std::size_t item, std::size_t) {
        const std::size_t end = std::min(rows_, (item + 1) * kRowsOfAnItem);
        for (std::size_t i = item * kRowsOfAnItem; i < end; ++i) {
            if (!pass.rule.hard)
                detail::latent_noise(pass.seed, pass.iteration, global_rows_[i], Z, noise_.row(i));
            latent_terms_[i] =
                detail::latent_forward(pass.rule, encoded(i), noise_.row(i), Z, z_.row(i));
        }
    });
}

void VaeBatch::decode(const float* weights) {
    forward(decoder_, decoder_.size(), z_, weights);
}

void VaeBatch::score(const float* weights, bool weighted) {
    const VaeShape& shape = network_.shape();
    const std::size_t D = shape.n_features, last = decoder_.size() - 1;
    forward(decoder_, last, z_, weights);
    const Level& level = decoder_[last];
    const Padded& input = last == 0 ? z_ : decoder_[last - 1].out;
    pack(input, level.layer.inputs);
    const float* log_variances = weights + network_.size() - shape.n_variances;
    for (std::size_t d = 0; d < D && shape.n_variances > 0; ++d) {
        const double own = log_variances[shape.n_variances == 1 ? 0 : d];
        precisions_[d] = static_cast<float>(std::exp(-own));
        normalisers_[d] = static_cast<float>(-0.5 * (std::log(2.0 * std::numbers::pi) + own));
    }
    detail::LikelihoodTask task;
    task.layer = {.packed = packed_left_,
                  .rows = rows_,
                  .inputs = level.layer.inputs,
                  .outputs = D,
                  .coefs = weights + level.layer.offset,
                  .intercepts = weights + level.layer.offset + level.layer.inputs * D,
                  .activation = detail::Activation::identity,
                  .out = level.out.data,
                  .slope = level.slope.data,
                  .ld = level.out.ld};
    task.likelihood = shape.likelihood;
    task.x = x_.data;
    task.observed = any_missing_ ? observed_.data : nullptr;
    task.weights = weighted ? weights_.data() : ones_.data();
    task.precisions = precisions_;
    task.normalisers = normalisers_;
    task.of_log_variances = of_log_variances_;
    task.densities = strips_.data();
    const std::size_t strips = items(D, kernels_.panel_columns);
    const std::size_t panel = rounded_up(kernels_.panel_floats, 16);
    parallel(strips, [&](std::size_t strip, std::size_t slot) {
        kernels_.likelihood(task, strip, panels_ + slot * panel);
    });
    std::fill_n(densities_.begin(), rows_, 0.0);
    for (std::size_t strip = 0; strip < strips; ++strip) {
        for (std::size_t i = 0; i < rows_; ++i)
            densities_[i] += strips_[strip * rows_ + i];
    }
}

double VaeBatch::log_density(std::size_t row) const {
    return densities_[row];
}

VaeSums VaeBatch::sums() const {
    VaeSums sums;
    for (std::size_t i = 0; i < rows_; ++i) {
        sums.bound += weights_[i] * (densities_[i] + latent_terms_[i]);
        sums.weight += weights_[i];
    }
    return sums;
}

// ---- backward --------------------------------------------------------------------------------

void VaeBatch::backward(const Level& level, const Padded& input, const Padded* slope,
                        const Padded& of_out, const Padded& of_in, const float* weights,
                        float* gradient) {
    const Layer& layer = level.layer;
    const std::size_t rows_down = items(rows_, kernels_.panel_rows);
    const std::size_t inputs_down = items(layer.inputs, kernels_.panel_rows);
    const std::size_t left = of_in.data == nullptr ? 0 : items(rows_down, kPanelsOfAnItem);
    const std::size_t other = gradient == nullptr ? 0 : items(inputs_down, kPanelsOfAnItem);
    parallel(left + other, [&](std::size_t item, std::size_t) {
        if (item < left) {
            const std::size_t first = item * kPanelsOfAnItem;
            kernels_.pack(of_out.data, of_out.ld, 1, rows_, layer.outputs, first,
                          std::min(rows_down, first + kPanelsOfAnItem), packed_left_);
        } else {
            const std::size_t first = (item - left) * kPanelsOfAnItem;
            kernels_.pack(input.data, 1, input.ld, layer.inputs, rows_, first,
                          std::min(inputs_down, first + kPanelsOfAnItem), packed_other_);
        }
    });
    const float* coefs = weights + layer.offset;
    const detail::InputsTask inputs{.packed = packed_left_,
                                    .rows = rows_,
                                    .inputs = layer.inputs,
                                    .outputs = layer.outputs,
                                    .coefs = coefs,
                                    .slope = slope == nullptr ? nullptr : slope->data,
                                    .out = of_in.data,
                                    .ld = of_in.ld};
    detail::WeightsTask own{.packed = packed_other_,
                            .rows = rows_,
                            .inputs = layer.inputs,
                            .outputs = layer.outputs,
                            .gradient = of_out.data,
                            .ld = of_out.ld};
    if (gradient != nullptr) {
        own.of_coefs = gradient + layer.offset;
        own.of_intercepts = own.of_coefs + layer.inputs * layer.outputs;
    }
    const std::size_t columns = kernels_.panel_columns;
    const std::size_t of_inputs = of_in.data == nullptr ? 0 : items(layer.inputs, columns);
    const std::size_t of_weights = gradient == nullptr ? 0 : items(layer.outputs, columns);
    const std::size_t panel = rounded_up(kernels_.panel_floats, 16);
    parallel(of_inputs + of_weights, [&](std::size_t item, std::size_t slot) {
        if (item < of_inputs)
            kernels_.inputs(inputs, item, panels_ + slot * panel);
        else
            kernels_.weights(own, item - of_inputs, panels_ + slot * panel);
    });
}

void VaeBatch::backward_decoder(const float* weights, float* gradient) {
    const VaeShape& shape = network_.shape();
    Padded of_out = decoder_.back().out;
    for (std::size_t i = decoder_.size(); i-- > 0;) {
        const bool is_first = i == 0;
        const Padded input = is_first ? z_ : decoder_[i - 1].out;
        const Padded of_in = is_first ? of_codes_ : Padded{of_sums_[i % 2].data, input.ld};
        backward(decoder_[i], input, is_first ? nullptr : &decoder_[i - 1].slope, of_out, of_in,
                 weights, gradient);
        of_out = of_in;
    }
    if (gradient == nullptr || shape.n_variances == 0)
        return;
    float* of_variances = gradient + network_.size() - shape.n_variances;
    if (shape.n_variances > 1) {
        std::copy_n(of_log_variances_, shape.n_variances, of_variances);
        return;
    }
    double total = 0;
    for (std::size_t d = 0; d < shape.n_features; ++d)
        total += of_log_variances_[d];
    of_variances[0] = static_cast<float>(total);
}

void VaeBatch::backward_encoder(const float* weights, const VaePass& pass, float* gradient) {
    const VaeShape& shape = network_.shape();
    const std::size_t Z = shape.n_components;
    parallel(items(rows_, kRowsOfAnItem), [&](std::size_t item, std::size_t) {
        const std::size_t end = std::min(rows_, (item + 1) * kRowsOfAnItem);
        for (std::size_t i = item * kRowsOfAnItem; i < end; ++i)
            detail::latent_backward(pass.rule, encoded(i), noise_.row(i), of_codes_.row(i),
                                    weights_[i], Z, of_encoded_.row(i));
    });
    const bool of_counts = shape.likelihood == Likelihood::poisson;
    Padded of_out = of_encoded_;
    for (std::size_t i = encoder_.size(); i-- > 0;) {
        const bool is_first = i == 0;
        const Padded input = is_first ? (of_counts ? seen_ : x_) : encoder_[i - 1].out;
        const Padded of_in =
            is_first ? Padded{} : Padded{of_sums_[i % 2].data, encoder_[i - 1].out.ld};
        backward(encoder_[i], input, is_first ? nullptr : &encoder_[i - 1].slope, of_out, of_in,
                 weights, gradient);
        of_out = of_in;
    }
}

// ---- the update --------------------------------------------------------------------------------

bool VaeBatch::below(const float* gradient, float limit) {
    const std::size_t size = network_.size(), parts = items(size, kWeightsOfAnItem);
    std::vector<unsigned char>& fine = has_missing_;  // at hand, and not needed any more
    parallel(parts, [&](std::size_t part, std::size_t) {
        const std::size_t first = part * kWeightsOfAnItem;
        fine[part] =
            kernels_.below(gradient, first, std::min(size, first + kWeightsOfAnItem), limit) ? 1
                                                                                             : 0;
    });
    return std::all_of(fine.begin(), fine.begin() + static_cast<std::ptrdiff_t>(parts),
                       [](unsigned char own) { return own != 0; });
}

void VaeBatch::adam(const detail::AdamTask& task) {
    const std::size_t size = network_.size();
    parallel(items(size, kWeightsOfAnItem), [&](std::size_t part, std::size_t) {
        const std::size_t first = part * kWeightsOfAnItem;
        kernels_.adam(task, first, std::min(size, first + kWeightsOfAnItem));
    });
}

}  // namespace vemfast::models
