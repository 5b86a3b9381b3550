// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// axi3_to_lite before a slave, its channels as streams: s_axis_aw and s_axis_ar are {burst, len, id,
// address}, s_axis_w {strobe, data}, m_axis_b {resp, id}, m_axis_r {last, resp, id, data}; a register
// reads as its address, and m_axis_done gives each write as {address, strobe, data}.
`default_nettype none

module axi3_bench (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [23:0] s_axis_aw_tdata,
    input  wire logic        s_axis_aw_tvalid,
    output wire logic        s_axis_aw_tready,

    input  wire logic [35:0] s_axis_w_tdata,
    input  wire logic        s_axis_w_tvalid,
    output wire logic        s_axis_w_tready,

    input  wire logic [23:0] s_axis_ar_tdata,
    input  wire logic        s_axis_ar_tvalid,
    output wire logic        s_axis_ar_tready,

    output wire logic [7:0] m_axis_b_tdata,
    output wire logic       m_axis_b_tvalid,
    input  wire logic       m_axis_b_tready,

    output wire logic [40:0] m_axis_r_tdata,
    output wire logic        m_axis_r_tvalid,
    input  wire logic        m_axis_r_tready,

    output wire logic [47:0] m_axis_done_tdata,
    output wire logic        m_axis_done_tvalid,
    input  wire logic        m_axis_done_tready
);

  logic [11:0] awaddr, araddr;
  logic [31:0] wdata, rdata, write_data;
  logic [3:0] wstrb, write_strobe;
  logic [1:0] bresp, rresp;
  logic awvalid, awready, wvalid, wready, bvalid, bready, arvalid, arready, rvalid, rready;
  logic write, read;
  logic [11:2] write_address, read_address;

  axi3_to_lite #(
      .ADDRESS_BITS(12),
      .ID_BITS(6)
  ) u_bridge (
      .clk,
      .rst_n,
      .s_axi_awid(s_axis_aw_tdata[17:12]),
      .s_axi_awaddr(s_axis_aw_tdata[11:0]),
      .s_axi_awlen(s_axis_aw_tdata[21:18]),
      .s_axi_awburst(s_axis_aw_tdata[23:22]),
      .s_axi_awvalid(s_axis_aw_tvalid),
      .s_axi_awready(s_axis_aw_tready),
      .s_axi_wdata(s_axis_w_tdata[31:0]),
      .s_axi_wstrb(s_axis_w_tdata[35:32]),
      .s_axi_wvalid(s_axis_w_tvalid),
      .s_axi_wready(s_axis_w_tready),
      .s_axi_bid(m_axis_b_tdata[5:0]),
      .s_axi_bresp(m_axis_b_tdata[7:6]),
      .s_axi_bvalid(m_axis_b_tvalid),
      .s_axi_bready(m_axis_b_tready),
      .s_axi_arid(s_axis_ar_tdata[17:12]),
      .s_axi_araddr(s_axis_ar_tdata[11:0]),
      .s_axi_arlen(s_axis_ar_tdata[21:18]),
      .s_axi_arburst(s_axis_ar_tdata[23:22]),
      .s_axi_arvalid(s_axis_ar_tvalid),
      .s_axi_arready(s_axis_ar_tready),
      .s_axi_rid(m_axis_r_tdata[37:32]),
      .s_axi_rdata(m_axis_r_tdata[31:0]),
      .s_axi_rresp(m_axis_r_tdata[39:38]),
      .s_axi_rlast(m_axis_r_tdata[40]),
      .s_axi_rvalid(m_axis_r_tvalid),
      .s_axi_rready(m_axis_r_tready),
      .m_axi_awaddr(awaddr),
      .m_axi_awvalid(awvalid),
      .m_axi_awready(awready),
      .m_axi_wdata(wdata),
      .m_axi_wstrb(wstrb),
      .m_axi_wvalid(wvalid),
      .m_axi_wready(wready),
      .m_axi_bresp(bresp),
      .m_axi_bvalid(bvalid),
      .m_axi_bready(bready),
      .m_axi_araddr(araddr),
      .m_axi_arvalid(arvalid),
      .m_axi_arready(arready),
      .m_axi_rdata(rdata),
      .m_axi_rresp(rresp),
      .m_axi_rvalid(rvalid),
      .m_axi_rready(rready)
  );

  axi_lite_slave u_slave (
      .clk,
      .rst_n,
      .s_axi_awaddr(awaddr),
      .s_axi_awvalid(awvalid),
      .s_axi_awready(awready),
      .s_axi_wdata(wdata),
      .s_axi_wstrb(wstrb),
      .s_axi_wvalid(wvalid),
      .s_axi_wready(wready),
      .s_axi_bresp(bresp),
      .s_axi_bvalid(bvalid),
      .s_axi_bready(bready),
      .s_axi_araddr(araddr),
      .s_axi_arvalid(arvalid),
      .s_axi_arready(arready),
      .s_axi_rdata(rdata),
      .s_axi_rresp(rresp),
      .s_axi_rvalid(rvalid),
      .s_axi_rready(rready),
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
