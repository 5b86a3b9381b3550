// The operators of fast.onnx (export/fast_ops.py) for ONNX Runtime, each in one pass over its rows.
//
// What is thread_local is memory to be used again: fresh memory costs more than what it is for.
// Inputs: what the operator reads by place, and then what only its body of standard operators does.
// All tensors are row-major; the residual stream is int32 plus an offset. One thread.
#include <array>
#include <exception>
#include <memory>
#include <mutex>
#include <string>

#include "bits.hpp"
#include "norm.hpp"
#include "ort.hpp"

namespace {
using bits::Columns;
using bits::Rows;
using bits::Word;
using bits::WORD;

struct Error : std::exception {
    ort::Status* status;
    explicit Error(ort::Status* status) : status(status) {}
};

template <typename T>
struct Tensor {
    T* data;
    std::array<int64_t, 4> shape;  // 0 beyond its dimensions
};

// The inputs and outputs of one call.
struct Call {
    ort::Api api;
    ort::KernelContext* context;

    void check(ort::Status* status) const {
        if (status) throw Error(status);
    }
    const ort::Value* value(size_t index) const {
        const ort::Value* result = nullptr;
        check(api.input(context, index, &result));
        return result;
    }
    template <typename T>
    T* data(const ort::Value* value) const {
        void* result = nullptr;
        check(api.data(const_cast<ort::Value*>(value), &result));
        return static_cast<T*>(result);
    }
    template <typename T>
    const T* input_data(size_t index) const {
        return data<const T>(value(index));
    }
    template <typename T>
    Tensor<const T> input(size_t index) const {
        const ort::Value* const given = value(index);
        ort::Shape* shape = nullptr;
        check(api.shape(given, &shape));
        Tensor<const T> result{nullptr, {}};
        size_t count = 0;
        ort::Status* failed = api.dimension_count(shape, &count);
        count = std::min(count, result.shape.size());
        if (!failed) failed = api.dimensions(shape, result.shape.data(), count);
        api.release(shape);
        check(failed);
        result.data = data<const T>(given);
        return result;
    }
    template <typename T>
    T* output(int64_t rows, int64_t columns) const {
        const int64_t shape[] = {rows, columns};
        ort::Value* result = nullptr;
        check(api.output(context, 0, shape, 2, &result));
        return data<T>(result);
    }
};

// Reads inputs one after the other.
struct Reader {
    const Call& call;
    size_t next;

    template <typename T>
    Tensor<const T> read() {
        return call.input<T>(next++);
    }
    Formats formats() {
        const int64_t* f = read<int64_t>().data;
        return {f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]};
    }
    LayerNorm layer_norm(const Formats& f) {
        auto gamma = read<int64_t>(), beta = read<int64_t>(), roots = read<int64_t>();
        return {f, gamma.data, beta.data, gamma.shape[0], roots.data, roots.shape[0]};
    }
};

// {-1,+1} inputs, bits that their accumulators give by a threshold each
struct Threshold {
    const int32_t* inputs;  // thresholds of the residual stream, with its offset
    int64_t depth, outputs;
    Columns weight;
    std::vector<Word> limits;  // padded like the weight's columns; there no bit is 1

    explicit Threshold(Reader& reader) {
        auto input = reader.read<int32_t>();
        auto matrix = reader.read<int8_t>();
        auto threshold = reader.read<int64_t>();
        inputs = input.data, depth = matrix.shape[0], outputs = matrix.shape[1];
        weight = bits::pack_weight(matrix.data, depth, outputs);
        limits.assign(static_cast<size_t>(weight.padded), 0);
        for (int64_t c = 0; c < outputs; c++)
            limits[c] = bits::limit_of(threshold.data[c], depth);
    }
    void pack(const int32_t* rows, int64_t count, Rows& result) const {
        result.resize(count, bits::words(depth));
        for (int64_t r = 0; r < count; r++)
            for (int64_t w = 0; w < result.words; w++)
                result.row(r)[w] = bits::reached(rows + r * depth + w * WORD, inputs + w * WORD,
                                                 depth - w * WORD);
    }
    void pack(const int32_t* rows, int64_t count, Columns& result) const {
        result.resize(count, bits::words(depth));
        for (int64_t w = 0; w < result.words; w++)
            for (int64_t r = 0; r < count; r++)
                result.data[w * result.padded + r] = bits::reached(
                    rows + r * depth + w * WORD, inputs + w * WORD, depth - w * WORD);
    }
};

