// What native models show Python: the half of the model contract without rows, over flat buffers,
// and the outputs of an assignment pass.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bindings/arguments.hpp"
#include "bindings/native_call.hpp"
#include "kernels/task.hpp"
#include "models/rules.hpp"

namespace vemfast::bindings {

// Binds prepare, with what else pybind11 is to know of it, update, global_term and
// expected_log_joint.
template <class Model, class... Extra>
void bind_contract(py::class_<Model>& model_class, const Extra&... of_prepare) {
    using models::Kind;
    using models::ParameterRule;
    model_class
        .def(
            "prepare",
            [](const Model& model, std::string_view kind, const Vector& params) {
                const Kind parsed = parse_kind(kind);
                const double* data = sized(params, model.params_size(parsed), "params");
                return call_native([&](const Poll&) { return model.prepare(parsed, data); });
            },
            of_prepare...)
        .def("update",
             [](const Model& model, std::string_view rule, std::string_view previous_kind,
                const OptionalVector& previous, const Vector& stats, std::uint64_t seed,
                std::uint32_t iteration) {
                 const auto parsed = parse_parameter_rule(rule);
                 const Kind from = parse_kind(previous_kind);
                 const Kind to = parsed == ParameterRule::posterior ? Kind::posterior : Kind::point;
                 Vector out(static_cast<py::ssize_t>(model.params_size(to)));
                 const double* last =
                     previous ? sized(*previous, model.params_size(from), "params") : nullptr;
                 const double* data = sized(stats, model.stats_size(), "stats");
                 double* next = out.mutable_data();
                 call_native([&](const Poll&) {
                     model.update(parsed, from, last, data, seed, iteration, next);
                 });
                 return out;
             })
        .def("global_term",
             [](const Model& model, std::string_view kind, const Vector& params) {
                 const Kind parsed = parse_kind(kind);
                 const double* data = sized(params, model.params_size(parsed), "params");
                 return call_native([&](const Poll&) { return model.global_term(parsed, data); });
             })
        .def("expected_log_joint", [](const Model& model, std::string_view kind,
                                      const Vector& params, const Vector& stats) {
            const Kind parsed = parse_kind(kind);
            const double* data = sized(params, model.params_size(parsed), "params");
            const double* of = sized(stats, model.stats_size(), "stats");
            return call_native(
                [&](const Poll&) { return model.expected_log_joint(parsed, data, of); });
        });
}

template <class Model>
void bind_mean_weights(py::class_<Model>& model_class) {
    model_class.def("mean_weights", [](const Model& model, const Vector& params) {
        Vector out(static_cast<py::ssize_t>(model.n_components()));
        model.mean_weights(sized(params, model.params_size(models::Kind::posterior), "params"),
                           out.mutable_data());
        return out;
    });
}

// The array that an assignment pass is asked for, and where the pass writes it.
struct AssignArray {
    py::array array;
    detail::AssignOutputs out;

    AssignArray(std::string_view output, std::size_t n_rows, std::size_t n_components) {
        const auto n = static_cast<py::ssize_t>(n_rows);
        const auto K = static_cast<py::ssize_t>(n_components);
        if (output == "labels") {
            array = py::array_t<std::int32_t>(n);
            out.labels = static_cast<std::int32_t*>(array.mutable_data());
        } else if (output == "log_density") {
            array = Vector(n);
            out.log_density = static_cast<double*>(array.mutable_data());
        } else {
            require(output == "responsibilities" || output == "scores", "unknown output '",
                    std::string(output), "'");
            array = Vector({n, K});
            auto*& field = output == "scores" ? out.scores : out.responsibilities;
            field = static_cast<double*>(array.mutable_data());
        }
    }
};

}  // namespace vemfast::bindings
