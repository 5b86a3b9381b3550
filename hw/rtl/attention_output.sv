// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Beats of the attention: gathers the bits of OUT_BITS / CHANNELS steps.
//
// Contract: m_axis gives the bits in order, the first lowest. The producer advances only with
// `enable`, which is a function of registers alone.
// Throughput and latency: a step per cycle.
// Reference: the identity.
`default_nettype none

module attention_output #(
    parameter int unsigned CHANNELS = 1,  // bits of a step, >= 1
    parameter int unsigned OUT_BITS = 16  // bits of a beat, a multiple of CHANNELS
) (
    input wire logic clk,
    input wire logic rst_n,

    output wire logic                enable,
    input  wire logic                bits_valid,
    input  wire logic [CHANNELS-1:0] bits,

    output wire logic [OUT_BITS-1:0] m_axis_tdata,
    output wire logic                m_axis_tvalid,
    input  wire logic                m_axis_tready
);

  localparam int unsigned PARTS = OUT_BITS / CHANNELS;

  if (PARTS == 1) begin : gen_whole
    skid_buffer #(
        .WIDTH(OUT_BITS)
    ) u_skid (
        .clk,
        .rst_n,
        .s_axis_tdata (bits),
        .s_axis_tvalid(bits_valid),
        .s_axis_tready(enable),
        .m_axis_tdata,
        .m_axis_tvalid,
        .m_axis_tready
    );
  end else begin : gen_gather
    logic [OUT_BITS-1:0] gathered, beat;
    logic [$clog2(PARTS)-1:0] part;
    logic full, valid;

    assign enable = !(full && valid);
    assign m_axis_tdata = beat;
    assign m_axis_tvalid = valid;

    wire logic move = full && (!valid || m_axis_tready);

    always_ff @(posedge clk) begin
      if (move) beat <= gathered;
      if (!valid || m_axis_tready) valid <= full;
      if (move) full <= 1'b0;
      if (enable && bits_valid) begin
        gathered <= {bits, gathered[OUT_BITS-1:CHANNELS]};
        part <= part == ($clog2(PARTS))'(PARTS - 1) ? '0 : part + 1'b1;
        if (part == ($clog2(PARTS))'(PARTS - 1)) full <= 1'b1;
      end
      if (!rst_n) begin
        full  <= 1'b0;
        valid <= 1'b0;
        part  <= '0;
      end
    end
  end

endmodule

`default_nettype wire
