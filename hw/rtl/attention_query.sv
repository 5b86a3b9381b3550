// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Queries of the attention: bits in by token, the coded bits of a row of scores out.
//
// Contract: the beats of a row are the next HEAD_WIDTH / IN_BITS of s_axis. `valid` says that the
// next row is complete; `take` makes it the current one, whose parity codes (popcount_pkg.sv), SIMD
// bits each, then stay in `code`. DEPTH beats fit before those of the next row.
// Throughput and latency: a beat per cycle; at IN_BITS = HEAD_WIDTH a row per cycle.
// Reference: hw.reference.split_heads.
`default_nettype none

module attention_query #(
    parameter int unsigned HEAD_WIDTH = 64,  // bits of a row, >= 1
    parameter int unsigned SIMD = 64,        // bits of a code, divides HEAD_WIDTH
    parameter int unsigned IN_BITS = 16,     // bits of a beat, divides HEAD_WIDTH
    parameter int unsigned DEPTH = 1024      // beats, >= 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [IN_BITS-1:0] s_axis_tdata,
    input  wire logic               s_axis_tvalid,
    output wire logic               s_axis_tready,

    output      logic                  valid,
    input  wire logic                  take,
    output      logic [HEAD_WIDTH-1:0] code
);

  localparam int unsigned PIECES = HEAD_WIDTH / IN_BITS;
  localparam int unsigned PIECE_BITS = PIECES > 1 ? $clog2(PIECES) : 1;

  logic [IN_BITS-1:0] beat;
  logic beat_valid;
  logic [HEAD_WIDTH-1:0] row, next_code;
  logic [PIECE_BITS-1:0] piece;
  logic [$clog2(DEPTH + 1)-1:0] unused_level, unused_high_water;

  wire logic beat_ready = !valid || take;
  wire logic gather = beat_valid && beat_ready;

  stream_fifo #(
      .WIDTH(IN_BITS),
      .DEPTH(DEPTH)
  ) u_fifo (
      .clk,
      .rst_n,
      .s_axis_tdata,
      .s_axis_tvalid,
      .s_axis_tready,
      .m_axis_tdata (beat),
      .m_axis_tvalid(beat_valid),
      .m_axis_tready(beat_ready),
      .level        (unused_level),
      .high_water   (unused_high_water)
  );

  for (genvar f = 0; f < HEAD_WIDTH / SIMD; f++) begin : gen_codes
    activation_encoder #(
        .N(SIMD)
    ) u_encoder (
        .bits(row[f*SIMD+:SIMD]),
        .code(next_code[f*SIMD+:SIMD])
    );
  end

  if (PIECES == 1) begin : gen_whole
    always_ff @(posedge clk) if (gather) row <= beat;
  end else begin : gen_gather
    always_ff @(posedge clk) if (gather) row <= {beat, row[HEAD_WIDTH-1:IN_BITS]};
  end

  always_ff @(posedge clk) begin
    if (take) begin
      code  <= next_code;
      valid <= 1'b0;
    end
    if (gather) begin
      piece <= piece == PIECE_BITS'(PIECES - 1) ? '0 : piece + 1'b1;
      valid <= piece == PIECE_BITS'(PIECES - 1);
    end
    if (!rst_n) begin
      valid <= 1'b0;
      piece <= '0;
    end
  end

endmodule

`default_nettype wire
