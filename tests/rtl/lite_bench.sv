// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// axi_lite_slave with its channels as streams: a register reads as its address, and m_axis_done
// gives each write as {address, strobe, data}.
`default_nettype none

module lite_bench (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [11:0] s_axis_aw_tdata,
    input  wire logic        s_axis_aw_tvalid,
    output wire logic        s_axis_aw_tready,

    input  wire logic [35:0] s_axis_w_tdata,
    input  wire logic        s_axis_w_tvalid,
    output wire logic        s_axis_w_tready,

    input  wire logic [11:0] s_axis_ar_tdata,
    input  wire logic        s_axis_ar_tvalid,
    output wire logic        s_axis_ar_tready,

    output wire logic [1:0] m_axis_b_tdata,
    output wire logic       m_axis_b_tvalid,
    input  wire logic       m_axis_b_tready,

    output wire logic [33:0] m_axis_r_tdata,
    output wire logic        m_axis_r_tvalid,
    input  wire logic        m_axis_r_tready,

    output wire logic [47:0] m_axis_done_tdata,
    output wire logic        m_axis_done_tvalid,
    input  wire logic        m_axis_done_tready
);

  logic [31:0] write_data;
  logic [3:0] write_strobe;
  logic write, read;
  logic [11:2] write_address, read_address;

  axi_lite_slave u_slave (
      .s_axi_awaddr(s_axis_aw_tdata),
      .s_axi_awvalid(s_axis_aw_tvalid),
      .s_axi_awready(s_axis_aw_tready),
      .s_axi_wdata(s_axis_w_tdata[31:0]),
      .s_axi_wstrb(s_axis_w_tdata[35:32]),
      .s_axi_wvalid(s_axis_w_tvalid),
      .s_axi_wready(s_axis_w_tready),
      .s_axi_bresp(m_axis_b_tdata),
      .s_axi_bvalid(m_axis_b_tvalid),
      .s_axi_bready(m_axis_b_tready),
      .s_axi_araddr(s_axis_ar_tdata),
      .s_axi_arvalid(s_axis_ar_tvalid),
      .s_axi_arready(s_axis_ar_tready),
      .s_axi_rdata(m_axis_r_tdata[31:0]),
      .s_axi_rresp(m_axis_r_tdata[33:32]),
      .s_axi_rvalid(m_axis_r_tvalid),
      .s_axi_rready(m_axis_r_tready),
      .read_data({20'hABCDE, read_address, 2'b00}),
      .*
  );

  stream_fifo #(
      .WIDTH(48),
      .DEPTH(1024)
  ) u_done (
      .clk,
      .rst_n,
      .s_axis_tdata ({write_address, 2'b00, write_strobe, write_data}),
      .s_axis_tvalid(write),
      .s_axis_tready(),
      .m_axis_tdata (m_axis_done_tdata),
      .m_axis_tvalid(m_axis_done_tvalid),
      .m_axis_tready(m_axis_done_tready),
      .level        (),
      .high_water   ()
  );

endmodule

`default_nettype wire
