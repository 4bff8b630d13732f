#include "io/container.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "io/files.hpp"
#include "io/refuse.hpp"
#include "io/sha256.hpp"

namespace vemfast::io {

namespace {

constexpr std::string_view kFormat = "vemfast-model";
constexpr std::string_view kKey = "vemfast";
constexpr std::string_view kMetadata = "__metadata__";
constexpr int kMajor = 1;
constexpr int kMinor = 0;

// Data types, with their sizes, and NumPy's names for them, which the digest covers. In the order
// in which safetensors puts tensors: the largest first, and by its own order within a size.
struct Type {
    std::string_view name, numpy;
    std::size_t size;
};
constexpr std::array<Type, 13> kTypes{{{"U64", "uint64", 8},
                                       {"I64", "int64", 8},
                                       {"F64", "float64", 8},
                                       {"C64", "complex64", 8},
                                       {"F32", "float32", 4},
                                       {"U32", "uint32", 4},
                                       {"I32", "int32", 4},
                                       {"F16", "float16", 2},
                                       {"U16", "uint16", 2},
                                       {"I16", "int16", 2},
                                       {"I8", "int8", 1},
                                       {"U8", "uint8", 1},
                                       {"BOOL", "bool", 1}}};

template <class... Parts>
[[noreturn]] void damaged(const Parts&... parts) {
    refuse("not a safetensors file, or damaged: ", parts...);
}

const Type& type_of(std::string_view name) {
    const auto* const found = std::find_if(kTypes.begin(), kTypes.end(),
                                           [&](const Type& type) { return type.name == name; });
    if (found == kTypes.end())
        refuse("a tensor that is not an array of numbers: ", name);
    return *found;
}

std::uint64_t little_endian(std::string_view bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 8; i-- > 0;)
        value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
    return value;
}

// A whole number >= 0, or none.
std::optional<std::uint64_t> whole(const Json& value) {
    if (!value.is_integer())
        return std::nullopt;
    std::uint64_t number = 0;
    const char* const last = value.text.data() + value.text.size();
    const auto [end, error] = std::from_chars(value.text.data(), last, number);
    if (error != std::errc{} || end != last)
        return std::nullopt;
    return number;
}

std::uint64_t whole_or_refuse(const Json& value, const std::string& name) {
    const auto number = whole(value);
    if (!number || *number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        damaged("tensor ", name, " has a size or an offset that is no whole number");
    return *number;
}

// ---- the header ----------------------------------------------------------------------------

struct Entry {
    std::string name;
    Tensor tensor;
    std::uint64_t begin = 0, end = 0;
};

Entry entry_of(const std::string& name, const Json& value) {
    const Json* type = value.find("dtype");
    const Json* shape = value.find("shape");
    const Json* offsets = value.find("data_offsets");
    const bool complete = type != nullptr && shape != nullptr && offsets != nullptr;
    if (!complete || value.members.size() != 3 || !type->is(Json::Type::string) ||
        !shape->is(Json::Type::array) || !offsets->is(Json::Type::array) ||
        offsets->items.size() != 2)
        damaged("tensor ", name, " has no dtype, shape and data_offsets");
    Entry entry;
    entry.name = name;
    entry.tensor.type = type->text;
    std::uint64_t bytes = type_of(type->text).size;
    bool empty = false;
    for (const Json& length : shape->items) {
        const std::uint64_t n = whole_or_refuse(length, name);
        entry.tensor.shape.push_back(static_cast<std::int64_t>(n));
        empty = empty || n == 0;
        if (n != 0 && bytes > std::numeric_limits<std::uint64_t>::max() / n)
            damaged("tensor ", name, " is too large");
        bytes *= n == 0 ? 1 : n;
    }
    entry.begin = whole_or_refuse(offsets->items[0], name);
    entry.end = whole_or_refuse(offsets->items[1], name);
    if (entry.end < entry.begin || entry.end - entry.begin != (empty ? 0 : bytes))
        damaged("tensor ", name, " has data_offsets that do not agree with its shape");
    return entry;
}

// Tensors must fill the file from the end of the header to its own, one behind the other.
Tensors tensors_of(std::vector<Entry> entries, std::string_view data) {
    std::sort(entries.begin(), entries.end(), [](const Entry& left, const Entry& right) {
        return std::pair(left.begin, left.end) < std::pair(right.begin, right.end);
    });
    std::uint64_t at = 0;
    Tensors out;
    for (Entry& entry : entries) {
        if (entry.begin != at || entry.end > data.size())
            damaged("tensor ", entry.name,
                    " overlaps another, leaves a gap or ends behind the file");
        at = entry.end;
        entry.tensor.bytes = data.substr(entry.begin, entry.end - entry.begin);
        out.emplace(std::move(entry.name), std::move(entry.tensor));
    }
    if (at != data.size())
        damaged("the file is longer than its header says");
    return out;
}

Json header_of(std::string_view content) {
    if (content.size() < 8)
        damaged("the header is too short");
    const std::uint64_t length = little_endian(content);
    if (length > kLongestHeader)
        damaged("the header is too long");
    if (length > content.size() - 8)
        damaged("the file ends within its header");
    const std::string_view text = content.substr(8, length);
    if (!text.starts_with('{'))
        damaged("the header is no JSON object");
    try {
        return parse_json(text);
    } catch (const JsonError& error) {
        damaged("the header is not JSON: ", error.what());
    }
}

// ---- the document --------------------------------------------------------------------------

constexpr std::string_view kDigestBegin = R"(,"sha256":")";
constexpr std::string_view kDigestEnd = R"("})";
constexpr std::size_t kDigestSize = 64;
constexpr std::size_t kTailSize = kDigestBegin.size() + kDigestSize + kDigestEnd.size();