// The matrix at a block's end: requantized, added to the residual stream, and normalized
struct ResidualNorm {
    Columns weight;
    Requantize requantize;
    LayerNorm norm;

    // bipolar: the set of the inputs
    ResidualNorm(Reader& reader, const Formats& f, bool bipolar) {
        auto matrix = reader.read<int8_t>();
        auto scale = reader.read<int64_t>(), bias = reader.read<int64_t>();
        const int64_t depth = matrix.shape[0], outputs = matrix.shape[1];
        weight = bits::pack_weight(matrix.data, depth, outputs);
        std::vector<int64_t> start(static_cast<size_t>(outputs), bipolar ? depth : 0);
        if (!bipolar)
            for (int64_t i = 0; i < depth; i++)
                for (int64_t c = 0; c < outputs; c++) start[c] += matrix.data[i * outputs + c] > 0;
        requantize = {scale.data, bias.data, outputs, start, bipolar ? 2 : 1};
        norm = reader.layer_norm(f);
    }
    void operator()(const Rows& inputs, const int32_t* rows, int32_t* result) const {
        const int64_t hidden = norm.hidden;
        const auto offset = static_cast<int32_t>(norm.offset);
        bits::differing(inputs, weight, [&](int64_t r, int64_t begin, const Word* counts) {
            const int64_t count = std::min(bits::LANES, hidden - begin);
            const int32_t* from = rows + r * hidden + begin;
            int32_t* to = result + r * hidden + begin;
            for (int64_t i = 0; i < count; i++) {
                const double sum = (from[i] - offset) + requantize(counts[i], begin + i);
                to[i] = static_cast<int32_t>(std::min(std::max(sum, norm.low), norm.high));
            }
        });
        norm(result, inputs.rows);
    }
};

// Word embeddings of one bit, positions and token types, normalized
struct Embedding {
    static constexpr const char* NAME = "Embedding";
    static constexpr int64_t AHEAD = 4;  // rows
    static constexpr int OUTPUT = ort::INT32;
    static constexpr size_t PARAMETERS = 2;
    // int32, which holds the sum too: half the memory to read
    struct Table {
        int64_t rows;
        std::vector<int32_t> data;

        explicit Table(const Tensor<const double>& from)
            : rows(from.shape[0]),
              data(from.data, from.data + rows * std::max<int64_t>(from.shape[1], 1)) {}
    };
    Formats formats;
    Tensor<const int8_t> word;
    Table scale, position, token_type;
    LayerNorm norm;

    explicit Embedding(Reader reader)
        : formats(reader.formats()),
          word(reader.read<int8_t>()),
          scale(reader.read<double>()),
          position(reader.read<double>()),
          token_type(reader.read<double>()),
          norm(reader.layer_norm(formats)) {}

    void operator()(const Call& call) const {
        auto ids = call.input<int64_t>(0);
        const int64_t* types = call.input_data<int64_t>(1);
        const int64_t tokens = ids.shape[1], rows = ids.shape[0] * tokens, hidden = norm.hidden;
        int32_t* result = call.output<int32_t>(rows, hidden);
        for (int64_t r = 0; r < rows; r++) {
            const int64_t id = row_of(ids.data[r], scale, call), n = r % tokens;
            const int64_t type = row_of(types[r], token_type, call);
            row_of(n, position, call);
            const int8_t* sign = word.data + id * hidden;
            prefetch(ids.data, r + AHEAD, rows);
            const int32_t size = scale.data[id];
            const int32_t* at = position.data.data() + n * hidden;
            const int32_t* of = token_type.data.data() + type * hidden;
            int32_t* to = result + r * hidden;
            for (int64_t c = 0; c < hidden; c++) to[c] = sign[c] * size + at[c] + of[c];
        }
        norm(result, rows);
    }
    // A word's row is nearly always far away in memory.
    void prefetch(const int64_t* ids, int64_t r, int64_t rows) const {
        if (r >= rows || ids[r] < 0 || ids[r] >= word.shape[0]) return;
        for (int64_t c = 0; c < norm.hidden; c += 64)
            __builtin_prefetch(word.data + ids[r] * norm.hidden + c);
        __builtin_prefetch(scale.data.data() + ids[r]);
    }
    // Negative indices count from the end, as in Gather.
    static int64_t row_of(int64_t index, const Table& table, const Call& call) {
        const int64_t rows = table.rows, row = index < 0 ? index + rows : index;
        if (row < 0 || row >= rows)
            throw Error(call.api.status(("Embedding: index " + std::to_string(index) +
                                         " is out of bounds of " + std::to_string(rows) + " rows")
                                            .c_str()));
        return row;
    }
};

