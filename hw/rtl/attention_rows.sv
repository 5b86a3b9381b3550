// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Order of work of the attention: rows (token, head), and the key words of each.
//
// Contract: time goes in slots. In a slot the scores of one row are made, while each later stage
// works on the row of an earlier slot, LAG slots at most; a slot lasts until SLOT cycles and all
// key words have passed. `start` marks its first cycle. With key_tick, (group, fold) goes through
// the key words, groups downwards, so that the first key is the last to come; with
// step_tick, step goes from 0 to SLOT - 1. row_valid is 0 in a slot that only lets earlier rows
// pass. The first rows of a sentence go through as many groups as the longest row before them that
// still is in a later stage (HOLD slots), and with HOLD every row through three key words, if there
// are as many; key_valid marks the keys that exist.
// Throughput and latency: no cycle between slots, rows and sentences.
// Reference: hw.kernels.attention.BinaryAttention.cycles.
`default_nettype none

module attention_rows #(
    parameter int unsigned MAX_TOKENS = 64,  // tokens of the longest sentence, >= 1
    parameter int unsigned HEADS = 4,        // >= 1
    parameter int unsigned KEYS = 1,         // keys of a word, 1 to MAX_TOKENS
    parameter int unsigned FOLDS = 1,        // words of a group of keys, >= 1
    parameter int unsigned BANKS = 2,        // sentences held, a power of two
    parameter int unsigned SLOT = 64,        // cycles of a slot at least, >= 2
    parameter int unsigned LAG = 4,          // slots from scores to context, >= 1
    parameter int unsigned HOLD = 2,         // slots, 0 to 3
    localparam int unsigned GROUPS = (MAX_TOKENS + KEYS - 1) / KEYS,
    localparam int unsigned TOKEN_BITS = MAX_TOKENS > 1 ? $clog2(MAX_TOKENS) : 1,
    localparam int unsigned GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1,
    localparam int unsigned LANE_BITS = KEYS > 1 ? $clog2(KEYS) : 1,
    localparam int unsigned HEAD_BITS = HEADS > 1 ? $clog2(HEADS) : 1,
    localparam int unsigned FOLD_BITS = FOLDS > 1 ? $clog2(FOLDS) : 1,
    localparam int unsigned STEP_BITS = $clog2(SLOT),
    localparam int unsigned BANK_BITS = $clog2(BANKS)
) (
    input wire logic clk,
    input wire logic rst_n,
    input wire logic enable,

    // filled banks (attention_banks.sv) and rows of queries
    input  wire logic                  ready_valid,
    input  wire logic [TOKEN_BITS-1:0] ready_last,
    input  wire logic [GROUP_BITS-1:0] ready_group,
    input  wire logic [ LANE_BITS-1:0] ready_lane,
    input  wire logic [ BANK_BITS-1:0] ready_bank,
    output wire logic                  ready_take,
    input  wire logic                  query_valid,
    output wire logic                  query_take,

    output logic start,

    output      logic                  key_tick,
    output      logic [GROUP_BITS-1:0] group,
    output      logic [ FOLD_BITS-1:0] fold,
    output wire logic                  fold_ends,
    output wire logic [      KEYS-1:0] key_valid,

    output logic                 step_tick,
    output logic [STEP_BITS-1:0] step,

    output logic                  row_valid,
    output logic                  row_last,   // of its sentence
    output logic [TOKEN_BITS-1:0] row_token,
    output logic [ HEAD_BITS-1:0] row_head,
    output logic [ BANK_BITS-1:0] row_bank
);

  // The sentence whose rows come next.
  logic pending;
  logic [TOKEN_BITS-1:0] token, tokens_left;
  logic [GROUP_BITS-1:0] last_group;
  logic [LANE_BITS-1:0] last_lane;
  logic [HEAD_BITS-1:0] head;
  logic [BANK_BITS-1:0] bank;

  // The current slot.
  logic running;
  logic [LAG-1:0] in_flight;  // bit i: the row of i slots before is valid
  logic [GROUP_BITS-1:0] row_group, top;
  logic [LANE_BITS-1:0] row_lane;

  assign fold_ends = FOLDS == 1 || fold == FOLD_BITS'(FOLDS - 1);
  wire logic keys_end = !key_tick || (group == 0 && fold_ends);
  wire logic steps_end = !step_tick || step == STEP_BITS'(SLOT - 1);
  wire logic advance = enable && (!running || (keys_end && steps_end));
  wire logic issue = advance && pending && query_valid;
  wire logic begin_slot = issue || (advance && |in_flight);
  wire logic head_ends = HEADS == 1 || head == HEAD_BITS'(HEADS - 1);

  // One cycle after the issue: the last key word of the row before meets its query then.
  assign query_take = enable && start && row_valid;
  assign ready_take = !pending && ready_valid;

  for (genvar l = 0; l < KEYS; l++) begin : gen_key_valid
    if (l == 0) begin : gen_first
      assign key_valid[l] = row_valid && group <= row_group;
    end else begin : gen_other
      assign key_valid[l] = row_valid &&
          (group < row_group || (group == row_group && row_lane >= LANE_BITS'(l)));
    end
  end

  if (KEYS == 1) begin : gen_unused
    wire logic unused = row_lane;
  end

  if (HOLD == 0) begin : gen_free
    assign top = issue ? last_group : row_group;
  end else begin : gen_hold
    // Also from the last key word of a slot to the same one in the next slot there are
    // (LEAST + 1) FOLDS >= 3 cycles, as attention_softmax needs.
    localparam int unsigned LEAST = 2 / FOLDS < GROUPS ? 2 / FOLDS : GROUPS - 1;
    wire logic [GROUP_BITS-1:0] own =
        last_group > GROUP_BITS'(LEAST) ? last_group : GROUP_BITS'(LEAST);
    logic [GROUP_BITS-1:0] held;
    logic [1:0] hold;
    logic fresh;  // no row of the sentence was issued yet

    // Rows of a longer sentence stay in later stages for a while, and what they leave must go.
    assign top = !issue || (own < held && (fresh || hold != 0)) ? held : own;

    always_ff @(posedge clk) begin
      if (ready_take) fresh <= 1'b1;
      if (issue) begin
        fresh <= 1'b0;
        held <= top;
        hold <= fresh ? 2'(HOLD) : hold - 2'(hold != 0);
      end
      if (!rst_n) held <= GROUP_BITS'(GROUPS - 1);
    end
  end

  always_ff @(posedge clk) begin
    if (ready_take) begin
      pending <= 1'b1;
      token <= '0;
      tokens_left <= ready_last;
      last_group <= ready_group;
      last_lane <= ready_lane;
      bank <= ready_bank;
    end
    if (issue) begin
      head  <= head_ends ? '0 : head + 1'b1;
      if (head_ends) token <= token + 1'b1;
      if (head_ends) tokens_left <= tokens_left - 1'b1;
      if (head_ends && tokens_left == 0) pending <= 1'b0;
      row_token <= token;
      row_head  <= head;
      row_bank  <= bank;
      row_last  <= head_ends && tokens_left == 0;
      row_group <= last_group;
      row_lane  <= last_lane;
    end
    if (enable) begin
      start <= begin_slot;
      if (keys_end) key_tick <= 1'b0;
      else if (fold_ends) group <= group - 1'b1;
      fold <= fold_ends ? '0 : fold + 1'b1;
      if (steps_end) step_tick <= 1'b0;
      step <= step + 1'b1;
    end
    if (advance) running <= begin_slot;
    if (begin_slot) begin
      key_tick <= 1'b1;
      group <= top;
      fold <= '0;
      step_tick <= 1'b1;
      step <= '0;
      row_valid <= issue;
      in_flight <= LAG'({in_flight, issue});
    end
    if (!rst_n) begin
      pending <= 1'b0;
      head <= '0;
      running <= 1'b0;
      in_flight <= '0;
      start <= 1'b0;
      key_tick <= 1'b0;
      step_tick <= 1'b0;
      row_valid <= 1'b0;
    end
  end

endmodule

`default_nettype wire
