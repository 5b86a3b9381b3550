// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// What Verilator's FST writer needs of LZ4, so that no library has to be there: a compressor that
// takes the latest match of four bytes.
#ifndef EDGEBERT_LZ4_H
#define EDGEBERT_LZ4_H

#include <cstdint>
#include <cstring>
#include <vector>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

inline int LZ4_compress_default(const char *from, char *to, int size, int) {
    constexpr int kLeast = 4, kFar = 65535;
    constexpr int kLastMatch = 12, kLastLiterals = 5;  // the format's: bytes at the end without one
    std::vector<int> latest(1 << 14, -1);              // place of four bytes, by their hash
    char *out = to;
    auto put_length = [&](int length) {  // what doesn't fit into four bits of the token
        for (length -= 15; length >= 255; length -= 255) *out++ = static_cast<char>(255);
        *out++ = static_cast<char>(length);
    };
    auto put = [&](int start, int literals, int distance, int match) {
        const int high = literals < 15 ? literals : 15;
        const int low = match == 0 ? 0 : match - kLeast < 15 ? match - kLeast : 15;
        *out++ = static_cast<char>(high << 4 | low);
        if (high == 15) put_length(literals);
        std::memcpy(out, from + start, static_cast<std::size_t>(literals));
        out += literals;
        if (match == 0) return;
        *out++ = static_cast<char>(distance & 255);
        *out++ = static_cast<char>(distance >> 8);
        if (low == 15) put_length(match - kLeast);
    };
    int start = 0, at = 0;  // of the literals that wait, of the next byte
    while (at + kLastMatch < size) {
        uint32_t word;
        std::memcpy(&word, from + at, kLeast);
        int &place = latest[word * 2654435761u >> 18];
        const int before = place;
        place = at;
        if (before < 0 || at - before > kFar || std::memcmp(from + before, from + at, kLeast)) {
            at++;
            continue;
        }
        int match = kLeast;
        while (at + match < size - kLastLiterals && from[before + match] == from[at + match]) match++;
        put(start, at - start, at - before, match);
        at += match;
        start = at;
    }
    put(start, size - start, 0, 0);
    return static_cast<int>(out - to);
}

#endif