std::string digest(std::string_view text, const Tensors& tensors) {
    Sha256 sum;
    sum.update(text);
    const std::string_view zero("\0", 1);
    for (const auto& [name, tensor] : tensors) {
        std::string shape;
        for (const std::int64_t length : tensor.shape) {
            if (!shape.empty())
                shape += ',';
            shape += std::to_string(length);
        }
        for (const std::string_view part :
             {std::string_view(name), type_of(tensor.type).numpy, std::string_view(shape)}) {
            sum.update(part);
            sum.update(zero);
        }
        sum.update(tensor.bytes);
    }
    return sum.hex_digest();
}

bool check_version(const Json& document) {
    const Json* format = document.find("format");
    if (format == nullptr || format->text != kFormat || !format->is(Json::Type::string))
        refuse("format: not '", kFormat, "'");
    const Json* version = document.find("version");
    const std::string text =
        version != nullptr && version->is(Json::Type::string) ? version->text : "";
    int major = 0;
    int minor = 0;
    const char* const last = text.data() + text.size();
    const auto first_part = std::from_chars(text.data(), last, major);
    const bool has_point = first_part.ec == std::errc{} && first_part.ptr != last &&
                           *first_part.ptr == '.' && first_part.ptr != text.data();
    const auto is_short = [](const char* from, const char* to) {
        return to > from && to - from < 7;
    };
    if (!has_point || !is_short(text.data(), first_part.ptr) ||
        !is_short(first_part.ptr + 1, last) || text.front() == '-' || first_part.ptr[1] == '-' ||
        std::from_chars(first_part.ptr + 1, last, minor).ptr != last)
        refuse("version: '", text, "' is not a version such as '1.0'");
    if (major > kMajor)
        refuse("version: the file has format ", text, ", this vemfast reads up to ", kMajor,
               ".x; use a newer vemfast");
    if (major < 1)
        refuse("version: there is no format ", text);
    return std::pair(major, minor) > std::pair(kMajor, kMinor);
}

void check_digest(std::string_view text, const Tensors& tensors) {
    const std::string_view tail = text.substr(text.size() - std::min(text.size(), kTailSize));
    const bool shaped =
        tail.size() == kTailSize && tail.starts_with(kDigestBegin) && tail.ends_with(kDigestEnd);
    const std::string_view given =
        shaped ? tail.substr(kDigestBegin.size(), kDigestSize) : std::string_view();
    if (!shaped || given.find_first_not_of("0123456789abcdef") != std::string_view::npos)
        refuse("sha256: missing");
    if (given != digest(text.substr(0, text.size() - kTailSize), tensors))
        refuse("sha256: the digest does not match; the file is damaged");
}

Json document_of(std::string_view text) {
    Json document;
    try {
        document = parse_json(text);
    } catch (const JsonError& error) {
        refuse("metadata: not a JSON document (", error.what(), ")");
    }
    if (!document.is(Json::Type::object))
        refuse("metadata: not a JSON object");
    return document;
}

void check_parts(const Json& document) {
    const auto check = [&](const char* name, Json::Type type, const char* what) {
        const Json* part = document.find(name);
        if (part == nullptr || !part->is(type))
            refuse(name, ": missing, or not ", what);
    };
    check("estimator", Json::Type::string, "a string");
    check("parameters", Json::Type::object, "an object");
    check("fitted", Json::Type::object, "an object");
}

}  // namespace

