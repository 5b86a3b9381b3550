// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// External memory, for simulation: images and the residual of a batch share one bandwidth.
//
// Contract: m_axis_load gives the beats of s_axis_image (what the memory holds of images, in the
// order in which they are asked for); m_axis_read gives those of s_axis_write. Every beat of the
// three transfers takes its bytes from a budget that grows by rate / 256 bytes a cycle, and is
// never above BURST bytes: reads and writes of the residual go before images. What was written, or
// is read, comes latency cycles later; latency + 8 beats of each kind are on their way at most.
// Throughput and latency: as said.
// Reference: the identity, for both.
`default_nettype none

module memory_model #(
    parameter int unsigned LOAD_BITS = 64,   // bits of a beat of an image
    parameter int unsigned BEAT_BITS = 18,   // bits of a beat of the residual
    parameter int unsigned BURST     = 256   // bytes
) (
    input wire logic clk,
    input wire logic rst_n,

    input wire logic [31:0] rate,     // bytes a cycle, times 256
    input wire logic [31:0] latency,  // cycles, >= 1

    input  wire logic [LOAD_BITS-1:0] s_axis_image_tdata,
    input  wire logic                 s_axis_image_tvalid,
    output      logic                 s_axis_image_tready,

    output logic      [LOAD_BITS-1:0] m_axis_load_tdata,
    output logic                      m_axis_load_tvalid,
    input  wire logic                 m_axis_load_tready,

    input  wire logic [BEAT_BITS-1:0] s_axis_write_tdata,
    input  wire logic                 s_axis_write_tvalid,
    output      logic                 s_axis_write_tready,

    output logic      [BEAT_BITS-1:0] m_axis_read_tdata,
    output logic                      m_axis_read_tvalid,
    input  wire logic                 m_axis_read_tready
);

  // A beat of the residual is packed with others: its cost is in bits, and so is the budget.
  localparam longint unsigned IMAGE_COST = 64'(LOAD_BITS) * 32;
  localparam longint unsigned BEAT_COST = 64'(BEAT_BITS) * 32;

  longint unsigned budget, now;
  logic [LOAD_BITS-1:0] image[$];
  logic [BEAT_BITS-1:0] stored[$], fetched[$];
  longint unsigned image_due[$], stored_due[$], fetched_due[$];

  always @(posedge clk) begin
    now = now + 1;
    budget = budget + 64'(rate);
    if (budget > 64'(BURST) * 256) budget = 64'(BURST) * 256;

    // What was offered and taken.
    if (s_axis_write_tvalid && s_axis_write_tready) begin
      stored.push_back(s_axis_write_tdata);
      stored_due.push_back(now + 64'(latency));
      budget -= BEAT_COST;
    end
    if (s_axis_image_tvalid && s_axis_image_tready) begin
      image.push_back(s_axis_image_tdata);
      image_due.push_back(now + 64'(latency));
      budget -= IMAGE_COST;
    end
    if (m_axis_load_tvalid && m_axis_load_tready) m_axis_load_tvalid <= 1'b0;
    if (m_axis_read_tvalid && m_axis_read_tready) m_axis_read_tvalid <= 1'b0;

    // Reads of the residual.
    if (stored.size() != 0 && stored_due[0] <= now && fetched.size() < latency + 8
        && budget >= BEAT_COST) begin
      fetched.push_back(stored.pop_front());
      fetched_due.push_back(now + 64'(latency));
      void'(stored_due.pop_front());
      budget -= BEAT_COST;
    end

    // What has come.
    if (image.size() != 0 && image_due[0] <= now
        && (!m_axis_load_tvalid || m_axis_load_tready)) begin
      m_axis_load_tdata  <= image.pop_front();
      m_axis_load_tvalid <= 1'b1;
      void'(image_due.pop_front());
    end
    if (fetched.size() != 0 && fetched_due[0] <= now
        && (!m_axis_read_tvalid || m_axis_read_tready)) begin
      m_axis_read_tdata  <= fetched.pop_front();
      m_axis_read_tvalid <= 1'b1;
      void'(fetched_due.pop_front());
    end

    // What can be taken in the next cycle.
    s_axis_write_tready <= budget >= 2 * BEAT_COST;
    s_axis_image_tready <= budget >= 3 * BEAT_COST + IMAGE_COST
        && image.size() < latency + 8;

    if (!rst_n) begin
      budget = 0;
      now = 0;
      image.delete();
      image_due.delete();
      stored.delete();
      stored_due.delete();
      fetched.delete();
      fetched_due.delete();
      m_axis_load_tvalid  <= 1'b0;
      m_axis_read_tvalid  <= 1'b0;
      s_axis_write_tready <= 1'b0;
      s_axis_image_tready <= 1'b0;
    end
  end

endmodule

`default_nettype wire
