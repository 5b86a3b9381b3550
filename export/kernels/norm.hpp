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
    double multiplier, unit;
    std::vector<double> bias;  // with start M

    Requantize() = default;
    Requantize(const int64_t* multiplier_and_shift, const int64_t* given, int64_t count,
               const std::vector<int64_t>& start, int64_t factor)
        : multiplier(-static_cast<double>(factor * multiplier_and_shift[0])),
          unit(std::ldexp(1.0, static_cast<int>(-multiplier_and_shift[1]))),
          bias(static_cast<size_t>(count)) {
        for (int64_t i = 0; i < count; i++)
            bias[i] = static_cast<double>(given[i] + start[i] * multiplier_and_shift[0]);
    }
    double operator()(uint64_t differing, int64_t column) const {
        const auto x = static_cast<double>(static_cast<int64_t>(differing));
        return std::floor((x * multiplier + bias[column]) * unit + 0.5);
    }
};

struct LayerNorm {
    int64_t hidden, index_bits;
    double mean_scale, unit, low, high, offset;
    int root_exponent;
    std::vector<double> gamma, beta, table;

    LayerNorm() = default;
    LayerNorm(const Formats& f, const int64_t* gammas, const int64_t* betas, int64_t hidden,
              const int64_t* roots, int64_t root_count)
        : hidden(hidden),
          index_bits(f.rsqrt_index_bits),
          mean_scale(std::ldexp(static_cast<double>(((1 << 25) + hidden) / (2 * hidden)), -24)),
          unit(std::ldexp(1.0, static_cast<int>(f.fraction_bits - f.norm_fraction_bits -
                                                f.gamma_fraction_bits))),
          low(-std::ldexp(1.0, static_cast<int>(f.word_bits - 1))),
          high(-low - 1),
          offset(static_cast<double>(f.offset)),
          root_exponent(static_cast<int>(f.norm_fraction_bits - 14 - f.rsqrt_index_bits / 2)),
          gamma(gammas, gammas + hidden),
          beta(betas, betas + hidden),
          table(roots, roots + root_count) {}

    // x (hidden,) is overwritten by x - mean; result: with the offset
    void operator()(int32_t* x, int32_t* result) const {
        int64_t total = 0;
        for (int64_t c = 0; c < hidden; c++) total += x[c];
        const auto mean =
            static_cast<int32_t>(std::floor(static_cast<double>(total) * mean_scale + 0.5));
        int64_t variance = 0;
        for (int64_t c = 0; c < hidden; c++) {
            x[c] -= mean;
            variance += static_cast<int64_t>(x[c]) * x[c];
        }
        const double factor = reciprocal_root(variance);
        for (int64_t c = 0; c < hidden; c++) {
            const double z = std::floor(x[c] * factor + 0.5);
            const double y = std::floor((z * gamma[c] + beta[c]) * unit + 0.5);
            result[c] = static_cast<int32_t>(std::min(std::max(y, low), high) + offset);
        }
    }

    // R 2^-s; 0 where V = 0, whose differences are 0
    double reciprocal_root(int64_t variance) const {
        if (variance == 0) return 0;
        const int length = 64 - __builtin_clzll(static_cast<uint64_t>(variance));
        const int k = (length - static_cast<int>(index_bits) + 1) >> 1;
        const int64_t mantissa = k >= 0 ? variance >> (2 * k) : variance << (-2 * k);
        return std::ldexp(table[mantissa - (int64_t{1} << (index_bits - 2))], root_exponent - k);
    }
};
