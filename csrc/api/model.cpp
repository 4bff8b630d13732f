#include "vemfast/model.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "api/file.hpp"
#include "io/schemas.hpp"
#include "vemfast/require.hpp"

namespace vemfast {

inline namespace abi1 {

std::string FittedModel::class_name() const {
    return io::class_of(*file_);
}

std::size_t FittedModel::n_features() const {
    return io::n_features_of(*file_);
}

std::size_t FittedModel::n_components() const {
    const std::string name = class_name();
    const int usual = name == "LatentDirichletAllocation" ? 10
                      : name == "VariationalAutoencoder"  ? 2
                                                          : 1;
    return static_cast<std::size_t>(io::Parameters(*file_).integer("n_components", usual, 1));
}

std::vector<std::string> FittedModel::array_names() const {
    std::vector<std::string> out;
    for (const auto& [name, tensor] : file_->tensors) {
        if (tensor.type == "F64")
            out.push_back(name);
    }
    return out;
}

bool FittedModel::has_array(const std::string& name) const {
    const auto found = file_->tensors.find(name);
    return found != file_->tensors.end() && found->second.type == "F64";
}

Array FittedModel::array(const std::string& name) const {
    if (!has_array(name)) {
        std::string known;
        for (const std::string& one : array_names())
            known.append(known.empty() ? "" : ", ").append(one);
        require(false, "the model has no array ", name, "; it has ", known);
    }
    const io::Tensor& tensor = file_->tensors.at(name);
    return {tensor.shape, tensor.values()};
}

void FittedModel::save(const std::string& path) const {
    io::write_container(path, *file_);
}

}  // namespace abi1

namespace api {

namespace {

template <class Value>
io::Json json_of(const std::string& name, const Value& value) {
    return std::visit(
        [&](const auto& one) {
            using Type = std::decay_t<decltype(one)>;
            if constexpr (std::is_same_v<Type, std::int64_t>)
                return io::Json::of_integer(one);
            else if constexpr (std::is_same_v<Type, double>) {
                require(std::isfinite(one), name, "=", one,
                        " cannot be saved; only finite numbers can");
                return io::Json::of_double(one);
            } else
                return io::Json::of(one);
        },
        value);
}

}  // namespace

File make_file(const Attributes& attributes, const std::vector<std::string_view>& classes) {
    io::Container file;
    file.document = io::new_document(attributes.class_name);
    check_class(file, classes);
    io::Json parameters = io::Json::object();
    for (const auto& [name, value] : attributes.parameters)
        parameters.set(name, json_of(name, value));
    io::Json fitted = io::Json::object();
    fitted.set("n_features_in_",
               io::Json::of_integer(static_cast<long long>(attributes.n_features)));
    for (const auto& [name, value] : attributes.values)
        fitted.set(name, json_of(name, value));
    file.document.set("parameters", std::move(parameters));
    file.document.set("fitted", std::move(fitted));
    for (const auto& [name, array] : attributes.arrays) {
        std::int64_t size = 1;
        for (const std::int64_t n : array.shape) {
            require(n >= 0 && (n == 0 || size <= std::numeric_limits<std::int64_t>::max() / n),
                    name, " has a bad length in its shape: ", n);
            size *= n;
        }
        require(size == static_cast<std::int64_t>(array.values.size()), name, " has ",
                array.values.size(), " numbers, but its shape says ", size);
        file.tensors[name] = io::Tensor::of(array.shape, array.values.data());
    }
    io::check_model(file);
    return std::make_shared<const io::Container>(std::move(file));
}

File read_file(const std::string& path, const std::vector<std::string_view>& classes) {
    io::Container file = io::read_model(path, "");
    try {
        check_class(file, classes);
    } catch (const ModelFileError& error) {
        throw ModelFileError(std::string(path).append(": ").append(error.what()));
    }
    return std::make_shared<const io::Container>(std::move(file));
}

void check_class(const io::Container& file, const std::vector<std::string_view>& classes) {
    const std::string name = io::class_of(file);
    std::string known;
    for (const std::string_view one : classes) {
        if (name == one)
            return;
        known.append(known.empty() ? "" : ", ").append(one);
    }
    throw ModelFileError(std::string("estimator: ")
                             .append(name)
                             .append(" is not what is wanted here: ")
                             .append(known));
}

}  // namespace api

}  // namespace vemfast
