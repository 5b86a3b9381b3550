// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// The weight-streamed encoder with an external memory, for simulation.
//
// Contract: streamed_encoder.sv and memory_model.sv.
// Throughput and latency: hw/streamed/cycles.py.
// Reference: hw.reference.run_layer, applied LAYERS times.
`default_nettype none

module streamed_system #(
    parameter int unsigned LAYERS        = 2,
    parameter int unsigned BEATS         = 64,
    parameter int unsigned BEAT_BITS     = 18,
    parameter int unsigned LENGTH_BITS   = 7,
    parameter int unsigned MAX_SENTENCES = 16,
    parameter int unsigned TOKEN_BITS    = 16,
    parameter int unsigned IMAGE_BEATS   = 64,
    parameter int unsigned GAP_BEATS     = 0,
    parameter int unsigned LOAD_BITS     = 64,
    parameter int unsigned LOOP_DEPTH    = 0,
    parameter int unsigned LOOP_STYLE    = 0
) (
    input wire logic clk,
    input wire logic rst_n,

    input wire logic [31:0] rate,     // of the memory: bytes a cycle, times 256
    input wire logic [31:0] latency,  // of the memory, cycles

    input  wire logic [LENGTH_BITS:0] s_axis_length_tdata,
    input  wire logic                 s_axis_length_tvalid,
    output wire logic                 s_axis_length_tready,

    input  wire logic [BEAT_BITS-1:0] s_axis_residual_tdata,
    input  wire logic                 s_axis_residual_tvalid,
    output wire logic                 s_axis_residual_tready,

    input  wire logic [LOAD_BITS-1:0] s_axis_image_tdata,
    input  wire logic                 s_axis_image_tvalid,
    output wire logic                 s_axis_image_tready,

    output wire logic [BEAT_BITS-1:0] m_axis_residual_tdata,
    output wire logic                 m_axis_residual_tvalid,
    input  wire logic                 m_axis_residual_tready
);

  wire logic [LOAD_BITS-1:0] load_tdata;
  wire logic [BEAT_BITS-1:0] write_tdata, read_tdata;
  wire logic load_tvalid, load_tready, write_tvalid, write_tready, read_tvalid, read_tready;

  memory_model #(
      .LOAD_BITS(LOAD_BITS),
      .BEAT_BITS(BEAT_BITS)
  ) u_memory (
      .clk,
      .rst_n,
      .rate,
      .latency,
      .s_axis_image_tdata,
      .s_axis_image_tvalid,
      .s_axis_image_tready,
      .m_axis_load_tdata  (load_tdata),
      .m_axis_load_tvalid (load_tvalid),
      .m_axis_load_tready (load_tready),
      .s_axis_write_tdata (write_tdata),
      .s_axis_write_tvalid(write_tvalid),
      .s_axis_write_tready(write_tready),
      .m_axis_read_tdata  (read_tdata),
      .m_axis_read_tvalid (read_tvalid),
      .m_axis_read_tready (read_tready)
  );

  streamed_encoder #(
      .LAYERS       (LAYERS),
      .BEATS        (BEATS),
      .BEAT_BITS    (BEAT_BITS),
      .LENGTH_BITS  (LENGTH_BITS),
      .MAX_SENTENCES(MAX_SENTENCES),
      .TOKEN_BITS   (TOKEN_BITS),
      .IMAGE_BEATS  (IMAGE_BEATS),
      .GAP_BEATS    (GAP_BEATS),
      .LOAD_BITS    (LOAD_BITS),
      .LOOP_DEPTH   (LOOP_DEPTH),
      .LOOP_STYLE   (LOOP_STYLE)
  ) u_encoder (
      .clk,
      .rst_n,
      .s_axis_length_tdata,
      .s_axis_length_tvalid,
      .s_axis_length_tready,
      .s_axis_residual_tdata,
      .s_axis_residual_tvalid,
      .s_axis_residual_tready,
      .s_axis_load_tdata  (load_tdata),
      .s_axis_load_tvalid (load_tvalid),
      .s_axis_load_tready (load_tready),
      .s_axis_loop_tdata  (read_tdata),
      .s_axis_loop_tvalid (read_tvalid),
      .s_axis_loop_tready (read_tready),
      .m_axis_loop_tdata  (write_tdata),
      .m_axis_loop_tvalid (write_tvalid),
      .m_axis_loop_tready (write_tready),
      .m_axis_residual_tdata,
      .m_axis_residual_tvalid,
      .m_axis_residual_tready
  );

endmodule

`default_nettype wire
