// The kernels of networks of this level, as the table wants them.
#include "../isa/vae_kernels.hpp"
#include "vae_layers.hpp"

namespace vemfast::VEMFAST_LEVEL {

extern const VaeKernels vae_kernels;
constinit const VaeKernels vae_kernels{kPanelRows,      kPanelColumns, kPanelFloats, &vae_layer,
                                       &vae_likelihood, &vae_inputs,   &vae_weights, &vae_below,
                                       &vae_adam,       &vae_step,     &vae_log1p};

}  // namespace vemfast::VEMFAST_LEVEL
