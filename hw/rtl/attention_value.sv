// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Values of the attention: bits in by token, words of all keys of a channel out.
//
// Contract: a sentence begins with load_begin; its tokens come in beats of IN_BITS, H / IN_BITS a
// token, and end with token load_last; then `done` until the next sentence. Word {head, step} has
// CHANNELS channels, HEAD_WIDTH head + CHANNELS step ...; bit j of each is token j. Bits of tokens
// beyond the sentence are of an earlier one. read_bits is the word of the address before.
// The memory is written bit by bit and read a word at a time (ports of different widths), which
// transposes for nothing; a beat therefore stays on the port while its bits are written.
// Throughput and latency: CHANNELS bits and a read per cycle; a read takes one cycle.
// Reference: hw.reference.split_heads.
`default_nettype none

module attention_value #(
    parameter int unsigned MAX_TOKENS = 64,  // tokens of the longest sentence, >= 1
    parameter int unsigned HEADS = 4,        // >= 1
    parameter int unsigned HEAD_WIDTH = 64,  // channels of a head, >= 1
    parameter int unsigned CHANNELS = 1,     // channels of a word, divides IN_BITS
    parameter int unsigned IN_BITS = 16,     // bits of a beat, divides HEAD_WIDTH
    parameter int unsigned BANKS = 2,        // sentences held
    localparam int unsigned STEPS = HEAD_WIDTH / CHANNELS,
    localparam int unsigned TOKEN_BITS = MAX_TOKENS > 1 ? $clog2(MAX_TOKENS) : 1,
    localparam int unsigned HEAD_BITS = HEADS > 1 ? $clog2(HEADS) : 1,
    localparam int unsigned STEP_BITS = STEPS > 1 ? $clog2(STEPS) : 1,
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

    input  wire logic                           read_enable,
    input  wire logic [          BANK_BITS-1:0] read_bank,
    input  wire logic [          HEAD_BITS-1:0] read_head,
    input  wire logic [          STEP_BITS-1:0] read_step,
    output wire logic [CHANNELS*MAX_TOKENS-1:0] read_bits
);

  localparam int unsigned PARTS = IN_BITS / CHANNELS;  // of a beat, one a cycle
  localparam int unsigned PART_BITS = PARTS > 1 ? $clog2(PARTS) : 1;
  localparam int unsigned HEAD_SHIFT = $clog2(STEPS);
  localparam int unsigned BANK_SHIFT = HEAD_SHIFT + $clog2(HEADS);
  localparam int unsigned DEPTH = BANKS << BANK_SHIFT;
  localparam int unsigned ADDRESS_BITS = $clog2(DEPTH);
  localparam int unsigned WORD = 1 << $clog2(MAX_TOKENS);

  logic [PART_BITS-1:0] part;
  logic [STEP_BITS-1:0] step;
  logic [HEAD_BITS-1:0] head;
  logic [TOKEN_BITS-1:0] token;

  wire logic part_ends = PARTS == 1 || part == PART_BITS'(PARTS - 1);
  wire logic step_ends = STEPS == 1 || step == STEP_BITS'(STEPS - 1);
  wire logic head_ends = HEADS == 1 || head == HEAD_BITS'(HEADS - 1);
  wire logic write = s_axis_tvalid && loading && !done;

  assign s_axis_tready = loading && !done && part_ends;

  if (PARTS == 1) begin : gen_whole_beat
    assign part = '0;
  end else if ((PARTS & (PARTS - 1)) != 0) begin : gen_part_counter
    always_ff @(posedge clk) begin
      if (write) part <= part_ends ? '0 : part + 1'b1;
      if (load_begin || !rst_n) part <= '0;
    end
  end else begin : gen_part_of_step
    assign part = PART_BITS'(step);
  end

  wire logic [ADDRESS_BITS-1:0] write_address = ADDRESS_BITS'(step)
      | (ADDRESS_BITS'(head) << HEAD_SHIFT) | (ADDRESS_BITS'(load_bank) << BANK_SHIFT);
  wire logic [ADDRESS_BITS-1:0] read_address = ADDRESS_BITS'(read_step)
      | (ADDRESS_BITS'(read_head) << HEAD_SHIFT) | (ADDRESS_BITS'(read_bank) << BANK_SHIFT);
  wire logic [CHANNELS-1:0] bits = s_axis_tdata[part*CHANNELS+:CHANNELS];

  for (genvar c = 0; c < CHANNELS; c++) begin : gen_channels
    logic [WORD-1:0] data;
    attention_bit_ram #(
        .WIDTH(WORD),
        .DEPTH(DEPTH)
    ) u_ram (
        .clk,
        .write_enable(write),
        .write_address,
        .write_index (token),
        .write_bit   (bits[c]),
        .read_enable,
        .read_address,
        .read_data   (data)
    );
    assign read_bits[c*MAX_TOKENS+:MAX_TOKENS] = data[MAX_TOKENS-1:0];
    if (WORD > MAX_TOKENS) begin : gen_unused
      wire logic unused = ^data[WORD-1:MAX_TOKENS];
    end
  end

  always_ff @(posedge clk) begin
    if (write) begin
      step <= step_ends ? '0 : step + 1'b1;
      if (step_ends) head <= head_ends ? '0 : head + 1'b1;
      if (step_ends && head_ends) begin
        done <= token == load_last;
        if (token != load_last) token <= token + 1'b1;
      end
    end
    if (load_begin || !rst_n) begin
      step  <= '0;
      head  <= '0;
      token <= '0;
      done  <= 1'b0;
    end
  end

endmodule

`default_nettype wire
