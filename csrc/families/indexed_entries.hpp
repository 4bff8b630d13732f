// The rows of a tile as lists of entries (feature, value), whatever they are stored as.
//
// CSR rows without anything missing are used where they lie; all else is written to a buffer, a few
// instructions an entry: bytes go eight at a time through a table of the positions of set bits.
#pragma once

#include <cstdint>

#include "../kernels/indexed_task.hpp"
#include "../math/vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

using namespace vemfast::detail;  // plain data only

// Entries of row n: [begin[n], begin[n + 1]) of index and value, sorted by index. No values: ones.
template <class T>
struct TileEntries {
    const std::uint32_t* begin = nullptr;
    const std::int32_t* index = nullptr;
    const T* value = nullptr;
    std::size_t size() const { return begin[n_rows]; }
    std::size_t n_rows = 0;
};

// Where a tile is written, with room for kEntrySlack entries more than it has.
template <class T>
struct EntryBuffer {
    std::uint32_t* begin;
    std::int32_t* index;
    T* value;
    void* dense;          // one tile of strided rows, made contiguous
    std::uint8_t* bytes;  // one row of bits, with groups of bits
};

constexpr std::size_t kEntrySlack = 8;

// The positions of the set bits of a byte.
struct BitPositions {
    std::uint8_t of[256][8] = {};
    std::uint8_t count[256] = {};
    constexpr BitPositions() {
        for (int mask = 0; mask < 256; ++mask) {
            for (int bit = 0; bit < 8; ++bit) {
                if ((mask >> bit & 1) != 0)
                    of[mask][count[mask]++] = static_cast<std::uint8_t>(bit);
            }
        }
    }
};
constexpr BitPositions kBitPositions;

constexpr std::uint64_t kEachByte = 0x0101010101010101;

// The lowest bits of eight bytes, as one byte.
inline std::uint64_t low_bits(std::uint64_t bytes) {
    return (bytes & kEachByte) * 0x0102040810204080 >> 56;
}

inline std::uint64_t load_bytes(const std::uint8_t* from, std::size_t count) {
    std::uint64_t bytes = 0;
    if (count >= 8)
        __builtin_memcpy(&bytes, from, 8);
    else
        __builtin_memcpy(&bytes, from, count);
    return bytes;
}

// Appends base + position of each byte whose lowest bit is set in `pick(bytes)`.
template <class Pick>
inline std::int32_t* append_bytes(const std::uint8_t* row, std::size_t D, std::int32_t base,
                                  std::int32_t* out, Pick pick) {
    for (std::size_t d = 0; d < D; d += 8) {
        const std::uint64_t mask = low_bits(pick(load_bytes(row + d, D - d)));
        const std::uint8_t* positions = kBitPositions.of[mask];
        const std::int32_t first = base + static_cast<std::int32_t>(d);
        for (int i = 0; i < 8; ++i)
            out[i] = first + positions[i];
        out += kBitPositions.count[mask];
    }
    return out;
}

template <class T>
static std::size_t bernoulli_entries(const IndexedTask<T>& task, const std::uint8_t* row,
                                     std::int32_t* index) {
    const std::size_t D = task.rows.n_features;
    std::int32_t* end = index;
    if (!task.marginalize) {
        end = append_bytes(row, D, 0, end, [](std::uint64_t bytes) { return bytes; });
    } else {  // the bytes are 0, 1 or 255
        end = append_bytes(row, D, 0, end, [](std::uint64_t b) { return b & ~(b >> 7); });
        end = append_bytes(row, D, static_cast<std::int32_t>(task.n_values), end,
                           [](std::uint64_t b) { return b >> 7; });
    }
    return static_cast<std::size_t>(end - index);
}

