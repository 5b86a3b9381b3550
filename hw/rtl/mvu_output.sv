// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Output of the binary MVU: results of several tokens at once become tokens one after the other.
//
// Contract: in a cycle with enable, results[t] is taken where due[t] is set. m_axis gives NF
// results of t = 0, then NF of t = 1, and so on, then of t = 0 again. enable is low in a cycle in
// which a result is due that can't be taken; whoever drives due must then keep it.
// Throughput and latency: with results every SF cycles and TOKENS <= SF, enable stays high if m_axis
// takes NF results within max(NF, OUT_CYCLES) cycles. One cycle at TOKENS 1, three else. enable does
// not depend on m_axis_tready.
// Reference: the identity.
`default_nettype none

module mvu_output #(
    parameter int unsigned WIDTH      = 8,  // bits of a result, >= 1
    parameter int unsigned TOKENS     = 1,  // >= 1
    parameter int unsigned SF         = 4,  // cycles from one result to the next, >= TOKENS
    parameter int unsigned NF         = 4,  // results of a token, >= 1
    parameter int unsigned OUT_CYCLES = 0  // in which m_axis takes NF results, if more than NF
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [TOKENS-1:0][WIDTH-1:0] results,
    input  wire logic [TOKENS-1:0]            due,
    output wire logic                         enable,

    output wire logic [WIDTH-1:0] m_axis_tdata,
    output wire logic             m_axis_tvalid,
    input  wire logic             m_axis_tready
);

  if (TOKENS == 1 && SF == 1) begin : gen_every_cycle
    logic ready;

    assign enable = ready || !due;

    skid_buffer #(
        .WIDTH(WIDTH)
    ) u_skid (
        .clk,
        .rst_n,
        .s_axis_tdata (results),
        .s_axis_tvalid(due),
        .s_axis_tready(ready),
        .m_axis_tdata,
        .m_axis_tvalid,
        .m_axis_tready
    );
  end else if (TOKENS == 1) begin : gen_register
    // Empty again before the next result, so it need not look at m_axis_tready.
    logic [WIDTH-1:0] data;
    logic valid;

    assign enable = !valid || !due;
    assign m_axis_tdata = data;
    assign m_axis_tvalid = valid;

    always_ff @(posedge clk) begin
      if (!valid) data <= results;
      valid <= valid ? !m_axis_tready : due;
      if (!rst_n) valid <= 1'b0;
    end
  end else begin : gen_queues
    // Token n lies in queue n % TOKENS. While the queues before it give their tokens, a queue takes
    // up NF results, and those of the next TOKENS * PACE cycles.
    localparam int unsigned PACE = OUT_CYCLES > NF ? OUT_CYCLES : NF;
    localparam int unsigned DEPTH = NF + (PACE * TOKENS + SF - 1) / SF + 3;
    localparam int unsigned COUNT_BITS = $clog2(NF);

    logic [TOKENS-1:0][WIDTH-1:0] heads;
    logic [TOKENS-1:0] ready, valid, turn;
    logic [COUNT_BITS-1:0] count;
    logic give, last;

    assign enable = due == '0 || ready == '1;
    assign m_axis_tvalid = |(valid & turn);
    assign give = m_axis_tvalid && m_axis_tready;
    assign last = count == COUNT_BITS'(NF - 1);

    for (genvar t = 0; t < TOKENS; t++) begin : gen_queue
      logic [$clog2(DEPTH+1)-1:0] level, high_water;
      wire unused = &{level, high_water};

      stream_fifo #(
          .WIDTH(WIDTH),
          .DEPTH(DEPTH)
      ) u_queue (
          .clk,
          .rst_n,
          .s_axis_tdata (results[t]),
          .s_axis_tvalid(due[t] && ready == '1),
          .s_axis_tready(ready[t]),
          .m_axis_tdata (heads[t]),
          .m_axis_tvalid(valid[t]),
          .m_axis_tready(turn[t] && m_axis_tready),
          .level,
          .high_water
      );
    end

    logic [WIDTH-1:0] chosen;

    always_comb begin
      chosen = '0;
      for (int t = 0; t < TOKENS; t++) chosen |= heads[t] & {WIDTH{turn[t]}};
    end

    assign m_axis_tdata = chosen;

    mvu_turn #(
        .COUNT(TOKENS)
    ) u_turn (
        .clk,
        .rst_n,
        .step(give && last),
        .turn
    );

    always_ff @(posedge clk) begin
      if (give) count <= last ? '0 : count + 1'b1;
      if (!rst_n) count <= '0;
    end
  end

endmodule

`default_nettype wire
