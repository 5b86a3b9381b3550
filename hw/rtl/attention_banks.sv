// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Sentences of the attention: which bank is filled, which are ready, which are free.
//
// Contract: takes a beat of s_axis_length per sentence (its tokens, 1 to MAX_TOKENS) when a bank is
// free; `loading` then lets keys and values enter bank load_bank until load_done. ready_valid gives
// the filled banks in order: the last token's index, and its place among the key words. A bank is
// free again after `release_bank`, in the same order.
// Throughput and latency: a sentence follows the one before it after two cycles.
// Reference: hw.kernels.attention.BinaryAttention.
`default_nettype none

module attention_banks #(
    parameter int unsigned MAX_TOKENS = 64,  // tokens of the longest sentence, >= 1
    parameter int unsigned KEYS = 1,         // keys of a key word, 1 to MAX_TOKENS
    parameter int unsigned BANKS = 2,        // sentences held, a power of two >= 2
    localparam int unsigned GROUPS = (MAX_TOKENS + KEYS - 1) / KEYS,
    localparam int unsigned LENGTH_BITS = $clog2(MAX_TOKENS + 1),
    localparam int unsigned TOKEN_BITS = MAX_TOKENS > 1 ? $clog2(MAX_TOKENS) : 1,
    localparam int unsigned GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1,
    localparam int unsigned LANE_BITS = KEYS > 1 ? $clog2(KEYS) : 1,
    localparam int unsigned BANK_BITS = $clog2(BANKS)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LENGTH_BITS-1:0] s_axis_length_tdata,
    input  wire logic                   s_axis_length_tvalid,
    output wire logic                   s_axis_length_tready,

    // loading
    output wire logic                   load_begin,
    output      logic                   loading,
    output      logic [ TOKEN_BITS-1:0] load_last,   // index of the sentence's last token
    output wire logic [  BANK_BITS-1:0] load_bank,
    input  wire logic                   load_done,
    input  wire logic [ GROUP_BITS-1:0] load_group,  // where the last key stands
    input  wire logic [  LANE_BITS-1:0] load_lane,

    // filled banks
    output wire logic                   ready_valid,
    output wire logic [ TOKEN_BITS-1:0] ready_last,
    output wire logic [ GROUP_BITS-1:0] ready_group,
    output wire logic [  LANE_BITS-1:0] ready_lane,
    output wire logic [  BANK_BITS-1:0] ready_bank,
    input  wire logic                   ready_take,

    input wire logic release_bank
);

  // One bit more than a bank's index, so that all banks and no bank differ.
  logic [BANK_BITS:0] filled, taken, freed;
  logic [TOKEN_BITS-1:0] last[BANKS];

  wire logic full = filled == (freed ^ (BANK_BITS + 1)'(BANKS));
  assign s_axis_length_tready = !loading && !full;
  assign load_begin = s_axis_length_tvalid && s_axis_length_tready;
  assign load_bank = filled[BANK_BITS-1:0];

  assign ready_valid = filled != taken;
  assign ready_bank = taken[BANK_BITS-1:0];
  assign ready_last = last[ready_bank];

  if (KEYS == 1) begin : gen_token_is_group
    wire logic unused = ^{load_group, load_lane};
    assign ready_group = ready_last;
    assign ready_lane  = '0;
  end else begin : gen_groups
    logic [GROUP_BITS+LANE_BITS-1:0] place[BANKS];
    assign {ready_lane, ready_group} = place[ready_bank];
    always_ff @(posedge clk) begin
      if (loading && load_done) place[load_bank] <= {load_lane, load_group};
    end
  end

  always_ff @(posedge clk) begin
    if (load_begin) begin
      loading   <= 1'b1;
      load_last <= TOKEN_BITS'(s_axis_length_tdata - 1'b1);
    end
    if (loading && load_done) begin
      loading <= 1'b0;
      filled <= filled + 1'b1;
      last[load_bank] <= load_last;
    end
    if (ready_take) taken <= taken + 1'b1;
    if (release_bank) freed <= freed + 1'b1;
    if (!rst_n) begin
      loading <= 1'b0;
      filled <= '0;
      taken <= '0;
      freed <= '0;
    end
  end

`ifndef SYNTHESIS
  length_in_range :
  assert property (@(posedge clk) disable iff (!rst_n)
                   load_begin |-> s_axis_length_tdata inside {[1:MAX_TOKENS]})
  else $error("%m: a sentence of %0d tokens", s_axis_length_tdata);
`endif

endmodule

`default_nettype wire
