// A model of any class from a file, which is read once.
//
//     const auto model = vemfast::load("model.safetensors");
//     if (const auto* mixture = std::get_if<vemfast::Mixture>(&model))
//         labels = mixture->predict(rows);
#pragma once

#include <string>
#include <variant>

#include "vemfast/hmm.hpp"
#include "vemfast/lda.hpp"
#include "vemfast/mixture.hpp"
#include "vemfast/vae.hpp"
#include "vemfast/version.hpp"

namespace vemfast {
inline namespace abi1 {

using AnyModel =
    std::variant<Mixture, HiddenMarkov, LatentDirichletAllocation, VariationalAutoencoder>;

// Throws ModelFileError, or std::system_error where the file cannot be read.
VEMFAST_API AnyModel load(const std::string& path);

}  // namespace abi1
}  // namespace vemfast
