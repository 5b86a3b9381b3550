// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Adds two streams lane by lane; a second stream says which sums are not negative.
`default_nettype none

module toy_join #(
    parameter int unsigned BITS  = 4,  // of an input's lane, signed
    parameter int unsigned LANES = 2
) (
    input  wire logic                      clk,
    input  wire logic                      rst_n,
    input  wire logic [    LANES*BITS-1:0] s_axis_a_tdata,
    input  wire logic                      s_axis_a_tvalid,
    output logic                           s_axis_a_tready,
    input  wire logic [    LANES*BITS-1:0] s_axis_b_tdata,
    input  wire logic                      s_axis_b_tvalid,
    output logic                           s_axis_b_tready,
    output logic      [LANES*(BITS+1)-1:0] m_axis_sum_tdata,
    output logic                           m_axis_sum_tvalid,
    input  wire logic                      m_axis_sum_tready,
    output logic      [         LANES-1:0] m_axis_bits_tdata,
    output logic                           m_axis_bits_tvalid,
    input  wire logic                      m_axis_bits_tready
);

  logic take;
  assign take = s_axis_a_tvalid && s_axis_b_tvalid && (!m_axis_sum_tvalid || m_axis_sum_tready)
      && (!m_axis_bits_tvalid || m_axis_bits_tready);
  assign s_axis_a_tready = take;
  assign s_axis_b_tready = take;

  always_ff @(posedge clk) begin
    if (m_axis_sum_tready) m_axis_sum_tvalid <= 1'b0;
    if (m_axis_bits_tready) m_axis_bits_tvalid <= 1'b0;
    if (take) begin
      m_axis_sum_tvalid  <= 1'b1;
      m_axis_bits_tvalid <= 1'b1;
      for (int unsigned i = 0; i < LANES; i++) begin
        automatic logic signed [BITS:0] sum;
        sum = (BITS + 1)'(signed'(s_axis_a_tdata[i*BITS+:BITS]))
            + (BITS + 1)'(signed'(s_axis_b_tdata[i*BITS+:BITS]));
        m_axis_sum_tdata[i*(BITS+1)+:BITS+1] <= sum;
        m_axis_bits_tdata[i] <= !sum[BITS];
      end
    end
    if (!rst_n) begin
      m_axis_sum_tvalid  <= 1'b0;
      m_axis_bits_tvalid <= 1'b0;
    end
  end

endmodule

`default_nettype wire
