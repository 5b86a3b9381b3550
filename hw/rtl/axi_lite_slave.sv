// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// AXI4-Lite slave: turns accesses into single cycles of a register file.
//
// Contract: a write is complete when its address and its data have come, in either order; then
// write is set for one cycle with the word's address, its data and the strobes of its bytes, and
// the response OKAY follows. A read sets read for one cycle with the word's address, and takes
// read_data in that cycle. The two lowest bits of an address do not count. Responses wait as long
// as the master makes them, and none is lost.
// Throughput and latency: a write and a read every two cycles; a response two cycles after its
// request. All outputs of the bus are functions of registers.
// Reference: an array of words.
`default_nettype none

module axi_lite_slave #(
    parameter int unsigned ADDRESS_BITS = 12  // of a byte, 3 to 32
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [ADDRESS_BITS-1:0] s_axi_awaddr,
    input  wire logic                    s_axi_awvalid,
    output wire logic                    s_axi_awready,
    input  wire logic [            31:0] s_axi_wdata,
    input  wire logic [             3:0] s_axi_wstrb,
    input  wire logic                    s_axi_wvalid,
    output wire logic                    s_axi_wready,
    output wire logic [             1:0] s_axi_bresp,
    output      logic                    s_axi_bvalid,
    input  wire logic                    s_axi_bready,
    input  wire logic [ADDRESS_BITS-1:0] s_axi_araddr,
    input  wire logic                    s_axi_arvalid,
    output wire logic                    s_axi_arready,
    output      logic [            31:0] s_axi_rdata,
    output wire logic [             1:0] s_axi_rresp,
    output      logic                    s_axi_rvalid,
    input  wire logic                    s_axi_rready,

    output wire logic                    write,
    output      logic [ADDRESS_BITS-1:2] write_address,
    output      logic [            31:0] write_data,
    output      logic [             3:0] write_strobe,
    output wire logic                    read,
    output      logic [ADDRESS_BITS-1:2] read_address,
    input  wire logic [            31:0] read_data
);

  if (ADDRESS_BITS < 3 || ADDRESS_BITS > 32) begin : gen_check_address_bits
    $fatal(1, "axi_lite_slave: ADDRESS_BITS must be 3 to 32, got %0d", ADDRESS_BITS);
  end

  localparam logic [1:0] OKAY = 2'b00;

  logic have_address, have_data, have_read;  // a request that has been taken and not yet served

  assign s_axi_awready = !have_address;
  assign s_axi_wready = !have_data;
  assign s_axi_arready = !have_read;
  assign s_axi_bresp = OKAY;
  assign s_axi_rresp = OKAY;
  // The response of the access before must have left its register.
  assign write = have_address && have_data && !s_axi_bvalid;
  assign read = have_read && !s_axi_rvalid;

  wire unused = &{s_axi_awaddr[1:0], s_axi_araddr[1:0]};

  always_ff @(posedge clk) begin
    if (s_axi_awvalid && s_axi_awready) begin
      have_address  <= 1'b1;
      write_address <= s_axi_awaddr[ADDRESS_BITS-1:2];
    end
    if (s_axi_wvalid && s_axi_wready) begin
      have_data <= 1'b1;
      write_data <= s_axi_wdata;
      write_strobe <= s_axi_wstrb;
    end
    if (s_axi_bready) s_axi_bvalid <= 1'b0;
    if (write) begin
      have_address <= 1'b0;
      have_data <= 1'b0;
      s_axi_bvalid <= 1'b1;
    end
    if (s_axi_arvalid && s_axi_arready) begin
      have_read <= 1'b1;
      read_address <= s_axi_araddr[ADDRESS_BITS-1:2];
    end
    if (s_axi_rready) s_axi_rvalid <= 1'b0;
    if (read) begin
      have_read <= 1'b0;
      s_axi_rvalid <= 1'b1;
      s_axi_rdata <= read_data;
    end
    if (!rst_n) begin
      have_address <= 1'b0;
      have_data <= 1'b0;
      have_read <= 1'b0;
      s_axi_bvalid <= 1'b0;
      s_axi_rvalid <= 1'b0;
    end
  end

endmodule

`default_nettype wire
