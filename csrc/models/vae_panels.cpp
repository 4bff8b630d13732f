#include "models/vae_panels.hpp"

#include <algorithm>

#include "isa/dispatch.hpp"

namespace vemfast::models {

namespace {

constexpr std::size_t kCacheLine = 16;  // floats

std::size_t in_lines(std::size_t n) {
    return (n + kCacheLine - 1) / kCacheLine * kCacheLine;
}

// Calls copy(flat, panels, n) for each run of numbers that lie side by side in both orders.
template <class Copy>
void for_each_run(const std::vector<PanelLayer>& layers, std::size_t columns, const Copy& copy) {
    for (const PanelLayer& own : layers) {
        const Layer& layer = own.layer;
        for (std::size_t strip = 0; strip < own.strips; ++strip) {
            const std::size_t first = strip * columns;
            const std::size_t n = std::min(columns, layer.outputs - first);
            for (std::size_t i = 0; i < layer.inputs; ++i)
                copy(layer.offset + i * layer.outputs + first,
                     own.coefs + (strip * layer.inputs + i) * columns, n);
        }
        copy(layer.offset + layer.inputs * layer.outputs, own.intercepts, layer.outputs);
    }
}

}  // namespace

VaePanels::VaePanels(const VaeNetwork& network)
    : columns_(kernels().vae.panel_columns),
      flat_size_(network.size()),
      n_variances_(network.shape().n_variances) {
    const auto place = [&](const std::vector<Layer>& layers) {
        std::vector<PanelLayer> found;
        for (const Layer& layer : layers) {
            const std::size_t strips = (layer.outputs + columns_ - 1) / columns_;
            const std::size_t coefs = size_;
            const std::size_t intercepts = coefs + in_lines(strips * layer.inputs * columns_);
            size_ = intercepts + in_lines(strips * columns_);
            found.push_back({layer, strips, coefs, intercepts});
        }
        return found;
    };
    encoder_ = place(network.encoder());
    decoder_ = place(network.decoder());
    log_variances_ = size_;
    size_ += in_lines(n_variances_);
}

void VaePanels::pack_encoder(const float* flat, float* panels) const {
    for_each_run(encoder_, columns_, [&](std::size_t from, std::size_t to, std::size_t n) {
        std::copy_n(flat + from, n, panels + to);
    });
}

void VaePanels::pack_decoder(const float* flat, float* panels) const {
    for_each_run(decoder_, columns_, [&](std::size_t from, std::size_t to, std::size_t n) {
        std::copy_n(flat + from, n, panels + to);
    });
    std::copy_n(flat + flat_size_ - n_variances_, n_variances_, panels + log_variances_);
}

void VaePanels::pack(const float* flat, float* panels) const {
    pack_encoder(flat, panels);
    pack_decoder(flat, panels);
}

void VaePanels::unpack(const float* panels, float* flat) const {
    for (const auto* layers : {&encoder_, &decoder_}) {
        for_each_run(*layers, columns_, [&](std::size_t to, std::size_t from, std::size_t n) {
            std::copy_n(panels + from, n, flat + to);
        });
    }
    std::copy_n(panels + log_variances_, n_variances_, flat + flat_size_ - n_variances_);
}

}  // namespace vemfast::models