// Appends the entries of the 16 groups of bits of a word, the first of which has index `base`.
inline std::int32_t* append_groups(std::uint64_t word, std::int32_t base, std::int32_t* out) {
#if VEMFAST_VECTOR_BYTES >= 32 && defined(__AVX2__)
    // Eight groups in lanes; those that are not zero move to the front.
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (int half = 0; half < 2; ++half) {
        const __m256i bits = _mm256_set1_epi32(static_cast<int>(word >> 32 * half));
        const __m256i pattern = _mm256_and_si256(
            _mm256_srlv_epi32(bits, _mm256_slli_epi32(lane, 2)), _mm256_set1_epi32(15));
        const __m256i index =
            _mm256_add_epi32(_mm256_add_epi32(pattern, _mm256_slli_epi32(lane, 4)),
                             _mm256_set1_epi32(base + half * static_cast<int>(8 * kPatterns)));
        const __m256i is_any = _mm256_cmpgt_epi32(pattern, _mm256_setzero_si256());
        const int mask = _mm256_movemask_ps(_mm256_castsi256_ps(is_any));
        long long positions = 0;
        __builtin_memcpy(&positions, kBitPositions.of[mask], sizeof positions);
        const __m256i order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(positions));
        const __m256i packed = _mm256_permutevar8x32_epi32(index, order);
        __builtin_memcpy(out, &packed, sizeof packed);
        out += kBitPositions.count[mask];
    }
#else
    for (int group = 0; group < 16; ++group) {
        const auto pattern = static_cast<std::int32_t>(word >> 4 * group & 15);
        *out = base + group * static_cast<std::int32_t>(kPatterns) + pattern;
        out += pattern != 0;
    }
#endif
    return out;
}

// The lowest bits of up to 64 bytes.
inline std::uint64_t word_of_bytes(const std::uint8_t* from, std::size_t count) {
    std::uint64_t word = 0;
#if VEMFAST_VECTOR_BYTES >= 32 && defined(__AVX2__)
    if (count >= 64) {
        for (int half = 0; half < 2; ++half) {
            __m256i bytes;
            __builtin_memcpy(&bytes, from + 32 * half, sizeof bytes);
            const int mask = _mm256_movemask_epi8(_mm256_slli_epi16(bytes, 7));
            word |= std::uint64_t{static_cast<std::uint32_t>(mask)} << 32 * half;
        }
        return word;
    }
#endif
    for (std::size_t i = 0; i < 64 && i < count; i += 8)
        word |= low_bits(load_bytes(from + i, count - i)) << i;
    return word;
}

// Rows that are fetched ahead of the one that is read: what is done with a row takes so little time
// that reading it from memory would be a seventh of the whole.
constexpr std::size_t kRowsAhead = 4;

template <class Item>
inline void fetch(const Item* from, std::size_t items_ahead) {
    // An address, not a pointer: it may lie behind the array.
    const auto address = reinterpret_cast<std::uintptr_t>(from) + items_ahead * sizeof(Item);
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    __builtin_prefetch(reinterpret_cast<const void*>(address));
}

// One entry for each group of bits that is not all zero.
static std::size_t grouped_entries(const std::uint8_t* row, std::size_t D, std::int32_t* index) {
    std::int32_t* end = index;
    for (std::size_t d = 0; d < D; d += 64) {
        fetch(row + d, kRowsAhead * D);
        const auto base = static_cast<std::int32_t>(d / kGroupBits * kPatterns);
        end = append_groups(word_of_bytes(row + d, D - d), base, end);
    }
    return static_cast<std::size_t>(end - index);
}

// The same of sparse rows. `bytes` is a buffer for D of them: where there are not few bits it is
// quicker to write them down there than to put words together.
static std::size_t grouped_entries(const std::int32_t* columns, std::size_t n, std::size_t D,
                                   std::uint8_t* bytes, std::int32_t* index) {
    constexpr auto kWordEntries = static_cast<std::int32_t>(64 / kGroupBits * kPatterns);
    if (n * 16 >= D) {
        for (std::size_t i = 0; i < n; i += 16)
            fetch(columns + i, kRowsAhead * n);
        __builtin_memset(bytes, 0, D);
        for (std::size_t i = 0; i < n; ++i)
            bytes[columns[i]] = 1;
        return grouped_entries(bytes, D, index);
    }
    std::int32_t* end = index;
    for (std::size_t i = 0; i < n;) {
        const std::int32_t number = columns[i] >> 6;
        std::uint64_t word = 0;
        for (; i < n && columns[i] >> 6 == number; ++i)
            word |= std::uint64_t{1} << (columns[i] & 63);
        end = append_groups(word, number * kWordEntries, end);
    }
    return static_cast<std::size_t>(end - index);
}

