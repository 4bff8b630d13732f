// What all fitted models have: attributes by the names that Python has, and a file.
//
// A model is made from a file, or from attributes, and does not change: it may be used from several
// threads at once. What it computes has the bits of the Python estimator, for any number of
// threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "vemfast/model_file.hpp"
#include "vemfast/version.hpp"

namespace vemfast {

namespace io {
struct Container;
}

inline namespace abi1 {

// Numbers of some shape, the last index fastest; of the shape {} a single one.
struct Array {
    std::vector<std::int64_t> shape;
    std::vector<double> values;
};

// A constructor's parameter that is no array.
using Parameter = std::variant<bool, std::int64_t, double, std::string>;

// What a model is made of where there is no file: the constructor's parameters and the fitted
// attributes of the Python class, by their names. Only those that predictions need must be there;
// n_features_in_ is told by `n_features`.
struct Attributes {
    std::string class_name;  // "GaussianMixture" or another
    std::size_t n_features = 0;
    std::map<std::string, Parameter> parameters;
    std::map<std::string, Array> arrays;  // "means_"; parameters as "parameter.hidden_layer_sizes"
    std::map<std::string, Parameter> values;  // "n_iter_"
};

struct ModelMaker;  // behind load.hpp

class VEMFAST_API FittedModel {
  public:
    // The class of Python: "GaussianMixture" or another.
    std::string class_name() const;
    std::size_t n_features() const;
    std::size_t n_components() const;

    // Names of the attributes that are arrays, such as "means_" and "posterior_.weights".
    std::vector<std::string> array_names() const;
    bool has_array(const std::string& name) const;
    // Throws std::invalid_argument, which lists the names, where there is no such array.
    Array array(const std::string& name) const;

    // Writes the model to a file, whole or not at all: one that came from a file, with its bytes.
    // Python's vemfast.load reads it. Throws std::system_error.
    void save(const std::string& path) const;

  protected:
    explicit FittedModel(std::shared_ptr<const io::Container> file) : file_(std::move(file)) {}

    std::shared_ptr<const io::Container> file_;
};

}  // namespace abi1
}  // namespace vemfast
