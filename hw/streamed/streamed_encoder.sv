// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// The weight-streamed encoder: one layer's hardware, its sequencer, and the batch's memory.
//
// Contract: layer_sequencer.sv. LOOP_DEPTH > 0: the residual of a batch waits for the next pass in
// a FIFO of so many beats, and m_axis_loop and s_axis_loop stay silent. streamed_layer is made by
// hw/streamed/top.py, and has a register in the load bus per kernel.
// Throughput and latency: hw/streamed/cycles.py.
// Reference: hw.reference.run_layer, applied LAYERS times.
`default_nettype none

module streamed_encoder
  import load_pkg::*;
#(
    parameter int unsigned LAYERS        = 2,
    parameter int unsigned BEATS         = 64,  // of a token
    parameter int unsigned BEAT_BITS     = 18,  // bits of a residual beat
    parameter int unsigned LENGTH_BITS   = 7,
    parameter int unsigned MAX_SENTENCES = 16,  // of a batch
    parameter int unsigned TOKEN_BITS    = 16,
    parameter int unsigned IMAGE_BEATS   = 64,  // of a layer
    parameter int unsigned GAP_BEATS     = 0,   // of them, those of memories of one bank
    parameter int unsigned LOAD_BITS     = 64,
    parameter int unsigned LOOP_DEPTH    = 0,   // beats of a batch on the chip, 0: outside
    parameter int unsigned LOOP_STYLE    = 0    // of that FIFO: stream_fifo.sv
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LENGTH_BITS:0] s_axis_length_tdata,
    input  wire logic                 s_axis_length_tvalid,
    output wire logic                 s_axis_length_tready,

    input  wire logic [BEAT_BITS-1:0] s_axis_residual_tdata,
    input  wire logic                 s_axis_residual_tvalid,
    output wire logic                 s_axis_residual_tready,

    input  wire logic [LOAD_BITS-1:0] s_axis_load_tdata,
    input  wire logic                 s_axis_load_tvalid,
    output wire logic                 s_axis_load_tready,

    input  wire logic [BEAT_BITS-1:0] s_axis_loop_tdata,
    input  wire logic                 s_axis_loop_tvalid,
    output wire logic                 s_axis_loop_tready,

    output wire logic [BEAT_BITS-1:0] m_axis_loop_tdata,
    output wire logic                 m_axis_loop_tvalid,
    input  wire logic                 m_axis_loop_tready,

    output wire logic [BEAT_BITS-1:0] m_axis_residual_tdata,
    output wire logic                 m_axis_residual_tvalid,
    input  wire logic                 m_axis_residual_tready
);

  localparam int unsigned KERNELS = 10;  // of streamed_layer

  wire logic layer_rst_n;
  wire logic [LOAD_BITS+INDEX_BITS+1:0] load;
  wire logic [LENGTH_BITS-1:0] length_tdata;
  wire logic [BEAT_BITS-1:0] in_tdata, out_tdata, from_tdata, to_tdata;
  wire logic length_tvalid, length_tready, in_tvalid, in_tready, out_tvalid, out_tready;
  wire logic from_tvalid, from_tready, to_tvalid, to_tready;

  layer_sequencer #(
      .LAYERS       (LAYERS),
      .BEATS        (BEATS),
      .BEAT_BITS    (BEAT_BITS),
      .LENGTH_BITS  (LENGTH_BITS),
      .MAX_SENTENCES(MAX_SENTENCES),
      .TOKEN_BITS   (TOKEN_BITS),
      .IMAGE_BEATS  (IMAGE_BEATS),
      .GAP_BEATS    (GAP_BEATS),
      .LOAD_BITS    (LOAD_BITS),
      .HOPS         (KERNELS)
  ) u_sequencer (
      .clk,
      .rst_n,
      .s_axis_length_tdata,
      .s_axis_length_tvalid,
      .s_axis_length_tready,
      .s_axis_residual_tdata,
      .s_axis_residual_tvalid,
      .s_axis_residual_tready,
      .s_axis_load_tdata,
      .s_axis_load_tvalid,
      .s_axis_load_tready,
      .s_axis_loop_tdata         (from_tdata),
      .s_axis_loop_tvalid        (from_tvalid),
      .s_axis_loop_tready        (from_tready),
      .s_axis_layer_tdata        (out_tdata),
      .s_axis_layer_tvalid       (out_tvalid),
      .s_axis_layer_tready       (out_tready),
      .layer_rst_n,
      .load,
      .m_axis_layer_length_tdata (length_tdata),
      .m_axis_layer_length_tvalid(length_tvalid),
      .m_axis_layer_length_tready(length_tready),
      .m_axis_layer_tdata        (in_tdata),
      .m_axis_layer_tvalid       (in_tvalid),
      .m_axis_layer_tready       (in_tready),
      .m_axis_loop_tdata         (to_tdata),
      .m_axis_loop_tvalid        (to_tvalid),
      .m_axis_loop_tready        (to_tready),
      .m_axis_residual_tdata,
      .m_axis_residual_tvalid,
      .m_axis_residual_tready
  );

  streamed_layer u_layer (
      .clk,
      .rst_n,
      .layer_rst_n,
      .load,
      .s_axis_tdata        (in_tdata),
      .s_axis_tvalid       (in_tvalid),
      .s_axis_tready       (in_tready),
      .s_axis_length_tdata (length_tdata),
      .s_axis_length_tvalid(length_tvalid),
      .s_axis_length_tready(length_tready),
      .m_axis_tdata        (out_tdata),
      .m_axis_tvalid       (out_tvalid),
      .m_axis_tready       (out_tready)
  );

  if (LOOP_DEPTH == 0) begin : gen_outside
    assign m_axis_loop_tdata = to_tdata;
    assign m_axis_loop_tvalid = to_tvalid;
    assign to_tready = m_axis_loop_tready;
    assign from_tdata = s_axis_loop_tdata;
    assign from_tvalid = s_axis_loop_tvalid;
    assign s_axis_loop_tready = from_tready;
  end else begin : gen_chip
    wire logic [$clog2(LOOP_DEPTH+1)-1:0] unused_level, unused_high_water;
    wire unused = &{1'b0, s_axis_loop_tdata, s_axis_loop_tvalid, m_axis_loop_tready};

    assign m_axis_loop_tdata = '0;
    assign m_axis_loop_tvalid = 1'b0;
    assign s_axis_loop_tready = 1'b0;

    stream_fifo #(
        .WIDTH    (BEAT_BITS),
        .DEPTH    (LOOP_DEPTH),
        .RAM_STYLE(LOOP_STYLE)
    ) u_loop (
        .clk,
        .rst_n,
        .s_axis_tdata (to_tdata),
        .s_axis_tvalid(to_tvalid),
        .s_axis_tready(to_tready),
        .m_axis_tdata (from_tdata),
        .m_axis_tvalid(from_tvalid),
        .m_axis_tready(from_tready),
        .level        (unused_level),
        .high_water   (unused_high_water)
    );
  end

endmodule

`default_nettype wire
