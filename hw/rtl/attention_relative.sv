// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Relative position bias of the attention: what the distance from query to key adds to a score.
//
// Contract: token i of the query, its head, and the group of the keys j = KEYS group + l come with
// the address of a key word, match_count[l] of that word DELAY enabled edges later; then
//   count[l] = match_count[l] + bias[head][clip(j - i, -RELATIVE, RELATIVE) + RELATIVE],
// the bias being D = HEAD_WIDTH more than that of a model, 0 to 2 D, so that counts are 0 to 3 D.
// BIAS_FILE has it at {place, head}, places from 0 to 2 RELATIVE, heads in a power of two of words.
// BANKED 1: its words come by the load bus (load_pkg.sv), a word a beat.
// Throughput and latency: a group per cycle; an enabled edge from match_count to count.
// Reference: hw.reference.relative_bias.
`default_nettype none

module attention_relative #(
    parameter int unsigned MAX_TOKENS = 64,  // tokens of the longest sentence, >= 1
    parameter int unsigned HEADS = 4,        // >= 1
    parameter int unsigned HEAD_WIDTH = 64,  // D, largest match count
    parameter int unsigned KEYS = 1,         // keys of a group, 1 to MAX_TOKENS
    parameter int unsigned RELATIVE = 16,    // R, largest distance with a bias of its own, >= 1
    parameter int unsigned DELAY = 5,        // enabled edges from group to match_count, >= 3
    parameter string BIAS_FILE = "",
    parameter int unsigned BANKED = 0,       // 1: two banks of the bias
    parameter int unsigned LOAD_BITS = 72,   // bits of a beat of the load bus
    parameter int unsigned LOAD_BASE = 0,    // index of the first beat
    localparam int unsigned BUS_BITS = load_pkg::bus_bits(1 + BANKED, LOAD_BITS),
    localparam int unsigned GROUPS = (MAX_TOKENS + KEYS - 1) / KEYS,
    localparam int unsigned TOKEN_BITS = MAX_TOKENS > 1 ? $clog2(MAX_TOKENS) : 1,
    localparam int unsigned GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1,
    localparam int unsigned HEAD_BITS = HEADS > 1 ? $clog2(HEADS) : 1,
    localparam int unsigned MATCH_BITS = $clog2(HEAD_WIDTH + 1),
    localparam int unsigned COUNT_BITS = $clog2(3 * HEAD_WIDTH + 1)
) (
    input wire logic clk,
    input wire logic rst_n,
    input wire logic enable,

    input wire logic [BUS_BITS-1:0] load = '0,

    input  wire logic [      HEAD_BITS-1:0] head,
    input  wire logic [     TOKEN_BITS-1:0] token,
    input  wire logic [     GROUP_BITS-1:0] group,
    input  wire logic [KEYS*MATCH_BITS-1:0] match_count,
    output      logic [KEYS*COUNT_BITS-1:0] count
);

  localparam int unsigned LAST_PLACE = 2 * RELATIVE;
  localparam int unsigned WORDS = (LAST_PLACE + 1) << $clog2(HEADS);
  localparam int unsigned ADDRESS_BITS = $clog2(WORDS);
  localparam int unsigned BIAS_BITS = $clog2(2 * HEAD_WIDTH + 1);
  localparam int unsigned PLACE_BITS = $clog2(KEYS * GROUPS + RELATIVE + 1) + 1;  // not clipped

  // The place of a group's first key, then of each key, then its bias, then the sum.
  logic [PLACE_BITS-1:0] first_key;  // KEYS group
  logic signed [PLACE_BITS-1:0] first;
  logic [HEAD_BITS-1:0] first_head;
  logic [KEYS-1:0][ADDRESS_BITS-1:0] address;
  wire logic [KEYS-1:0][BIAS_BITS-1:0] word;

  // By additions, since a product would take a DSP.
  always_comb begin
    first_key = '0;
    for (int b = 0; b < $clog2(KEYS + 1); b++) begin
      if (1'(KEYS >> b)) first_key += PLACE_BITS'(group) << b;
    end
  end

  attention_delay #(
      .WIDTH (PLACE_BITS + HEAD_BITS),
      .CYCLES(DELAY - 2)
  ) u_first (
      .clk,
      .rst_n,
      .enable,
      .d({first_key + PLACE_BITS'(RELATIVE) - PLACE_BITS'(token), head}),
      .q({first, first_head})
  );

  if (BANKED != 0) begin : gen_banks
    banked_table #(
        .WIDTH    (BIAS_BITS),
        .DEPTH    (WORDS),
        .READERS  (KEYS),
        .LOAD_BITS(LOAD_BITS),
        .LOAD_BASE(LOAD_BASE)
    ) u_biases (
        .clk,
        .rst_n,
        .load,
        .address,
        .word
    );
  end else begin : gen_bank
    (* rom_style = "distributed" *)
    logic [BIAS_BITS-1:0] biases[WORDS];
    wire unused = &load;

    initial $readmemh(BIAS_FILE, biases);
    for (genvar l = 0; l < KEYS; l++) begin : gen_bias
      assign word[l] = biases[address[l]];
    end
  end

  for (genvar l = 0; l < KEYS; l++) begin : gen_keys
    wire logic signed [PLACE_BITS-1:0] place = first + PLACE_BITS'(l);
    logic [BIAS_BITS-1:0] bias;
    logic [ADDRESS_BITS-1:0] clipped;

    always_comb begin
      if (place < 0) clipped = '0;
      else if (place > PLACE_BITS'(LAST_PLACE)) clipped = ADDRESS_BITS'(LAST_PLACE);
      else clipped = ADDRESS_BITS'(place);
    end
    always_ff @(posedge clk) begin
      if (enable) begin
        address[l] <= clipped << $clog2(HEADS) | ADDRESS_BITS'(first_head);
        bias <= word[l];
        count[l*COUNT_BITS+:COUNT_BITS] <= COUNT_BITS'(match_count[l*MATCH_BITS+:MATCH_BITS])
            + COUNT_BITS'(bias);
      end
    end
  end

endmodule

`default_nettype wire
