// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// A processor's AXI3 master port (bursts, ids) to an AXI4-Lite slave, one access at a time.
//
// Contract: each beat of a burst is an access of its own to s_axi's next word (4 bytes; of a FIXED
// burst to the same). The answer has the burst's id; that of a write is OKAY if those of all its
// beats are. Data of a write are taken after its address.
// Throughput and latency: a beat in seven cycles. All outputs are functions of registers.
// Reference: the identity.
`default_nettype none

module axi3_to_lite #(
    parameter int unsigned ADDRESS_BITS = 12,  // of the slave, 3 to 32
    parameter int unsigned ID_BITS = 12        // >= 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [     ID_BITS-1:0] s_axi_awid,
    input  wire logic [ADDRESS_BITS-1:0] s_axi_awaddr,
    input  wire logic [             3:0] s_axi_awlen,
    input  wire logic [             1:0] s_axi_awburst,
    input  wire logic                    s_axi_awvalid,
    output wire logic                    s_axi_awready,
    input  wire logic [            31:0] s_axi_wdata,
    input  wire logic [             3:0] s_axi_wstrb,
    input  wire logic                    s_axi_wvalid,
    output wire logic                    s_axi_wready,
    output      logic [     ID_BITS-1:0] s_axi_bid,
    output      logic [             1:0] s_axi_bresp,
    output wire logic                    s_axi_bvalid,
    input  wire logic                    s_axi_bready,
    input  wire logic [     ID_BITS-1:0] s_axi_arid,
    input  wire logic [ADDRESS_BITS-1:0] s_axi_araddr,
    input  wire logic [             3:0] s_axi_arlen,
    input  wire logic [             1:0] s_axi_arburst,
    input  wire logic                    s_axi_arvalid,
    output wire logic                    s_axi_arready,
    output      logic [     ID_BITS-1:0] s_axi_rid,
    output      logic [            31:0] s_axi_rdata,
    output      logic [             1:0] s_axi_rresp,
    output wire logic                    s_axi_rlast,
    output wire logic                    s_axi_rvalid,
    input  wire logic                    s_axi_rready,

    output      logic [ADDRESS_BITS-1:0] m_axi_awaddr,
    output      logic                    m_axi_awvalid,
    input  wire logic                    m_axi_awready,
    output      logic [            31:0] m_axi_wdata,
    output      logic [             3:0] m_axi_wstrb,
    output      logic                    m_axi_wvalid,
    input  wire logic                    m_axi_wready,
    input  wire logic [             1:0] m_axi_bresp,
    input  wire logic                    m_axi_bvalid,
    output wire logic                    m_axi_bready,
    output      logic [ADDRESS_BITS-1:0] m_axi_araddr,
    output wire logic                    m_axi_arvalid,
    input  wire logic                    m_axi_arready,
    input  wire logic [            31:0] m_axi_rdata,
    input  wire logic [             1:0] m_axi_rresp,
    input  wire logic                    m_axi_rvalid,
    output wire logic                    m_axi_rready
);

  if (ADDRESS_BITS < 3 || ADDRESS_BITS > 32) begin : gen_check_address_bits
    $fatal(1, "axi3_to_lite: ADDRESS_BITS must be 3 to 32, got %0d", ADDRESS_BITS);
  end
  if (ID_BITS < 1) begin : gen_check_id_bits
    $fatal(1, "axi3_to_lite: ID_BITS must be at least 1, got %0d", ID_BITS);
  end

  localparam logic [1:0] FIXED = 2'b00;

  typedef enum logic [1:0] {
    IDLE,    // waits for an address
    BEAT,    // of a write: waits for data; of a read: asks the slave
    SLAVE,   // waits for the slave
    ANSWER   // waits for the master
  } state_t;

  state_t write_state, read_state;
  logic [3:0] writes_left, reads_left;  // beats behind the one in work
  logic write_fixed, read_fixed;

  assign s_axi_awready = write_state == IDLE;
  assign s_axi_wready  = write_state == BEAT;
  assign s_axi_bvalid  = write_state == ANSWER;
  assign m_axi_bready  = write_state == SLAVE;
  assign s_axi_arready = read_state == IDLE;
  assign m_axi_arvalid = read_state == BEAT;
  assign m_axi_rready  = read_state == SLAVE;
  assign s_axi_rvalid  = read_state == ANSWER;
  assign s_axi_rlast   = reads_left == 0;

  always_ff @(posedge clk) begin
    if (m_axi_awready) m_axi_awvalid <= 1'b0;
    if (m_axi_wready) m_axi_wvalid <= 1'b0;
    case (write_state)
      IDLE: begin
        m_axi_awaddr <= s_axi_awaddr;
        s_axi_bid <= s_axi_awid;
        s_axi_bresp <= 2'b00;
        writes_left <= s_axi_awlen;
        write_fixed <= s_axi_awburst == FIXED;
        if (s_axi_awvalid) write_state <= BEAT;
      end
      BEAT: begin
        m_axi_wdata <= s_axi_wdata;
        m_axi_wstrb <= s_axi_wstrb;
        if (s_axi_wvalid) begin
          m_axi_awvalid <= 1'b1;
          m_axi_wvalid <= 1'b1;
          write_state <= SLAVE;
        end
      end
      SLAVE: begin
        if (m_axi_bvalid) begin
          if (!write_fixed) m_axi_awaddr <= m_axi_awaddr + ADDRESS_BITS'(4);
          s_axi_bresp <= s_axi_bresp | m_axi_bresp;
          writes_left <= writes_left - 1'b1;
          write_state <= writes_left == 0 ? ANSWER : BEAT;
        end
      end
      default: if (s_axi_bready) write_state <= IDLE;
    endcase
    if (!rst_n) begin
      write_state <= IDLE;
      m_axi_awvalid <= 1'b0;
      m_axi_wvalid <= 1'b0;
    end
  end

  always_ff @(posedge clk) begin
    case (read_state)
      IDLE: begin
        m_axi_araddr <= s_axi_araddr;
        s_axi_rid <= s_axi_arid;
        reads_left <= s_axi_arlen;
        read_fixed <= s_axi_arburst == FIXED;
        if (s_axi_arvalid) read_state <= BEAT;
      end
      BEAT: if (m_axi_arready) read_state <= SLAVE;
      SLAVE: begin
        s_axi_rdata <= m_axi_rdata;
        s_axi_rresp <= m_axi_rresp;
        if (m_axi_rvalid) read_state <= ANSWER;
      end
      default: begin
        if (s_axi_rready) begin
          if (!read_fixed) m_axi_araddr <= m_axi_araddr + ADDRESS_BITS'(4);
          reads_left <= reads_left - 1'b1;
          read_state <= reads_left == 0 ? IDLE : BEAT;
        end
      end
    endcase
    if (!rst_n) read_state <= IDLE;
  end

endmodule

`default_nettype wire