// Attention and what follows it up to its LayerNorm. SPS: a threshold of scores per head;
// RELATIVE: scores have a bias of the distance from query to key
template <bool SPS, bool RELATIVE>
struct SelfAttention {
    static constexpr const char* NAME =
        RELATIVE ? (SPS ? "RelativePolarizedSelfAttention" : "RelativeSelfAttention")
                 : (SPS ? "PolarizedSelfAttention" : "SelfAttention");
    static constexpr int OUTPUT = ort::INT32;
    static constexpr size_t PARAMETERS = 2;
    static constexpr int32_t FAR = 1 << 20;             // more than any distance
    static constexpr int32_t REACH = RELATIVE ? 3 : 1;  // in widths: how much distances differ
    static constexpr int64_t PART = 16;                 // keys at a time

    struct Memory {
        Rows x, q, k, v, context;
        Columns x_columns;
        std::vector<Word> keys, values, chosen, kept;
        std::vector<int32_t> far, distances, nearer;
    };
    Formats formats;
    Threshold query, key, value;
    Rows value_weight;
    Tensor<const int64_t> bias;  // RELATIVE: (heads, 2 R + 1), how much nearer keys are
    Tensor<const int64_t> head_threshold;
    std::vector<int32_t> table;           // of exponentials, and 0 beyond; none for SPS
    std::vector<int32_t> context_limits;  // thresholds of the context
    ResidualNorm output;

    explicit SelfAttention(Reader reader)
        : formats(reader.formats()),
          query(reader),
          key(reader),
          value(reader),
          value_weight(bits::transposed(value.weight)),
          bias(RELATIVE ? reader.read<int64_t>() : Tensor<const int64_t>{nullptr, {}}),
          head_threshold(reader.read<int64_t>()),
          table(exponentials(reader)),
          context_limits(whole(reader.read<float>())),
          output(reader, formats, true) {}

    void operator()(const Call& call) const {
        thread_local Memory memory;
        run(call, memory);
    }
    // Not inlined, or each use of the memory would look it up again.
    __attribute__((noinline)) void run(const Call& call, Memory& memory) const {
        const int32_t* rows = call.input_data<int32_t>(0);
        auto mask = call.input<int64_t>(1);
        const int64_t batch = mask.shape[0], tokens = mask.shape[1], count = batch * tokens;
        const int64_t hidden = output.norm.hidden, width = hidden / formats.heads;
        const int64_t head_words = bits::words(width), token_words = bits::words(tokens);
        auto& [x, q, k, v, context, x_columns, keys, values, chosen, kept, far, distances, nearer] =
            memory;
        query.pack(rows, count, x);
        bits::threshold_columns(x, query.weight, query.limits, q);
        key.pack(rows, count, x);
        bits::threshold_columns(x, key.weight, key.limits, k);
        value.pack(rows, count, x_columns);
        bits::threshold_rows(value_weight, x_columns, value.limits, v);  // (channels, tokens)

        context.resize(count, bits::words(hidden));
        std::fill(context.data.begin(), context.data.end(), Word{0});
        const int64_t padded = (tokens + PART - 1) / PART * PART;
        keys.assign(head_words * padded, 0), values.resize(token_words * width);
        chosen.resize(token_words), kept.resize(token_words);
        far.assign(padded, FAR), distances.resize(padded);
        const int64_t places = tokens + padded;
        if (RELATIVE) fill_nearer(tokens, places, nearer);
        for (int64_t s = 0; s < batch; s++) {
            std::fill(kept.begin(), kept.end(), Word{0});
            for (int64_t j = 0; j < tokens; j++) {
                const bool keep = mask.data[s * tokens + j] != 0;
                kept[j / WORD] |= static_cast<Word>(keep) << (j % WORD);
                far[j] = keep ? 0 : FAR;
            }
            for (int64_t h = 0; h < formats.heads; h++) {
                for (int64_t w = 0; w < head_words; w++)
                    for (int64_t j = 0; j < tokens; j++)
                        keys[w * padded + j] = head_word(k.row(s * tokens + j), h, w, width);
                for (int64_t c = 0; c < width; c++)
                    for (int64_t w = 0; w < token_words; w++)
                        values[w * width + c] =
                            bits::extract(v.row(h * width + c), s * tokens + w * WORD,
                                          std::min(WORD, tokens - w * WORD));
                for (int64_t i = 0; i < tokens; i++) {
                    const Word* row = q.row(s * tokens + i);
                    for (int64_t w = 0; w < head_words; w++)
                        add_differing(head_word(row, h, w, width), &keys[w * padded],
                                      w == 0 ? far.data() : distances.data(), padded,
                                      distances.data());
                    if (RELATIVE) {
                        const int32_t* by = &nearer[h * places + tokens - i];
                        for (int64_t j = 0; j < padded; j++) distances[j] -= by[j];
                    }
                    const int32_t limit = decide(distances.data(), padded, h, width);
                    for (int64_t w = 0; w < token_words; w++)
                        chosen[w] = kept[w] & bits::reached(&distances[w * WORD], limit,
                                                            tokens - w * WORD);
                    take(chosen.data(), values.data(), token_words, h * width, width,
                         context.row(s * tokens + i));
                }
            }
        }
        output(context, rows, call.output<int32_t>(count, hidden));
    }

