// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Constants of a kernel, one word per beat or table entry: a ROM, or two banks that change places.
//
// Contract: word becomes memory[address] in a cycle with enable, else it stays. FILE holds DEPTH
// words of WIDTH bits in hexadecimal, a word a line. Nothing is reset. BANKS 2: no file, but a RAM
// of two banks, of which the load bus (load_pkg.sv) fills one while the other is read.
// In LUTs (STYLE 1) the register holds the address, not the word: behind a counter, Yosys takes two
// to four times the LUTs for a ROM that is registered at its end.
// Throughput and latency: a read per cycle; one cycle.
// Reference: hw/kernels/memory.py, read_memory.
`default_nettype none

module constant_rom #(
    parameter int unsigned WIDTH = 18,  // bits of a word, >= 1
    parameter int unsigned DEPTH = 256,  // words, >= 1
    parameter FILE = "",  // memory file
    parameter int unsigned STYLE = 0,  // 0: as the tool likes, 1: LUTs, 2: block RAM
    parameter int unsigned BANKS = 1,  // 2: filled by the load bus
    parameter int unsigned LOAD_BITS = 72,  // bits of a beat of the bus
    parameter int unsigned LOAD_BASE = 0,  // index of the first beat
    localparam int unsigned BUS_BITS = load_pkg::bus_bits(BANKS, LOAD_BITS),
    localparam int unsigned ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  wire logic                    clk,
    input  wire logic                    rst_n = 1'b1,  // used with two banks only
    input  wire logic [    BUS_BITS-1:0] load = '0,
    input  wire logic                    enable,
    input  wire logic [ADDRESS_BITS-1:0] address,
    output wire logic [       WIDTH-1:0] word
);

  if (BANKS < 1 || BANKS > 2) begin : gen_check_banks
    $fatal(1, "constant_rom: BANKS must be 1 or 2, got %0d", BANKS);
  end

  if (BANKS == 2) begin : gen_banks
    localparam int unsigned PLACE_BITS = $clog2(2 * DEPTH);

    banked_memory #(
        .WIDTH    (WIDTH),
        .DEPTH    (DEPTH),
        .STYLE    (STYLE),
        .LOAD_BITS(LOAD_BITS),
        .LOAD_BASE(LOAD_BASE)
    ) u_banks (
        .clk,
        .rst_n,
        .load,
        .enable,
        .address((load[BUS_BITS-1] ? PLACE_BITS'(DEPTH) : '0) + PLACE_BITS'(address)),
        .word
    );
  end else begin : gen_bank
    wire unused = &{1'b0, rst_n, load};
  end

  if (STYLE == 1 && BANKS == 1) begin : gen_logic
    (* rom_style = "distributed" *)
    logic [WIDTH-1:0] memory[DEPTH];
    logic [ADDRESS_BITS-1:0] place;

    initial $readmemh(FILE, memory);

    always_ff @(posedge clk) if (enable) place <= address;

    assign word = memory[place];
  end else if (BANKS == 1) begin : gen_plain
    weight_rom #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH),
        .FILE (FILE),
        .STYLE(STYLE)
    ) u_rom (
        .clk,
        .enable,
        .address,
        .word
    );
  end

endmodule

`default_nettype wire
