// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Two readers share the read channels of one AXI master.
//
// Contract: requests of both go out one at a time, those of reader 1 first; an offered request is
// held. All have one id, so the memory answers in the order of the requests, and each answer goes
// to the reader that asked. Up to OUTSTANDING bursts are under way.
// Throughput and latency: a request every two cycles, after one cycle; answers pass at once.
// m_axi_ar* and m_axi_rready are functions of registers. The readers' rready must be constant 1.
// Reference: the identity, for each reader.
`default_nettype none

module axi_read_arbiter #(
    parameter int unsigned ADDRESS_BITS = 32,  // of a byte, >= 1
    parameter int unsigned OUTSTANDING  = 8    // bursts, >= 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [1:0][ADDRESS_BITS-1:0] s_axi_araddr,
    input  wire logic [1:0][             7:0] s_axi_arlen,
    input  wire logic [1:0]                   s_axi_arvalid,
    output wire logic [1:0]                   s_axi_arready,
    output wire logic [1:0]                   s_axi_rvalid,

    output      logic [ADDRESS_BITS-1:0] m_axi_araddr,
    output      logic [             7:0] m_axi_arlen,
    output      logic                    m_axi_arvalid,
    input  wire logic                    m_axi_arready,
    input  wire logic                    m_axi_rlast,
    input  wire logic                    m_axi_rvalid,
    output wire logic                    m_axi_rready
);

  if (ADDRESS_BITS < 1) begin : gen_check_address_bits
    $fatal(1, "axi_read_arbiter: ADDRESS_BITS must be at least 1, got %0d", ADDRESS_BITS);
  end
  if (OUTSTANDING < 1) begin : gen_check_outstanding
    $fatal(1, "axi_read_arbiter: OUTSTANDING must be at least 1, got %0d", OUTSTANDING);
  end

  logic room, asked, asked_valid;
  logic [$clog2(OUTSTANDING + 1)-1:0] unused_level, unused_high_water;
  wire logic reader = s_axi_arvalid[1];
  wire logic take = (|s_axi_arvalid) && !m_axi_arvalid && room;

  assign s_axi_arready = {take && reader, take && !reader};
  assign m_axi_rready  = asked_valid;
  assign s_axi_rvalid  = {2{m_axi_rvalid && m_axi_rready}} & {asked, !asked};

  stream_fifo #(
      .WIDTH(1),
      .DEPTH(OUTSTANDING)
  ) u_order (
      .clk,
      .rst_n,
      .s_axis_tdata (reader),
      .s_axis_tvalid(take),
      .s_axis_tready(room),
      .m_axis_tdata (asked),
      .m_axis_tvalid(asked_valid),
      .m_axis_tready(m_axi_rvalid && m_axi_rlast),
      .level        (unused_level),
      .high_water   (unused_high_water)
  );

  always_ff @(posedge clk) begin
    if (m_axi_arready) m_axi_arvalid <= 1'b0;
    if (take) begin
      m_axi_arvalid <= 1'b1;
      m_axi_araddr <= s_axi_araddr[reader];
      m_axi_arlen <= s_axi_arlen[reader];
    end
    if (!rst_n) m_axi_arvalid <= 1'b0;
  end

endmodule

`default_nettype wire