  private:
    static std::vector<int32_t> exponentials(Reader& reader) {
        if (SPS) return {};
        auto given = reader.read<int64_t>();
        const int64_t width = given.shape[0] - 1;
        std::vector<int32_t> result(given.data, given.data + width + 1);
        result.resize(REACH * width + 1, result.back());
        result.push_back(0);
        return result;
    }
    // Of each head, the bias of each place after a query's, from `tokens` before it on
    void fill_nearer(int64_t tokens, int64_t places, std::vector<int32_t>& result) const {
        const int64_t entries = bias.shape[1], reach = entries / 2;
        result.resize(formats.heads * places);
        for (int64_t h = 0; h < formats.heads; h++)
            for (int64_t n = 0; n < places; n++) {
                const int64_t entry = std::clamp<int64_t>(n - tokens + reach, 0, entries - 1);
                result[h * places + n] = static_cast<int32_t>(bias.data[h * entries + entry]);
            }
    }
    // Thresholds of integers, far from where int32 ends
    static std::vector<int32_t> whole(const Tensor<const float>& thresholds) {
        constexpr float MOST = 1 << 20;
        std::vector<int32_t> result;
        for (int64_t c = 0; c < thresholds.shape[0]; c++)
            result.push_back(static_cast<int32_t>(
                std::ceil(std::min(std::max(thresholds.data[c], -MOST), MOST))));
        return result;
    }
    static Word head_word(const Word* row, int64_t head, int64_t word, int64_t width) {
        return bits::extract(row, head * width + word * WORD, std::min(WORD, width - word * WORD));
    }
    static void add_differing(Word query, const Word* keys, const int32_t* before, int64_t padded,
                              int32_t* distances) {
        for (int64_t begin = 0; begin < padded; begin += PART) {
            int32_t counts[PART];
            for (int64_t i = 0; i < PART; i++)
                counts[i] = static_cast<int32_t>(__builtin_popcountll(query ^ keys[begin + i]));
            for (int64_t i = 0; i < PART; i++) counts[i] += before[begin + i];
            std::copy_n(counts, PART, distances + begin);
        }
    }
    // Turns distances into what reaches the result for a 1: a score is width - 2 distance. A padded
    // key is far: what it becomes does not matter, but adds nothing to the sum of exponentials.
    int32_t decide(int32_t* x, int64_t padded, int64_t head, int64_t width) const {
        const int64_t threshold = head_threshold.data[head];
        const auto size = static_cast<int32_t>(width);
        const int32_t beyond = REACH * size + 1;
        if (SPS) {
            for (int64_t j = 0; j < padded; j++) x[j] = size - 2 * x[j];
            return static_cast<int32_t>(std::clamp<int64_t>(threshold, -beyond, beyond));
        }
        int32_t lanes[PART];
        std::fill_n(lanes, PART, FAR);
        for (int64_t begin = 0; begin < padded; begin += PART)
            for (int64_t i = 0; i < PART; i++) lanes[i] = std::min(lanes[i], x[begin + i]);
        int32_t least = FAR;
        for (int64_t i = 0; i < PART; i++) least = std::min(least, lanes[i]);
        std::fill_n(lanes, PART, 0);
        const int32_t* exponentials = table.data();
        for (int64_t begin = 0; begin < padded; begin += PART) {
            int32_t e[PART];
            for (int64_t i = 0; i < PART; i++)
                e[i] = exponentials[std::min(x[begin + i] - least, beyond)];
            for (int64_t i = 0; i < PART; i++) lanes[i] += e[i];
            std::copy_n(e, PART, x + begin);
        }
        int32_t total = 0;  // below 2^24
        for (int64_t i = 0; i < PART; i++) total += lanes[i];
        // e 2^k > threshold total
        return static_cast<int32_t>((threshold * total >> formats.probability_bits) + 1);
    }
    // Bits of the context: 2 (chosen values of +1) - (chosen)
    void take(const Word* chosen, const Word* values, int64_t token_words, int64_t begin,
              int64_t width, Word* row) const {
        int32_t count = 0;
        for (int64_t w = 0; w < token_words; w++) count += __builtin_popcountll(chosen[w]);
        for (int64_t c = 0; c < width; c += WORD) {
            const int64_t part = std::min(WORD, width - c);
            const Word word = bits::doubled_reached(chosen, values + c, width, token_words,
                                                    &context_limits[begin + c], count, part);
            const int64_t at = begin + c, shift = at % WORD;
            row[at / WORD] |= word << shift;
            if (shift + part > WORD) row[at / WORD + 1] |= word >> (WORD - shift);
        }
    }
};

