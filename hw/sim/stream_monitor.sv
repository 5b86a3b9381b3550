// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Watches one stream of a simulated design, counts its cycles, and tells of them at the end.
//
// Contract: `moved` is 1 in a cycle in which a beat is taken. An offered beat is held, valid and
// data. At the end of the simulation a line `stream INDEX TAKEN STALLED STARVED VALID READY` is
// printed: cycles with a beat taken, with valid alone, with ready alone, since the reset; and the
// handshake of the last cycle.
`default_nettype none

module stream_monitor #(
    parameter int unsigned WIDTH = 8  // bits of tdata
) (
    input wire logic clk,
    input wire logic rst_n,

    input wire logic [     31:0] index,
    input wire logic [WIDTH-1:0] tdata,
    input wire logic             tvalid,
    input wire logic             tready,

    output wire logic moved
);

  longint unsigned taken, stalled, starved;
  logic [WIDTH-1:0] offered;
  logic held, last_valid, last_ready;

  assign moved = tvalid && tready;

  always_ff @(posedge clk) begin
    if (moved) taken <= taken + 1;
    if (tvalid && !tready) begin
      stalled <= stalled + 1;
      offered <= tdata;
    end
    if (!tvalid && tready) starved <= starved + 1;
    held <= tvalid && !tready;
    {last_valid, last_ready} <= {tvalid, tready};
    if (rst_n && held && (!tvalid || tdata != offered)) begin
      $error("stream %0d: an offered beat %s", index, tvalid ? "changed" : "was withdrawn");
    end
    if (!rst_n) begin
      taken <= 0;
      stalled <= 0;
      starved <= 0;
      held <= 1'b0;
    end
  end

  final begin
    $display("stream %0d %0d %0d %0d %0d %0d", index, taken, stalled, starved, last_valid,
             last_ready);
  end

endmodule

`default_nettype wire
