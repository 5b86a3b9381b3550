// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Keys of the attention: bits in by token, words of KEYS x SIMD coded bits out.
//
// Contract: a sentence begins with load_begin; its tokens come in beats of IN_BITS, H / IN_BITS a
// token, and end with token load_last; then `done` until the next sentence, with the place of the
// last token. A word has SIMD bits (parity code, popcount_pkg.sv) of the tokens KEYS g ...
// KEYS g + KEYS - 1, token KEYS g lowest. read_code is the word of the address before.
// Throughput and latency: a beat and a read per cycle; a read takes one cycle.
// Reference: hw.reference.split_heads.
`default_nettype none

module attention_key #(
    parameter int unsigned MAX_TOKENS = 64,  // tokens of the longest sentence, >= 1
    parameter int unsigned HEADS = 4,        // >= 1
    parameter int unsigned HEAD_WIDTH = 64,  // channels of a head, >= 2
    parameter int unsigned KEYS = 1,         // keys of a word, 1 to MAX_TOKENS
    parameter int unsigned SIMD = 64,        // bits of a key in a word, divides HEAD_WIDTH
    parameter int unsigned IN_BITS = 16,     // bits of a beat, divides SIMD
    parameter int unsigned BANKS = 2,        // sentences held
    localparam int unsigned GROUPS = (MAX_TOKENS + KEYS - 1) / KEYS,
    localparam int unsigned FOLDS = HEAD_WIDTH / SIMD,
    localparam int unsigned PIECES = SIMD / IN_BITS,
    localparam int unsigned TOKEN_BITS = MAX_TOKENS > 1 ? $clog2(MAX_TOKENS) : 1,
    localparam int unsigned GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1,
    localparam int unsigned LANE_BITS = KEYS > 1 ? $clog2(KEYS) : 1,
    localparam int unsigned HEAD_BITS = HEADS > 1 ? $clog2(HEADS) : 1,
    localparam int unsigned FOLD_BITS = FOLDS > 1 ? $clog2(FOLDS) : 1,
    localparam int unsigned BANK_BITS = $clog2(BANKS)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [IN_BITS-1:0] s_axis_tdata,
    input  wire logic               s_axis_tvalid,
    output wire logic               s_axis_tready,

    input  wire logic                  load_begin,
    input  wire logic                  loading,
    input  wire logic [TOKEN_BITS-1:0] load_last,
    input  wire logic [ BANK_BITS-1:0] load_bank,
    output      logic                  done,
    output      logic [GROUP_BITS-1:0] group,
    output      logic [ LANE_BITS-1:0] lane,

    input  wire logic                  read_enable,
    input  wire logic [ BANK_BITS-1:0] read_bank,
    input  wire logic [ HEAD_BITS-1:0] read_head,
    input  wire logic [GROUP_BITS-1:0] read_group,
    input  wire logic [ FOLD_BITS-1:0] read_fold,
    output wire logic [ KEYS*SIMD-1:0] read_code
);

  // Fields of an address, each a power of two, so that no address needs a multiplication.
  localparam int unsigned GROUP_SHIFT = $clog2(FOLDS);
  localparam int unsigned HEAD_SHIFT = GROUP_SHIFT + $clog2(GROUPS);
  localparam int unsigned BANK_SHIFT = HEAD_SHIFT + $clog2(HEADS);
  localparam int unsigned DEPTH = BANKS << BANK_SHIFT;
  localparam int unsigned ADDRESS_BITS = $clog2(DEPTH);
  localparam int unsigned PIECE_BITS = PIECES > 1 ? $clog2(PIECES) : 1;

  logic [PIECE_BITS-1:0] piece;
  logic [ FOLD_BITS-1:0] fold;
  logic [ HEAD_BITS-1:0] head;
  logic [TOKEN_BITS-1:0] token;
  logic [SIMD-1:0] word, code;

  wire logic take = s_axis_tvalid && s_axis_tready;
  wire logic piece_ends = PIECES == 1 || piece == PIECE_BITS'(PIECES - 1);
  wire logic fold_ends = FOLDS == 1 || fold == FOLD_BITS'(FOLDS - 1);
  wire logic head_ends = HEADS == 1 || head == HEAD_BITS'(HEADS - 1);
  wire logic token_ends = piece_ends && fold_ends && head_ends;

  assign s_axis_tready = loading && !done;

  if (PIECES == 1) begin : gen_whole
    assign word = s_axis_tdata;
  end else begin : gen_gather
    logic [SIMD-IN_BITS-1:0] earlier;
    assign word = {s_axis_tdata, earlier};
    always_ff @(posedge clk) if (take) earlier <= word[SIMD-1:IN_BITS];
  end

  activation_encoder #(.N(SIMD)) u_encoder (.bits(word), .code);

  wire logic [ADDRESS_BITS-1:0] write_address = ADDRESS_BITS'(fold)
      | (ADDRESS_BITS'(group) << GROUP_SHIFT) | (ADDRESS_BITS'(head) << HEAD_SHIFT)
      | (ADDRESS_BITS'(load_bank) << BANK_SHIFT);
  wire logic [ADDRESS_BITS-1:0] read_address = ADDRESS_BITS'(read_fold)
      | (ADDRESS_BITS'(read_group) << GROUP_SHIFT) | (ADDRESS_BITS'(read_head) << HEAD_SHIFT)
      | (ADDRESS_BITS'(read_bank) << BANK_SHIFT);

  for (genvar l = 0; l < KEYS; l++) begin : gen_lanes
    two_port_ram #(
        .WIDTH(SIMD),
        .DEPTH(DEPTH),
        .BLOCK(32'(DEPTH * SIMD > 2048))
    ) u_ram (
        .clk,
        .write_enable (take && piece_ends && lane == LANE_BITS'(l)),
        .write_address,
        .write_data   (code),
        .read_enable,
        .read_address,
        .read_data    (read_code[l*SIMD+:SIMD])
    );
  end

  always_ff @(posedge clk) begin
    if (take) begin
      piece <= piece_ends ? '0 : piece + 1'b1;
      if (piece_ends) fold <= fold_ends ? '0 : fold + 1'b1;
      if (piece_ends && fold_ends) head <= head_ends ? '0 : head + 1'b1;
      if (token_ends) begin
        done <= token == load_last;
        if (token != load_last) begin
          token <= token + 1'b1;
          lane  <= lane == LANE_BITS'(KEYS - 1) ? '0 : lane + 1'b1;
          if (lane == LANE_BITS'(KEYS - 1)) group <= group + 1'b1;
        end
      end
    end
    if (load_begin || !rst_n) begin
      piece <= '0;
      fold  <= '0;
      head  <= '0;
      token <= '0;
      group <= '0;
      lane  <= '0;
      done  <= 1'b0;
    end
  end

endmodule

`default_nettype wire