template <class T, class Code>
static std::size_t categorical_entries(const IndexedTask<T>& task, const Code* row,
                                       std::int32_t* index) {
    const std::size_t D = task.rows.n_features;
    std::size_t size = 0;
    for (std::size_t d = 0; d < D; ++d) {
        const Code code = row[d];
        index[size] = static_cast<std::int32_t>(task.column_offsets[d]) + static_cast<int>(code);
        size += !task.marginalize || code != static_cast<Code>(-1) ? 1 : 0;
    }
    return size;
}

template <class T, class Count>
static std::size_t count_entries(const IndexedTask<T>& task, const Count* row, std::int32_t* index,
                                 T* value) {
    const std::size_t D = task.rows.n_features;
    std::size_t size = 0;
    for (std::size_t d = 0; d < D; ++d) {
        index[size] = static_cast<std::int32_t>(d);
        value[size] = static_cast<T>(row[d]);
        size += row[d] > 0 ? 1 : 0;  // not NaN
    }
    if (!task.marginalize)
        return size;
    for (std::size_t d = 0; d < D; ++d) {
        index[size] = static_cast<std::int32_t>(task.n_values + d);
        value[size] = T(1);
        size += __builtin_isnan(row[d]) ? 1 : 0;
    }
    return size;
}

template <class T, class Count>
static std::size_t sparse_entries(const IndexedTask<T>& task, const std::int32_t* columns,
                                  const Count* values, std::size_t n, std::int32_t* index,
                                  T* value) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < n; ++i) {
        index[size] = columns[i];
        value[size] = static_cast<T>(values[i]);
        size += __builtin_isnan(values[i]) ? 0 : 1;
    }
    for (std::size_t i = 0; task.marginalize && i < n; ++i) {
        index[size] = static_cast<std::int32_t>(task.n_values) + columns[i];
        value[size] = T(1);
        size += __builtin_isnan(values[i]) ? 1 : 0;
    }
    return size;
}

// A tile of dense rows with contiguous columns: in place, or copied, some rows at a time so that a
// cache line of a column is used up while it is hot.
template <class Item>
static const Item* contiguous_rows(const IndexedRows& rows, std::size_t first, std::size_t n,
                                   void* buffer, std::ptrdiff_t& row_stride) {
    const Item* source =
        static_cast<const Item*>(rows.data) + static_cast<std::ptrdiff_t>(first) * rows.row_stride;
    row_stride = rows.row_stride;
    if (rows.column_stride == 1)
        return source;
    Item* target = static_cast<Item*>(buffer);
    const std::size_t D = rows.n_features;
    row_stride = static_cast<std::ptrdiff_t>(D);
    constexpr std::size_t kRows = 64 / sizeof(Item);
    for (std::size_t n0 = 0; n0 < n; n0 += kRows) {
        const std::size_t end = n0 + kRows < n ? n0 + kRows : n;
        for (std::size_t d = 0; d < D; ++d) {
            const Item* column = source + static_cast<std::ptrdiff_t>(d) * rows.column_stride;
            for (std::size_t r = n0; r < end; ++r)
                target[r * D + d] = column[static_cast<std::ptrdiff_t>(r) * rows.row_stride];
        }
    }
    return target;
}

template <class T, class Item, class Write>
static void write_dense(const IndexedTask<T>& task, std::size_t first, std::size_t n,
                        const EntryBuffer<T>& buffer, Write write) {
    std::ptrdiff_t stride = 0;
    const Item* row = contiguous_rows<Item>(task.rows, first, n, buffer.dense, stride);
    std::size_t size = 0;
    for (std::size_t r = 0; r < n; ++r, row += stride) {
        buffer.begin[r] = static_cast<std::uint32_t>(size);
        size += write(row, buffer.index + size, buffer.value + size);
    }
    buffer.begin[n] = static_cast<std::uint32_t>(size);
}

