// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Width converter: the same bits in beats of another width.
//
// Contract: both streams carry one sequence of bits, lowest bit of a beat first. With L the least
// common multiple of IN_BITS and OUT_BITS, L / IN_BITS input beats become L / OUT_BITS output
// beats: through a register of L bits if a beat grows, and another if it shrinks. A group of L
// bits leaves when all of it has come. m_axis is a register, unless both widths are equal: then
// the streams are wired through.
// Throughput and latency: a beat per cycle on the narrower side; from the last input beat of a
// group to its first output beat one cycle, two if neither width divides the other. s_axis_tready
// depends on m_axis_tready in the same cycle: a skid_buffer on the narrower side cuts the path.
// Reference: hw/sim/beats.py, unpack at one width and pack at the other.
`default_nettype none

module width_converter #(
    parameter int unsigned IN_BITS  = 8,  // bits of an input beat, >= 1
    parameter int unsigned OUT_BITS = 24  // bits of an output beat, >= 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [IN_BITS-1:0] s_axis_tdata,
    input  wire logic               s_axis_tvalid,
    output wire logic               s_axis_tready,

    output wire logic [OUT_BITS-1:0] m_axis_tdata,
    output wire logic                m_axis_tvalid,
    input  wire logic                m_axis_tready
);

  if (IN_BITS < 1) begin : gen_check_in_bits
    $fatal(1, "width_converter: IN_BITS must be at least 1, got %0d", IN_BITS);
  end
  if (OUT_BITS < 1) begin : gen_check_out_bits
    $fatal(1, "width_converter: OUT_BITS must be at least 1, got %0d", OUT_BITS);
  end

  function automatic int unsigned gcd(input int unsigned a, input int unsigned b);
    int unsigned low;
    low = 1;
    for (int unsigned i = 1; i <= a; i++) if (a % i == 0 && b % i == 0) low = i;
    return low;
  endfunction

  localparam int unsigned GROUP = IN_BITS / gcd(IN_BITS, OUT_BITS) * OUT_BITS;  // L

  if (IN_BITS == OUT_BITS) begin : gen_wires
    wire unused = &{clk, rst_n};
  end

  logic [GROUP-1:0] group_tdata;
  logic group_tvalid, group_tready;

  if (GROUP == IN_BITS) begin : gen_no_up
    assign group_tdata   = s_axis_tdata;
    assign group_tvalid  = s_axis_tvalid;
    assign s_axis_tready = group_tready;
  end else begin : gen_up
    localparam int unsigned BEATS = GROUP / IN_BITS;
    localparam int unsigned COUNT_BITS = $clog2(BEATS);

    logic [GROUP-1:0] data;
    logic [COUNT_BITS-1:0] count;  // beats of the next group that have come, 0 to BEATS - 1
    logic valid;

    assign group_tdata   = data;
    assign group_tvalid  = valid;
    assign s_axis_tready = !valid || group_tready;

    always_ff @(posedge clk) begin
      if (s_axis_tready) begin
        valid <= s_axis_tvalid && count == COUNT_BITS'(BEATS - 1);
        if (s_axis_tvalid) begin
          data  <= {s_axis_tdata, data[GROUP-1:IN_BITS]};
          count <= count == COUNT_BITS'(BEATS - 1) ? '0 : count + 1'b1;
        end
      end
      if (!rst_n) begin
        count <= '0;
        valid <= 1'b0;
      end
    end
  end

  if (GROUP == OUT_BITS) begin : gen_no_down
    assign m_axis_tdata  = group_tdata;
    assign m_axis_tvalid = group_tvalid;
    assign group_tready  = m_axis_tready;
  end else begin : gen_down
    localparam int unsigned BEATS = GROUP / OUT_BITS;
    localparam int unsigned COUNT_BITS = $clog2(BEATS);

    logic [GROUP-1:0] data;
    logic [COUNT_BITS-1:0] count;  // beats that follow the one on offer, 0 to BEATS - 1
    logic valid;

    assign m_axis_tdata  = data[OUT_BITS-1:0];
    assign m_axis_tvalid = valid;
    assign group_tready  = !valid || (m_axis_tready && count == 0);

    always_ff @(posedge clk) begin
      if (group_tready) begin
        data  <= group_tdata;
        valid <= group_tvalid;
        count <= COUNT_BITS'(BEATS - 1);
      end else if (m_axis_tready) begin
        data  <= {OUT_BITS'(0), data[GROUP-1:OUT_BITS]};
        count <= count - 1'b1;
      end
      if (!rst_n) valid <= 1'b0;
    end
  end

endmodule

`default_nettype wire
