// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Probability bits of the attention: which keys exceed their threshold's share of a softmax.
//
// Contract: with M the largest match count of a row's keys, e_j = E[min(M - matches_j, HEAD_WIDTH)]
// and S = sum e_j:
//   p_j = 1 iff e_j * 2**PROBABILITY_BITS > T_head * S,
// that is e_j > floor(T S / 2**k). E is in EXP_FILE (HEAD_WIDTH + 1 words of EXP_BITS + 1 bits,
// 0 to 2**EXP_BITS), T in THRESHOLD_FILE (HEADS words of k + 2 bits, -1 to 2**k). A row passes in
// four slots: maximum; exponentials and their sum; the product by shifts and additions; comparison.
// start marks the first cycle of a slot, tick a group of keys, at the same places in all slots, and
// three cycles after the group's last tick or later; step and step_tick count from 0 in each slot,
// STEP_DELAY edges after start; head is that of the row two slots before.
// BANKED 1: E, then T, come by the load bus (load_pkg.sv), a word a beat.
// Throughput and latency: a group per cycle; a row per k + 5 cycles at least; three slots and
// two enabled edges.
// Reference: hw.reference.softmax_probabilities.
`default_nettype none

module attention_softmax #(
    parameter int unsigned HEADS = 4,              // >= 1
    parameter int unsigned HEAD_WIDTH = 64,        // largest difference that E has an entry for
    parameter int unsigned LARGEST = HEAD_WIDTH,   // largest match count, >= HEAD_WIDTH
    parameter int unsigned GROUPS = 64,            // groups of keys, >= 1
    parameter int unsigned KEYS = 1,               // keys of a group, >= 1
    parameter int unsigned EXP_BITS = 12,          // E is 0 to 2**EXP_BITS
    parameter int unsigned PROBABILITY_BITS = 16,  // k, >= 1
    parameter int unsigned STEP_BITS = 6,          // bits of step
    parameter string EXP_FILE = "",
    parameter string THRESHOLD_FILE = "",
    parameter int unsigned BANKED = 0,             // 1: two banks of E and T
    parameter int unsigned LOAD_BITS = 72,         // bits of a beat of the load bus
    parameter int unsigned LOAD_BASE = 0,          // index of the first beat
    localparam int unsigned BUS_BITS = load_pkg::bus_bits(1 + BANKED, LOAD_BITS),
    localparam int unsigned COUNT_BITS = $clog2(LARGEST + 1),
    localparam int unsigned GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1,
    localparam int unsigned HEAD_BITS = HEADS > 1 ? $clog2(HEADS) : 1
) (
    input wire logic clk,
    input wire logic rst_n,
    input wire logic enable,

    input wire logic [BUS_BITS-1:0] load = '0,

    input wire logic                       start,
    input wire logic                       tick,
    input wire logic [     GROUP_BITS-1:0] group,
    input wire logic [           KEYS-1:0] key_valid,  // 0 without tick
    input wire logic [KEYS*COUNT_BITS-1:0] match_count,

    input wire logic                 step_tick,
    input wire logic [STEP_BITS-1:0] step,
    input wire logic [HEAD_BITS-1:0] head,

    output      logic [KEYS-1:0] probability,
    output wire logic            probability_tick,
    output wire logic            probability_start
);

  localparam int unsigned DIFFERENCE_BITS = $clog2(HEAD_WIDTH + 1);
  localparam int unsigned EXP = EXP_BITS + 1;
  localparam int unsigned SUM_BITS = $clog2(GROUPS * KEYS + 1) + EXP_BITS;  // S of all keys
  localparam int unsigned ACC_BITS = SUM_BITS + 2;  // in [-S, 2 S)

  logic [KEYS-1:0][DIFFERENCE_BITS-1:0] differences;
  wire logic [KEYS-1:0][EXP-1:0] exponential;  // of each difference
  wire logic [PROBABILITY_BITS+1:0] threshold;  // of head

  if (BANKED != 0) begin : gen_banks
    banked_table #(
        .WIDTH    (EXP),
        .DEPTH    (HEAD_WIDTH + 1),
        .READERS  (KEYS),
        .LOAD_BITS(LOAD_BITS),
        .LOAD_BASE(LOAD_BASE)
    ) u_exponentials (
        .clk,
        .rst_n,
        .load,
        .address(differences),
        .word   (exponential)
    );

    banked_table #(
        .WIDTH    (PROBABILITY_BITS + 2),
        .DEPTH    (HEADS),
        .LOAD_BITS(LOAD_BITS),
        .LOAD_BASE(LOAD_BASE + HEAD_WIDTH + 1)
    ) u_thresholds (
        .clk,
        .rst_n,
        .load,
        .address(head),
        .word   (threshold)
    );
  end else begin : gen_bank
    logic [EXP-1:0] exponentials[HEAD_WIDTH+1];
    logic [PROBABILITY_BITS+1:0] thresholds[HEADS];
    wire unused = &load;

    initial begin
      $readmemh(EXP_FILE, exponentials);
      $readmemh(THRESHOLD_FILE, thresholds);
    end
    for (genvar l = 0; l < KEYS; l++) begin : gen_exponential
      assign exponential[l] = exponentials[differences[l]];
    end
    assign threshold = thresholds[head];
  end

  // start and tick, 1 to 3 edges later.
  logic [3:1] starts, ticks;
  logic [GROUP_BITS-1:0] groups[1:3];
  logic [KEYS-1:0] late_valids;
  logic [KEYS*COUNT_BITS-1:0] late_counts;

  always_ff @(posedge clk) begin
    if (enable) begin
      starts <= {starts[2:1], start};
      ticks <= {ticks[2:1], tick};
      groups[1:3] <= '{group, groups[1], groups[2]};
    end
    if (!rst_n) begin
      starts <= '0;
      ticks  <= '0;
    end
  end

  attention_delay #(
      .WIDTH (KEYS * (1 + COUNT_BITS)),
      .CYCLES(3)
  ) u_count_delay (
      .clk,
      .rst_n,
      .enable,
      .d({key_valid, match_count}),
      .q({late_valids, late_counts})
  );

  // Slot 0: the largest count. Key 0 of a group is valid if any is.
  logic [COUNT_BITS-1:0] largest, maximum, row_maximum;
  always_comb begin
    largest = match_count[COUNT_BITS-1:0];
    for (int l = 1; l < KEYS; l++) begin
      if (key_valid[l] && match_count[l*COUNT_BITS+:COUNT_BITS] > largest) begin
        largest = match_count[l*COUNT_BITS+:COUNT_BITS];
      end
    end
  end
  always_ff @(posedge clk) begin
    if (enable) begin
      if (start) row_maximum <= maximum;
      if (start && !key_valid[0]) maximum <= '0;
      else if (start || (key_valid[0] && largest > maximum)) maximum <= largest;
    end
  end

  // What passes from slot to slot: counts, exponentials to sum up, exponentials to compare.
  localparam int unsigned FIELD = COUNT_BITS + 1 + 2 * (EXP + 1);
  (* ram_style = "distributed", no_rw_check *)
  logic [KEYS*FIELD-1:0] memory[GROUPS];
  logic [KEYS*FIELD-1:0] write_word, read_word;
  logic [KEYS-1:0][EXP:0] summand, passed[2:3];  // valid and e
  logic [KEYS-1:0][EXP:0] compared;

  assign read_word = memory[groups[1]];
  always_ff @(posedge clk) if (enable && ticks[3]) memory[groups[3]] <= write_word;

  for (genvar l = 0; l < KEYS; l++) begin : gen_keys
    logic count_valid, difference_valid;
    logic [COUNT_BITS-1:0] count;
    logic [EXP:0] earlier;
    wire logic [COUNT_BITS-1:0] difference = row_maximum - count;
    wire logic saturates = LARGEST > HEAD_WIDTH && difference > COUNT_BITS'(HEAD_WIDTH);

    assign {compared[l], earlier, count_valid, count} = read_word[l*FIELD+:FIELD];
    assign write_word[l*FIELD+:FIELD] = {
      passed[3][l], summand[l], late_valids[l], late_counts[l*COUNT_BITS+:COUNT_BITS]
    };

    // Slot 1: exponentials.
    always_ff @(posedge clk) begin
      if (enable) begin
        difference_valid <= count_valid && ticks[1];
        differences[l] <= DIFFERENCE_BITS'(saturates ? COUNT_BITS'(HEAD_WIDTH) : difference);
        if (difference_valid) summand[l] <= {1'b1, exponential[l]};
        else summand[l] <= '0;
        passed[2][l] <= earlier;
        passed[3][l] <= passed[2][l];
      end
    end
  end

  // Slot 1, three edges later: their sum.
  logic [SUM_BITS-1:0] group_sum, sum, row_sum;
  always_comb begin
    group_sum = '0;
    for (int l = 0; l < KEYS; l++) group_sum += SUM_BITS'(summand[l][EXP-1:0]);
  end
  always_ff @(posedge clk) begin
    if (enable) begin
      if (starts[3]) row_sum <= sum;
      sum <= (starts[3] ? '0 : sum) + group_sum;
    end
  end

  // Slot 2: T S / 2**k from T's lowest bit on. A T of -1 has all bits, the last of them negative.
  logic signed [ACC_BITS-1:0] product, limit;
  wire logic step_last = step == STEP_BITS'(PROBABILITY_BITS);
  wire logic subtract = step_last && threshold[PROBABILITY_BITS+1];
  wire logic adds = 1'(threshold >> step);
  wire logic signed [ACC_BITS-1:0] addend = adds ? ACC_BITS'(row_sum) : '0;

  always_ff @(posedge clk) begin
    if (enable) begin
      if (start) begin
        limit   <= product;
        product <= '0;
      end else if (step_tick && step <= STEP_BITS'(PROBABILITY_BITS)) begin
        product <= (product >>> 1) + (subtract ? -addend : addend);
      end
    end
  end

  // Slot 3: comparison.
  assign probability_tick  = ticks[2];
  assign probability_start = starts[2];
  for (genvar l = 0; l < KEYS; l++) begin : gen_compare
    always_ff @(posedge clk) begin
      if (enable) begin
        probability[l] <= ticks[1] && compared[l][EXP]
            && signed'(ACC_BITS'(compared[l][EXP-1:0])) > limit;
      end
    end
  end

endmodule

`default_nettype wire
