// Requantization, residual and LayerNorm of a row: docs/arithmetic.md. Products are double, which
// holds all of these integers exactly; sums are int64.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

struct Formats {
    int64_t offset;  // of the int32 residual stream between operators
    int64_t fraction_bits, word_bits, probability_bits, rsqrt_index_bits, norm_fraction_bits,
        gamma_fraction_bits, heads;
};

// round_shift(accumulator M + B, n), where the accumulator is start - factor X
struct Requantize {
    double multiplier;         // -factor M 2^-n: scaled beforehand, which is exact
    std::vector<double> bias;  // (bias + start M) 2^-n + 1/2

    Requantize() = default;
    Requantize(const int64_t* multiplier_and_shift, const int64_t* given, int64_t count,
               const std::vector<int64_t>& start, int64_t factor)
        : multiplier(std::ldexp(-static_cast<double>(factor * multiplier_and_shift[0]),
                                -static_cast<int>(multiplier_and_shift[1]))),
          bias(static_cast<size_t>(count)) {
        for (int64_t i = 0; i < count; i++) {
            const int64_t sum = given[i] + start[i] * multiplier_and_shift[0];
            bias[i] = 0.5 + std::ldexp(static_cast<double>(sum),
                                       -static_cast<int>(multiplier_and_shift[1]));
        }
    }
    double operator()(uint64_t differing, int64_t column) const {
        return std::floor(static_cast<double>(static_cast<int64_t>(differing)) * multiplier +
                          bias[column]);
    }
};

struct LayerNorm {
    int64_t hidden, index_bits;
    double mean_scale, low, high, offset;
    std::vector<double> gamma, beta;  // by 2^-(q + g - f); beta with the offset and 1/2
    std::vector<double> table;
    std::vector<double> units;  // 2^-s by the bit length of V

    LayerNorm() = default;
    LayerNorm(const Formats& f, const int64_t* gammas, const int64_t* betas, int64_t hidden,
              const int64_t* roots, int64_t root_count)
        : hidden(hidden),
          index_bits(f.rsqrt_index_bits),
          mean_scale(std::ldexp(static_cast<double>(((1 << 25) + hidden) / (2 * hidden)), -24)),
          low(-std::ldexp(1.0, static_cast<int>(f.word_bits - 1))),
          high(-low - 1),
          offset(static_cast<double>(f.offset)),
          gamma(gammas, gammas + hidden),
          beta(betas, betas + hidden),
          table(roots, roots + root_count) {
        const double unit = std::ldexp(1.0, static_cast<int>(f.fraction_bits -
                                                             f.norm_fraction_bits -
                                                             f.gamma_fraction_bits));
        for (double& x : gamma) x *= unit;
        for (double& x : beta) x = x * unit + (offset + 0.5);
        const auto exponent =
            static_cast<int>(f.norm_fraction_bits - 14 - f.rsqrt_index_bits / 2);
        for (int length = 0; length <= 64; length++)
            units.push_back(std::ldexp(1.0, exponent - half_length(length)));
    }

    // x (rows, hidden) becomes its result, with the offset. Statistics of some rows come first, as
    // each waits long for its own sums, but not for those of the others.
    void operator()(int32_t* x, int64_t rows) const {
        constexpr int64_t TOGETHER = 8;
        Scale scales[TOGETHER];
        for (int64_t r = 0; r < rows; r += TOGETHER) {
            const int64_t count = std::min(TOGETHER, rows - r);
            for (int64_t i = 0; i < count; i++) scales[i] = scale_of(x + (r + i) * hidden);
            for (int64_t i = 0; i < count; i++) apply(scales[i], x + (r + i) * hidden);
        }
    }

    // (x - mean) factor + 1/2 as x factor + start: as exact, all being multiples of 2^-s, fewer
    // than 2^53 of them
    struct Scale {
        double factor, start;
    };

    Scale scale_of(const int32_t* x) const {
        int64_t total = 0;
        uint64_t squares = 0;  // modulo 2^64: the variance is smaller
        for (int64_t c = 0; c < hidden; c++) {
            total += x[c];
            squares += static_cast<uint64_t>(static_cast<int64_t>(x[c]) * x[c]);
        }
        const double mean = std::floor(static_cast<double>(total) * mean_scale + 0.5);
        const auto m = static_cast<uint64_t>(static_cast<int64_t>(mean));
        // sum (x - m)^2
        const uint64_t variance =
            squares - m * (2 * static_cast<uint64_t>(total) - static_cast<uint64_t>(hidden) * m);
        const double factor = reciprocal_root(static_cast<int64_t>(variance));
        return {factor, 0.5 - mean * factor};
    }

    void apply(const Scale& scale, int32_t* x) const {
        const double least = low + offset, most = high + offset;
        for (int64_t c = 0; c < hidden; c++) {
            const double z = std::floor(x[c] * scale.factor + scale.start);
            const double y = z * gamma[c] + beta[c];
            // the offset makes it positive, so that the conversion is the floor
            x[c] = static_cast<int32_t>(std::min(std::max(y, least), most));
        }
    }

    // R 2^-s; 0 where V = 0, whose differences are 0
    double reciprocal_root(int64_t variance) const {
        if (variance == 0) return 0;
        const int length = 64 - __builtin_clzll(static_cast<uint64_t>(variance));
        const int k = half_length(length);
        const int64_t mantissa = k >= 0 ? variance >> (2 * k) : variance << (-2 * k);
        return table[mantissa - (int64_t{1} << (index_bits - 2))] * units[length];
    }
    // k of the mantissa V / 4^k
    int half_length(int length) const {
        return (length - static_cast<int>(index_bits) + 1) >> 1;
    }
};
