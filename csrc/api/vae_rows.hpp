// From the rows of a caller to those of an autoencoder: checked, and dense by row.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/vae_task.hpp"
#include "models/vae.hpp"
#include "vemfast/fit.hpp"

namespace vemfast::api {

class CheckedVaeRows {
  public:
    // Throws std::invalid_argument for another width and for what the likelihood does not have. The
    // rows must outlive it.
    CheckedVaeRows(const Rows& rows, std::size_t n_features, detail::Likelihood likelihood,
                   bool takes_nan);
    CheckedVaeRows(const CheckedVaeRows&) = delete;
    CheckedVaeRows& operator=(const CheckedVaeRows&) = delete;

    const models::VaeRows& view() const { return view_; }

  private:
    std::vector<float> floats_;
    std::vector<double> doubles_;
    models::VaeRows view_;
};

}  // namespace vemfast::api