// Both matrices of the feed-forward part, up to its LayerNorm
struct FeedForward {
    static constexpr const char* NAME = "FeedForward";
    static constexpr int OUTPUT = ort::INT32;
    static constexpr size_t PARAMETERS = 1;
    Formats formats;
    Threshold up;
    ResidualNorm down;

    explicit FeedForward(Reader reader)
        : formats(reader.formats()), up(reader), down(reader, formats, false) {}

    void operator()(const Call& call) const {
        auto rows = call.input<int32_t>(0);
        thread_local Rows memory[2];
        Rows &x = memory[0], &middle = memory[1];
        up.pack(rows.data, rows.shape[0], x);
        bits::threshold_columns(x, up.weight, up.limits, middle);
        down(middle, rows.data, call.output<int32_t>(rows.shape[0], rows.shape[1]));
    }
};

// Pooler and classifier of the first tokens
struct Classifier {
    static constexpr const char* NAME = "Classifier";
    static constexpr int OUTPUT = ort::INT64;
    static constexpr size_t PARAMETERS = 2;
    Tensor<const int32_t> inputs;
    Columns weight;
    Requantize requantize;
    int64_t hidden;
    double one;
    Tensor<const double> matrix, bias;

    explicit Classifier(Reader reader) {
        const Formats f = reader.formats();
        inputs = reader.read<int32_t>();
        auto pooler = reader.read<int8_t>();
        auto scale = reader.read<int64_t>(), pooler_bias = reader.read<int64_t>();
        hidden = pooler.shape[0];
        weight = bits::pack_weight(pooler.data, hidden, hidden);
        const std::vector<int64_t> start(static_cast<size_t>(hidden), hidden);
        requantize = {scale.data, pooler_bias.data, hidden, start, 2};
        one = std::ldexp(1.0, static_cast<int>(f.fraction_bits));
        matrix = reader.read<double>(), bias = reader.read<double>();
    }
    void operator()(const Call& call) const {
        const int32_t* rows = call.input_data<int32_t>(0);
        auto ids = call.input<int64_t>(1);
        const int64_t batch = ids.shape[0], tokens = ids.shape[1], labels = bias.shape[0];
        int64_t* logits = call.output<int64_t>(batch, labels);
        thread_local Rows x;
        thread_local std::vector<double> pooled;
        x.resize(batch, bits::words(hidden));
        for (int64_t s = 0; s < batch; s++)
            for (int64_t w = 0; w < x.words; w++)
                x.row(s)[w] = bits::reached(rows + s * tokens * hidden + w * WORD,
                                            inputs.data + w * WORD, hidden - w * WORD);
        pooled.resize(static_cast<size_t>(batch * hidden));
        bits::differing(x, weight, [&](int64_t s, int64_t begin, const Word* counts) {
            for (int64_t i = 0; i < std::min(bits::LANES, hidden - begin); i++)
                pooled[s * hidden + begin + i] =
                    std::min(std::max(requantize(counts[i], begin + i), -one), one);
        });
        for (int64_t s = 0; s < batch; s++)
            for (int64_t l = 0; l < labels; l++) {
                double sum = bias.data[l];
                for (int64_t c = 0; c < hidden; c++)
                    sum += pooled[s * hidden + c] * matrix.data[c * labels + l];
                logits[s * labels + l] = static_cast<int64_t>(sum);
            }
    }
};

