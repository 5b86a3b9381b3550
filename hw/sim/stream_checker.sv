// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Watches one AXI-stream; the simulation binds one to every stream port of every module.
//
// Contract: an offered beat is held, valid and data, until it is taken; nothing is offered in the
// cycle after a reset; no bit of an offered beat or of the handshake is unknown. (Verilator has two
// states: there the harness starts every register at random, so an unknown bit shows as a
// difference between runs.) That no beat is lost or invented is checked by the harness, which knows
// how many there must be.
`default_nettype none

module stream_checker #(
    parameter int unsigned WIDTH = 8  // bits of tdata
) (
    input wire logic             clk,
    input wire logic             rst_n,
    input wire logic [WIDTH-1:0] tdata,
    input wire logic             tvalid,
    input wire logic             tready
);

  held_valid :
  assert property (@(posedge clk) disable iff (!rst_n) tvalid && !tready |=> tvalid)
  else $error("%m: an offered beat was withdrawn");

  held_data :
  assert property (@(posedge clk) disable iff (!rst_n) tvalid && !tready |=> $stable(tdata))
  else $error("%m: an offered beat changed");

  quiet_in_reset :
  assert property (@(posedge clk) !rst_n |=> !tvalid || rst_n)
  else $error("%m: a beat was offered in reset");

  known :
  assert property (@(posedge clk) disable iff (!rst_n)
                   !$isunknown({tvalid, tready}) && (!tvalid || !$isunknown(tdata)))
  else $error("%m: an unknown bit");

endmodule

`default_nettype wire
