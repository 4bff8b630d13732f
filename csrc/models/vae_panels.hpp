// Weights of a network as its kernels want them: in panels (see vae_task.hpp). A pass keeps them so
// from one step to the next, and with them the gradient and what Adam remembers, in the same order.
#pragma once

#include <cstddef>
#include <vector>

#include "models/vae.hpp"

namespace vemfast::models {

// Where a layer's numbers are.
struct PanelLayer {
    Layer layer;  // in the flat array
    std::size_t strips = 0;
    std::size_t coefs = 0;
    std::size_t intercepts = 0;
};

class VaePanels {
  public:
    explicit VaePanels(const VaeNetwork& network);

    std::size_t size() const { return size_; }  // padding included
    const std::vector<PanelLayer>& encoder() const { return encoder_; }
    const std::vector<PanelLayer>& decoder() const { return decoder_; }
    std::size_t log_variances() const { return log_variances_; }
    std::size_t n_variances() const { return n_variances_; }

    // The weights of one network, or of both. Padding is left alone: it must be zero.
    void pack_encoder(const float* flat, float* panels) const;
    void pack_decoder(const float* flat, float* panels) const;
    void pack(const float* flat, float* panels) const;
    void unpack(const float* panels, float* flat) const;

  private:
    std::size_t columns_;
    std::vector<PanelLayer> encoder_, decoder_;
    std::size_t flat_size_ = 0;
    std::size_t n_variances_ = 0;
    std::size_t log_variances_ = 0;
    std::size_t size_ = 0;
};

}  // namespace vemfast::models
