// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Memory that is written bit by bit and read by words.
//
// Contract: read_data becomes word read_address in a cycle with read_enable, else it stays. A word
// must not be read in the cycle that writes one of its bits. Nothing is reset.
// Throughput and latency: a write and a read per cycle; one cycle.
// Memory: block RAM with ports of different widths; 512 words of 64 bits are one RAMB36.
// Reference: an array.
`default_nettype none

module attention_bit_ram #(
    parameter int unsigned WIDTH = 64,   // bits of a word, a power of two
    parameter int unsigned DEPTH = 512,  // words, a power of two
    localparam int unsigned INDEX_BITS = WIDTH > 1 ? $clog2(WIDTH) : 1,
    localparam int unsigned ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input wire logic clk,

    input wire logic                    write_enable,
    input wire logic [ADDRESS_BITS-1:0] write_address,
    input wire logic [  INDEX_BITS-1:0] write_index,
    input wire logic                    write_bit,

    input  wire logic                    read_enable,
    input  wire logic [ADDRESS_BITS-1:0] read_address,
    output      logic [       WIDTH-1:0] read_data
);

  if (WIDTH == 1) begin : gen_narrow
    logic unused;
    assign unused = write_index;
    two_port_ram #(
        .WIDTH(1),
        .DEPTH(DEPTH)
    ) u_ram (
        .write_data(write_bit),
        .*
    );
  end else begin : gen_wide
    (* ram_style = "block", no_rw_check *)
    logic memory[DEPTH*WIDTH];

    always_ff @(posedge clk) begin
      if (write_enable) memory[{write_address, write_index}] <= write_bit;
      if (read_enable) begin
        for (int i = 0; i < WIDTH; i++) read_data[i] <= memory[{read_address, INDEX_BITS'(i)}];
      end
    end
  end

endmodule

`default_nettype wire
