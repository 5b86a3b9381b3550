// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Memory that is filled at start-up, with a read port whose result is a register.
//
// Contract: as two_port_ram; in URAM, too, if STYLE says so. STYLE 0 takes block RAM above 64 words
// and 4,096 bits.
// Throughput and latency: a write and a read per cycle; one cycle.
// Reference: an array.
`default_nettype none

module weight_ram #(
    parameter int unsigned WIDTH = 72,  // bits of a word, >= 1
    parameter int unsigned DEPTH = 16,  // words, >= 1
    parameter int unsigned STYLE = 0,   // 0: by size, 1: LUTs, 2: block RAM, 3: URAM
    localparam int unsigned ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input wire logic clk,

    input wire logic                    write_enable,
    input wire logic [ADDRESS_BITS-1:0] write_address,
    input wire logic [       WIDTH-1:0] write_data,

    input  wire logic                    read_enable,
    input  wire logic [ADDRESS_BITS-1:0] read_address,
    output      logic [       WIDTH-1:0] read_data
);

  if (STYLE > 3) begin : gen_check_style
    $fatal(1, "weight_ram: STYLE must be 0 to 3, got %0d", STYLE);
  end

  if (STYLE == 3) begin : gen_ultra
    (* ram_style = "ultra", no_rw_check *)
    logic [WIDTH-1:0] memory[DEPTH];

    always_ff @(posedge clk) begin
      if (write_enable) memory[write_address] <= write_data;
      if (read_enable) read_data <= memory[read_address];
    end
  end else begin : gen_two_port
    localparam bit BLOCK = STYLE == 2 || (STYLE == 0 && DEPTH > 64 && DEPTH * WIDTH > 4096);

    two_port_ram #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH),
        .BLOCK(32'(BLOCK))
    ) u_ram (
        .*
    );
  end

endmodule

`default_nettype wire
