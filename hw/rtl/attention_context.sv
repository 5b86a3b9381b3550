// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Context of the attention: values of the keys with p = 1, summed and compared with a threshold.
//
// Contract: the bits p of a row come a group of KEYS at a time, last group first, between a start
// and the next. In the slot that the next start begins, its channels follow, CHANNELS a step:
//   bit = 1 iff sum_j p_j v_j >= t, v in {-1, +1}; with counts: 2 |p & v| - |p| >= t.
// THRESHOLD_FILE has t + 1 at {head, step}, CHANNELS fields of THRESHOLD_BITS (two's complement).
// BANKED 1: its words come by the load bus (load_pkg.sv).
// `values` has the bits v of the step before. tag passes with a step.
// Throughput and latency: CHANNELS channels per cycle; LATENCY enabled edges.
// Reference: hw.reference.run_layer (context, output.input).
`default_nettype none

module attention_context #(
    parameter int unsigned MAX_TOKENS = 64,  // keys, >= 1
    parameter int unsigned KEYS = 1,         // keys of a group, >= 1
    parameter int unsigned HEADS = 4,        // >= 1
    parameter int unsigned STEPS = 64,       // steps of a row, >= 1
    parameter int unsigned CHANNELS = 1,     // channels of a step, >= 1
    parameter string THRESHOLD_FILE = "",
    parameter int unsigned BANKED = 0,       // 1: two banks of thresholds
    parameter int unsigned LOAD_BITS = 72,   // bits of a beat of the load bus
    parameter int unsigned LOAD_BASE = 0,    // index of the first beat
    localparam int unsigned BUS_BITS = load_pkg::bus_bits(1 + BANKED, LOAD_BITS),
    localparam int unsigned STEP_BITS = STEPS > 1 ? $clog2(STEPS) : 1,
    localparam int unsigned HEAD_BITS = HEADS > 1 ? $clog2(HEADS) : 1
) (
    input wire logic clk,
    input wire logic rst_n,
    input wire logic enable,

    input wire logic [BUS_BITS-1:0] load = '0,

    input wire logic            start,
    input wire logic            tick,
    input wire logic [KEYS-1:0] probability,  // 0 without tick

    input wire logic                           step_tick,
    input wire logic [          STEP_BITS-1:0] step,
    input wire logic [          HEAD_BITS-1:0] head,
    input wire logic [CHANNELS*MAX_TOKENS-1:0] values,

    output wire logic                bits_valid,
    output      logic [CHANNELS-1:0] bits
);

  localparam int unsigned COUNT_BITS = $clog2(MAX_TOKENS + 1);
  localparam int unsigned THRESHOLD_BITS = $clog2(MAX_TOKENS + 3) + 1;  // t + 1 in [1 - N, N + 2]
  localparam int unsigned BOUND_BITS = THRESHOLD_BITS + 1;
  localparam int unsigned WORDS = HEADS << $clog2(STEPS);
  localparam int unsigned ADDRESS_BITS = WORDS > 1 ? $clog2(WORDS) : 1;
  localparam int unsigned COUNT_LATENCY = 4;  // of attention_and_count

  logic [MAX_TOKENS-1:0] gathering, row;
  logic [COUNT_BITS-1:0] gathered, row_count;
  wire logic [CHANNELS*THRESHOLD_BITS-1:0] threshold;

  wire logic [ADDRESS_BITS-1:0] address =
      ADDRESS_BITS'(step) | (ADDRESS_BITS'(head) << $clog2(STEPS));

  always_ff @(posedge clk) begin
    if (enable) begin
      if (start) begin
        row <= gathering;
        row_count <= gathered;
      end
      if (start || tick) begin
        gathering <= MAX_TOKENS'({start ? '0 : gathering, probability});
        gathered  <= (start ? '0 : gathered) + COUNT_BITS'($countones(probability));
      end
    end
  end

  if (BANKED != 0) begin : gen_banks
    constant_rom #(
        .WIDTH    (CHANNELS * THRESHOLD_BITS),
        .DEPTH    (WORDS),
        .BANKS    (2),
        .LOAD_BITS(LOAD_BITS),
        .LOAD_BASE(LOAD_BASE)
    ) u_thresholds (
        .clk,
        .rst_n,
        .load,
        .enable,
        .address,
        .word(threshold)
    );
  end else begin : gen_bank
    logic [CHANNELS*THRESHOLD_BITS-1:0] thresholds[WORDS];
    logic [CHANNELS*THRESHOLD_BITS-1:0] word;
    wire unused = &load;

    initial $readmemh(THRESHOLD_FILE, thresholds);
    always_ff @(posedge clk) if (enable) word <= thresholds[address];
    assign threshold = word;
  end

  attention_delay #(
      .WIDTH (1),
      .CYCLES(COUNT_LATENCY + 2)
  ) u_valid (
      .clk,
      .rst_n,
      .enable,
      .d(step_tick),
      .q(bits_valid)
  );

  for (genvar c = 0; c < CHANNELS; c++) begin : gen_channels
    logic [COUNT_BITS-1:0] count;
    logic signed [BOUND_BITS-1:0] bound, count_bound;

    attention_and_count #(
        .N(MAX_TOKENS)
    ) u_count (
        .clk,
        .enable,
        .a(row),
        .b(values[c*MAX_TOKENS+:MAX_TOKENS]),
        .count
    );

    attention_delay #(
        .WIDTH (BOUND_BITS),
        .CYCLES(COUNT_LATENCY - 1)
    ) u_bound (
        .clk,
        .rst_n,
        .enable,
        .d(bound),
        .q(count_bound)
    );

    // 2 count - row_count >= t  iff  count >= floor((t + 1 + row_count) / 2)
    always_ff @(posedge clk) begin
      if (enable) begin
        bound <= (BOUND_BITS'(signed'(threshold[c*THRESHOLD_BITS+:THRESHOLD_BITS]))
            + signed'(BOUND_BITS'(row_count))) >>> 1;
        bits[c] <= signed'(BOUND_BITS'(count)) >= count_bound;
      end
    end
  end

endmodule

`default_nettype wire
