// Files of fitted models: the safetensors layout, the same that vemfast.save and vemfast.load of
// Python have. Each class has load and save of its own, and load.hpp takes any; here is what they
// share.
#pragma once

#include <stdexcept>
#include <string>

#include "vemfast/version.hpp"

namespace vemfast {

// A model file is damaged, inconsistent, of a newer major version, or of another class. The message
// begins with the path and names the field.
class VEMFAST_API ModelFileError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// The class of the model in a file, "GaussianMixture" or another. The whole file is checked.
// Throws ModelFileError, or std::system_error where the file cannot be read.
VEMFAST_API std::string model_class(const std::string& path);

}  // namespace vemfast