std::size_t Tensor::size() const {
    std::size_t n = 1;
    for (const std::int64_t length : shape)
        n *= static_cast<std::size_t>(length);
    return n;
}

std::vector<double> Tensor::values() const {
    std::vector<double> out(bytes.size() / sizeof(double));
    if constexpr (std::endian::native == std::endian::little) {
        if (!out.empty())
            std::memcpy(out.data(), bytes.data(), out.size() * sizeof(double));
    } else {
        for (std::size_t i = 0; i < out.size(); ++i)
            out[i] = std::bit_cast<double>(little_endian(std::string_view(bytes).substr(8 * i)));
    }
    return out;
}

Tensor Tensor::of(std::vector<std::int64_t> shape, const double* values) {
    Tensor out{"F64", std::move(shape), {}};
    out.bytes.resize(out.size() * sizeof(double));
    for (std::size_t i = 0; i < out.size(); ++i) {
        auto bits = std::bit_cast<std::uint64_t>(values[i]);
        for (std::size_t b = 0; b < 8; ++b, bits >>= 8)
            out.bytes[8 * i + b] = static_cast<char>(bits & 0xFF);
    }
    return out;
}

Container parse_container(std::string_view content) {
    const Json header = header_of(content);
    std::vector<Entry> entries;
    const Json* text = nullptr;
    for (const auto& [name, value] : header.members) {
        if (name != kMetadata) {
            entries.push_back(entry_of(name, value));
            continue;
        }
        for (const auto& [key, entry] : value.members) {
            if (!entry.is(Json::Type::string))
                damaged("metadata that is not text");
        }
        text = value.find(kKey);
    }
    Container out;
    const std::uint64_t length = little_endian(content);
    out.tensors = tensors_of(std::move(entries), content.substr(8 + length));
    if (text == nullptr)
        refuse("format: a safetensors file, but not a ", kFormat);
    out.document = document_of(text->text);
    out.is_newer = check_version(out.document);
    check_digest(text->text, out.tensors);
    out.document.members.pop_back();  // the digest, which stands last
    check_parts(out.document);
    return out;
}

std::string to_bytes(const Container& container) {
    std::string text = to_text(container.document, true);
    text.pop_back();
    const std::string sum = digest(text, container.tensors);
    text.append(kDigestBegin).append(sum).append(kDigestEnd);

    std::vector<std::pair<const Type*, const Tensors::value_type*>> order;
    for (const auto& named : container.tensors)
        order.emplace_back(&type_of(named.second.type), &named);
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& left, const auto& right) { return left.first < right.first; });
    Json header = Json::object();
    Json metadata = Json::object();
    metadata.set(kKey, Json::of(text));
    header.set(kMetadata, std::move(metadata));
    std::size_t at = 0;
    for (const auto& [type, named] : order) {
        const Tensor& tensor = named->second;
        Json shape(Json::Type::array);
        for (const std::int64_t n : tensor.shape)
            shape.items.push_back(Json::of_integer(n));
        Json offsets(Json::Type::array);
        offsets.items.push_back(Json::of_integer(static_cast<long long>(at)));
        at += tensor.bytes.size();
        offsets.items.push_back(Json::of_integer(static_cast<long long>(at)));
        Json entry = Json::object();
        entry.set("dtype", Json::of(tensor.type));
        entry.set("shape", std::move(shape));
        entry.set("data_offsets", std::move(offsets));
        header.members.emplace_back(named->first, std::move(entry));
    }
    std::string head = to_text(header, false);
    head.resize((head.size() + 7) / 8 * 8, ' ');
    std::string out;
    out.reserve(8 + head.size() + at);
    for (int shift = 0; shift < 64; shift += 8)
        out += static_cast<char>(head.size() >> shift & 0xFF);
    out += head;
    for (const auto& [type, named] : order)
        out += named->second.bytes;
    return out;
}

Json new_document(std::string_view estimator) {
    Json document = Json::object();
    document.set("format", Json::of(kFormat));
    document.set("version", Json::of(std::to_string(kMajor) + "." + std::to_string(kMinor)));
    document.set("estimator", Json::of(estimator));
    document.set("parameters", Json::object());
    document.set("fitted", Json::object());
    return document;
}

Container read_container(const std::string& path) {
    try {
        return parse_container(read_file(path));
    } catch (const ModelFileError& error) {
        refuse(path, ": ", error.what());
    }
}

void write_container(const std::string& path, const Container& container) {
    write_file(path, to_bytes(container));
}

}  // namespace vemfast::io