// A node: what its operator makes of the node's constants is made when it first runs.
template <typename K>
struct Node {
    ort::Api api;
    std::once_flag made;
    std::unique_ptr<K> kernel;
};

template <typename K>
ort::Status* compute(void* pointer, ort::KernelContext* context) {
    auto* node = static_cast<Node<K>*>(pointer);
    try {
        const Call call{node->api, context};
        std::call_once(node->made, [&] {
            node->kernel = std::make_unique<K>(Reader{call, K::PARAMETERS});
        });
        (*node->kernel)(call);
        return nullptr;
    } catch (const Error& error) {
        return error.status;
    } catch (const std::exception& error) {
        return node->api.status(error.what());
    }
}

// Every operator takes any number of inputs of any types.
template <typename K>
const ort::Op* describe() {
    static const ort::Op op = [] {
        ort::Op result{};
        result.version = ort::VERSION;
        result.name = [](const ort::Op*) { return K::NAME; };
        result.provider = [](const ort::Op*) -> const char* { return nullptr; };
        result.input_type = [](const ort::Op*, size_t) -> int { return ort::ANY_TYPE; };
        result.input_count = [](const ort::Op*) -> size_t { return 1; };
        result.output_type = [](const ort::Op*, size_t) -> int { return K::OUTPUT; };
        result.output_count = [](const ort::Op*) -> size_t { return 1; };
        result.destroy = [](void* node) { delete static_cast<Node<K>*>(node); };
        result.input_presence = [](const ort::Op*, size_t) -> int { return ort::VARIADIC; };
        result.output_presence = [](const ort::Op*, size_t) -> int { return ort::REQUIRED; };
        result.input_memory = [](const ort::Op*, size_t) -> int { return ort::MEMORY; };
        result.least_variadic_inputs = [](const ort::Op*) { return 1; };
        result.same_variadic_inputs = [](const ort::Op*) { return 0; };
        result.least_variadic_outputs = [](const ort::Op*) { return 1; };
        result.same_variadic_outputs = [](const ort::Op*) { return 0; };
        result.create = [](const ort::Op*, ort::Table table, const ort::KernelInfo*,
                           void** kernel) -> ort::Status* {
            auto* node = new Node<K>;
            node->api.table = table;
            *kernel = node;
            return nullptr;
        };
        result.compute = compute<K>;
        result.first_opset = [](const ort::Op*) { return 1; };
        result.last_opset = [](const ort::Op*) { return 1; };
        return result;
    }();
    return &op;
}
}  // namespace

// What ONNX Runtime calls in a library of operators.
extern "C" __attribute__((visibility("default"))) ort::Status* RegisterCustomOps(
    ort::SessionOptions* options, const ort::ApiBase* base) {
    const ort::Api api{base->get(ort::VERSION)};
    if (!api.table) return nullptr;  // an older ONNX Runtime, which inlines the functions
    ort::Domain* domain = nullptr;
    if (ort::Status* failed = api.create_domain("edgebert.fast", &domain)) return failed;
    for (const ort::Op* op :
         {describe<Embedding>(), describe<SelfAttention<false, false>>(),
          describe<SelfAttention<true, false>>(), describe<SelfAttention<false, true>>(),
          describe<SelfAttention<true, true>>(), describe<FeedForward>(), describe<Classifier>()})
        if (ort::Status* failed = api.add_op(domain, op)) return failed;
    return api.add_domain(options, domain);
}
