#include "io/schemas.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "io/fields.hpp"
#include "io/refuse.hpp"

namespace vemfast::io {

namespace {

template <class Number>
bool parse_number(const Json& value, Number& out) {
    const char* const last = value.text.data() + value.text.size();
    const auto [end, error] = std::from_chars(value.text.data(), last, out);
    return value.is(Json::Type::number) && error == std::errc{} && end == last;
}

std::string shown(const std::vector<std::int64_t>& shape) {
    std::string out = "(";
    for (const std::int64_t n : shape)
        out.append(out.size() > 1 ? ", " : "").append(std::to_string(n));
    return out.append(1, ')');
}

// The lengths that words have stood for so far.
using Lengths = std::map<std::string, std::int64_t>;

void check_shape(const std::string& name, const Field& field,
                 const std::vector<std::int64_t>& shape, Lengths& lengths) {
    bool matches = shape.size() == field.shape.size();
    std::vector<std::int64_t> expected;
    for (std::size_t i = 0; i < field.shape.size(); ++i) {
        const Length& wanted = field.shape[i];
        std::int64_t length = wanted.fixed;
        if (!wanted.word.empty()) {
            const std::int64_t own = i < shape.size() ? shape[i] : 1;
            const bool may_be_none = wanted.word.back() == '*';
            length =
                lengths.try_emplace(wanted.word, may_be_none ? own : std::max<std::int64_t>(own, 1))
                    .first->second;
        }
        expected.push_back(length);
        matches = matches && shape[i] == length;
    }
    if (!matches)
        refuse(name, ": shape ", shown(shape), ", expected ", shown(expected));
}

void check_tensor(const std::string& name, const Field& field, const Tensor& tensor,
                  Lengths& lengths) {
    if (tensor.type != "F64")
        refuse(name, ": holds ", tensor.type, ", not F64");
    check_shape(name, field, tensor.shape, lengths);
    if (field.rule) {
        const std::vector<double> values = tensor.values();
        const std::size_t last =
            tensor.shape.empty() ? 1 : static_cast<std::size_t>(tensor.shape.back());
        field.rule(name, {values, last});
    }
}

void check_names(const std::string& name, const Field& field, const Json& value, Lengths& lengths) {
    if (!value.is(Json::Type::array) ||
        !std::all_of(value.items.begin(), value.items.end(),
                     [](const Json& item) { return item.is(Json::Type::string); }))
        refuse(name, ": not a list of names");
    check_shape(name, field, {static_cast<std::int64_t>(value.items.size())}, lengths);
}

void check_value(const std::string& name, const Field& field, const Json& value, Lengths& lengths) {
    double number = 0;
    std::int64_t integer = 0;
    switch (field.kind) {
        case Field::Kind::tensor:
            break;
        case Field::Kind::names:
            check_names(name, field, value, lengths);
            break;
        case Field::Kind::real:
            if (value.is_integer() || !parse_number(value, number) || !std::isfinite(number))
                refuse(name, ": not a finite float");
            if (field.rule)
                field.rule(name, {{&number, 1}, 1});
            break;
        case Field::Kind::integer:
            if (!value.is_integer() || !parse_number(value, integer))
                refuse(name, ": not an int");
            if (integer < field.least)
                refuse(name, ": ", integer, " is less than ", field.least);
            break;
        case Field::Kind::boolean:
            if (!value.is(Json::Type::boolean))
                refuse(name, ": not a bool");
            break;
        case Field::Kind::word:
            if (!value.is(Json::Type::string))
                refuse(name, ": not a str");
            if (std::find(field.words.begin(), field.words.end(), value.text) == field.words.end())
                refuse(name, ": '", value.text, "' is none of the words that it may be");
            break;
    }
}

std::size_t count_numbers(const Container& file) {
    std::size_t n = 0;
    for (const auto& [name, tensor] : file.tensors)
        n += tensor.size();
    return n;
}

void check_features(const Container& file) {
    const Json* given = file.document.find("fitted")->find("n_features_in_");
    std::int64_t n = 0;
    if (given == nullptr || !given->is_integer() || !parse_number(*given, n) || n < 1)
        refuse("n_features_in_: missing, or not a positive number");
    if (static_cast<std::size_t>(n) > count_numbers(file))
        refuse("n_features_in_: ", n, ", more than the file has numbers");
}

// What the file has, each once, and that it belongs there.
void check_names_of(const Container& file, const Fields& fields) {
    std::map<std::string_view, bool> tensors;  // whether a field is one
    for (const auto& [name, field] : fields)
        tensors.emplace(name, field.kind == Field::Kind::tensor);
    const auto known = [&](const std::string& name, bool is_tensor) {
        const auto found = tensors.find(name);
        return found != tensors.end() && found->second == is_tensor;
    };
    const std::string stranger = "does not belong to a " + class_of(file);
    for (const auto& [name, tensor] : file.tensors) {
        if (!name.starts_with(kParameter) && !known(name, true) && !file.is_newer)
            refuse(name, ": ", stranger);
    }
    for (const auto& [name, value] : file.document.find("fitted")->members) {
        if (file.tensors.contains(name))
            refuse(name, ": stands twice");
        if (!known(name, false) && !file.is_newer)
            refuse(name, ": ", stranger);
    }
}

}  // namespace

// ---- parameters ----------------------------------------------------------------------------

const Json* Parameters::find(std::string_view name) const {
    const Json* found = file_->document.find("parameters")->find(name);
    return found == nullptr || found->is(Json::Type::null) ? nullptr : found;
}

const Tensor* Parameters::array(std::string_view name) const {
    const auto found = file_->tensors.find(std::string(kParameter) + std::string(name));
    if (found == file_->tensors.end())
        return nullptr;
    if (found->second.type != "F64")
        refuse("parameters: ", name, " holds ", found->second.type, ", not F64");
    return &found->second;
}

bool Parameters::is_none(std::string_view name) const {
    return find(name) == nullptr && array(name) == nullptr;
}

std::int64_t Parameters::integer(std::string_view name, std::int64_t otherwise,
                                 std::int64_t least) const {
    const Json* value = find(name);
    std::int64_t number = otherwise;
    if (value != nullptr && (!value->is_integer() || !parse_number(*value, number)))
        refuse("parameters: ", name, " is not an int");
    if (number < least)
        refuse("parameters: ", name, " is less than ", least);
    return number;
}

double Parameters::real(std::string_view name, double otherwise) const {
    const Json* value = find(name);
    double number = otherwise;
    if (value != nullptr && !parse_number(*value, number))
        refuse("parameters: ", name, " is not a number");
    return number;
}

bool Parameters::boolean(std::string_view name, bool otherwise) const {
    const Json* value = find(name);
    if (value != nullptr && !value->is(Json::Type::boolean))
        refuse("parameters: ", name, " is not a bool");
    return value == nullptr ? otherwise : value->boolean;
}

std::string Parameters::word(std::string_view name,
                             const std::vector<std::string_view>& known) const {
    const Json* value = find(name);
    if (value == nullptr)
        return std::string(known.front());
    if (!value->is(Json::Type::string) ||
        std::find(known.begin(), known.end(), value->text) == known.end())
        refuse("parameters: ", name, " is none of the words that it may be");
    return value->text;
}

// ---- whole models --------------------------------------------------------------------------

std::string class_of(const Container& file) {
    return file.document.find("estimator")->text;
}

std::size_t n_features_of(const Container& file) {
    std::size_t n = 0;
    parse_number(*file.document.find("fitted")->find("n_features_in_"), n);
    return n;
}

bool has_tensor(const Container& file, const std::string& name) {
    return file.tensors.contains(name);
}

std::vector<double> numbers_of(const Container& file, const std::string& name) {
    const auto found = file.tensors.find(name);
    if (found == file.tensors.end())
        refuse(name, ": missing");
    return found->second.values();
}

void check_model(const Container& file) {
    const Schema* schema = schema_of(class_of(file));
    if (schema == nullptr)
        refuse("estimator: '", class_of(file), "' is no class that this vemfast knows");
    check_features(file);
    const Fields fields = schema->fields(Parameters(file), n_features_of(file));
    check_names_of(file, fields);
    const Json& fitted = *file.document.find("fitted");
    const auto is_there = [&](const auto& field) {
        return field.second.kind == Field::Kind::tensor ? file.tensors.contains(field.first)
                                                        : fitted.find(field.first) != nullptr;
    };
    std::set<std::string> groups;
    for (const auto& field : fields) {
        if (is_there(field))
            groups.insert(field.second.group);
    }
    Lengths lengths;
    for (const auto& field : fields) {
        const auto& [name, wanted] = field;
        if (!is_there(field)) {
            if (wanted.group.empty() || groups.contains(wanted.group))
                refuse(name, ": missing");
        } else if (wanted.kind == Field::Kind::tensor) {
            check_tensor(name, wanted, file.tensors.at(name), lengths);
        } else {
            check_value(name, wanted, *fitted.find(name), lengths);
        }
    }
    if (schema->agree)
        schema->agree(file);
}

Container read_model(const std::string& path, std::string_view wanted) {
    Container file = read_container(path);
    try {
        if (!wanted.empty() && class_of(file) != wanted)
            refuse("estimator: the file holds a ", class_of(file), ", not a ", std::string(wanted));
        check_model(file);
    } catch (const ModelFileError& error) {
        refuse(path, ": ", error.what());
    }
    return file;
}

}  // namespace vemfast::io

namespace vemfast {

std::string model_class(const std::string& path) {
    return io::class_of(io::read_model(path, ""));
}

}  // namespace vemfast