template <class T, class Count>
static void write_sparse(const IndexedTask<T>& task, std::size_t first, std::size_t n,
                         const EntryBuffer<T>& buffer) {
    const std::int64_t* indptr = task.rows.indptr + first;
    const Count* values = static_cast<const Count*>(task.rows.values);
    std::size_t size = 0;
    for (std::size_t r = 0; r < n; ++r) {
        buffer.begin[r] = static_cast<std::uint32_t>(size);
        size += sparse_entries<T>(task, task.rows.indices + indptr[r], values + indptr[r],
                                  static_cast<std::size_t>(indptr[r + 1] - indptr[r]),
                                  buffer.index + size, buffer.value + size);
    }
    buffer.begin[n] = static_cast<std::uint32_t>(size);
}

template <class T>
static void write_groups(const IndexedTask<T>& task, std::size_t first, std::size_t n,
                         const EntryBuffer<T>& buffer) {
    const IndexedRows& rows = task.rows;
    if (rows.storage == Storage::bytes) {
        write_dense<T, std::uint8_t>(task, first, n, buffer,
                                     [&](const std::uint8_t* row, std::int32_t* index, const T*) {
                                         return grouped_entries(row, rows.n_features, index);
                                     });
        return;
    }
    const std::int64_t* indptr = rows.indptr + first;
    std::size_t size = 0;
    for (std::size_t r = 0; r < n; ++r) {
        buffer.begin[r] = static_cast<std::uint32_t>(size);
        size += grouped_entries(rows.indices + indptr[r],
                                static_cast<std::size_t>(indptr[r + 1] - indptr[r]),
                                rows.n_features, buffer.bytes, buffer.index + size);
    }
    buffer.begin[n] = static_cast<std::uint32_t>(size);
}

// Entries of rows [first, first + n).
template <class T>
static TileEntries<T> tile_entries(const IndexedTask<T>& task, std::size_t first, std::size_t n,
                                   const EntryBuffer<T>& buffer) {
    const IndexedRows& rows = task.rows;
    const bool counts = task.family == IndexedFamily::poisson;
    TileEntries<T> entries{buffer.begin, buffer.index, counts ? buffer.value : nullptr, n};
    if (task.n_groups > 0) {
        write_groups<T>(task, first, n, buffer);
        return entries;
    }
    const auto count_row = [&](const auto* row, std::int32_t* index, T* value) {
        return count_entries<T>(task, row, index, value);
    };
    switch (rows.storage) {
        case Storage::bytes:
            if (task.family == IndexedFamily::bernoulli)
                write_dense<T, std::uint8_t>(
                    task, first, n, buffer,
                    [&](const std::uint8_t* row, std::int32_t* index, const T*) {
                        return bernoulli_entries<T>(task, row, index);
                    });
            else
                write_dense<T, std::uint8_t>(
                    task, first, n, buffer,
                    [&](const std::uint8_t* row, std::int32_t* index, const T*) {
                        return categorical_entries<T>(task, row, index);
                    });
            return entries;
        case Storage::codes:
            write_dense<T, std::int32_t>(
                task, first, n, buffer,
                [&](const std::int32_t* row, std::int32_t* index, const T*) {
                    return categorical_entries<T>(task, row, index);
                });
            return entries;
        case Storage::float_counts:
            write_dense<T, float>(task, first, n, buffer, count_row);
            return entries;
        case Storage::double_counts:
            write_dense<T, double>(task, first, n, buffer, count_row);
            return entries;
        case Storage::csr_ones:
            break;
        case Storage::csr_float:
            if (sizeof(T) == sizeof(float) && counts && !task.marginalize)
                break;
            write_sparse<T, float>(task, first, n, buffer);
            return entries;
        case Storage::csr_double:
            if (sizeof(T) == sizeof(double) && counts && !task.marginalize)
                break;
            write_sparse<T, double>(task, first, n, buffer);
            return entries;
    }
    const std::int64_t* indptr = rows.indptr + first;
    for (std::size_t r = 0; r <= n; ++r)
        buffer.begin[r] = static_cast<std::uint32_t>(indptr[r] - indptr[0]);
    entries.index = rows.indices + indptr[0];
    entries.value =
        rows.values == nullptr ? nullptr : static_cast<const T*>(rows.values) + indptr[0];
    return entries;
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
