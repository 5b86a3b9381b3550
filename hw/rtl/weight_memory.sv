// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Weight memory: reads its words one after the other, for ever.
//
// Contract: m_axis gives word 0 to word DEPTH - 1, then word 0 again, from word 0 after a reset.
// LOADABLE 0: a ROM with the content of FILE (hexadecimal, a word a line), s_axis_load takes
// nothing. LOADABLE 1: a RAM; after a reset s_axis_load must bring all of it before m_axis gives
// its first word, and takes nothing more. A word comes in ceil(WIDTH / LOAD_BITS) beats, lowest
// bits first, its last beat filled up with any bits; word 0 comes first. BANKS 2: a RAM of two
// banks, of which the load bus (load_pkg.sv) fills one while the other is read; only a reset may
// change between them, and s_axis_load takes nothing. BANKS 0: one bank, which the bus fills while
// m_axis waits; a reset must follow before its words count.
// Throughput and latency: a word per cycle; one cycle. m_axis is the memory's own output register.
// s_axis_load takes a beat per cycle and is independent of m_axis.
// Reference: hw/kernels/mvu.py, BinaryMvu.memories and BinaryMvu.load_beats.
`default_nettype none

module weight_memory #(
    parameter int unsigned WIDTH     = 64,  // bits of a word, >= 1
    parameter int unsigned DEPTH     = 16,  // words, >= 1
    parameter              FILE      = "",  // memory file, if LOADABLE is 0
    parameter int unsigned STYLE     = 0,   // 0: by size, 1: LUTs, 2: block RAM, 3: URAM
    parameter int unsigned LOADABLE  = 0,   // 0: ROM, 1: RAM; URAM has no initial content
    parameter int unsigned LOAD_BITS = 72,  // bits of a beat of s_axis_load or the bus, >= 1
    parameter int unsigned BANKS     = 1,   // 2, 0: filled by the load bus; LOADABLE is 0 then
    parameter int unsigned LOAD_BASE = 0,   // index of the first beat on the bus
    localparam int unsigned BUS_BITS = load_pkg::bus_bits(BANKS, LOAD_BITS)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LOAD_BITS-1:0] s_axis_load_tdata,
    input  wire logic                 s_axis_load_tvalid,
    output wire logic                 s_axis_load_tready,

    input wire logic [BUS_BITS-1:0] load = '0,

    output wire logic [WIDTH-1:0] m_axis_tdata,
    output wire logic             m_axis_tvalid,
    input  wire logic             m_axis_tready
);

  if (WIDTH < 1) begin : gen_check_width
    $fatal(1, "weight_memory: WIDTH must be at least 1, got %0d", WIDTH);
  end
  if (DEPTH < 1) begin : gen_check_depth
    $fatal(1, "weight_memory: DEPTH must be at least 1, got %0d", DEPTH);
  end
  if (STYLE > 3) begin : gen_check_style
    $fatal(1, "weight_memory: STYLE must be 0 to 3, got %0d", STYLE);
  end
  if (LOADABLE > 1) begin : gen_check_loadable
    $fatal(1, "weight_memory: LOADABLE must be 0 or 1, got %0d", LOADABLE);
  end
  if (BANKS > 2 || (BANKS != 1 && LOADABLE != 0)) begin : gen_check_banks
    $fatal(1, "weight_memory: BANKS must be 1, or 0 or 2 with LOADABLE 0, got %0d", BANKS);
  end
  if (STYLE == 3 && LOADABLE == 0 && BANKS == 1) begin : gen_check_ultra
    $fatal(1, "weight_memory: STYLE 3 (URAM) must be LOADABLE 1, got %0d", LOADABLE);
  end
  if (LOAD_BITS < 1) begin : gen_check_load_bits
    $fatal(1, "weight_memory: LOAD_BITS must be at least 1, got %0d", LOAD_BITS);
  end

  localparam int unsigned WORDS = BANKS == 2 ? 2 * DEPTH : DEPTH;
  localparam int unsigned ADDRESS_BITS = WORDS > 1 ? $clog2(WORDS) : 1;

  logic [WIDTH-1:0] word;
  logic [ADDRESS_BITS-1:0] address;
  wire logic [ADDRESS_BITS-1:0] first, last;
  logic valid, loaded, read;

  wire unused_load = &s_axis_load_tdata;  // a narrow word leaves bits of its beat

  assign m_axis_tdata = word;
  assign m_axis_tvalid = valid;
  assign read = loaded && (!valid || m_axis_tready);

  always_ff @(posedge clk) begin
    if (read) begin
      address <= address == last ? first : address + 1'b1;
      valid   <= 1'b1;
    end
    if (!rst_n) begin
      address <= first;
      valid   <= 1'b0;
    end
  end

  if (BANKS != 1) begin : gen_banks
    wire logic bank = BANKS == 2 && load[BUS_BITS-1];

    wire unused = s_axis_load_tvalid;

    assign first = bank ? ADDRESS_BITS'(DEPTH) : '0;
    assign last = bank ? ADDRESS_BITS'(2 * DEPTH - 1) : ADDRESS_BITS'(DEPTH - 1);
    assign loaded = 1'b1;
    assign s_axis_load_tready = 1'b0;

    banked_memory #(
        .WIDTH    (WIDTH),
        .DEPTH    (DEPTH),
        .BANKS    (BANKS),
        .STYLE    (STYLE),
        .LOAD_BITS(LOAD_BITS),
        .LOAD_BASE(LOAD_BASE)
    ) u_banks (
        .clk,
        .rst_n,
        .load,
        .enable (read),
        .address,
        .word
    );
  end else begin : gen_bank
    wire unused = &load;

    assign first = '0;
    assign last = ADDRESS_BITS'(DEPTH - 1);
  end

  if (LOADABLE == 0 && BANKS == 1) begin : gen_rom
    weight_rom #(
        .WIDTH(WIDTH),
        .DEPTH(DEPTH),
        .FILE (FILE),
        .STYLE(STYLE)
    ) u_rom (
        .clk,
        .enable (read),
        .address,
        .word
    );

    wire unused = s_axis_load_tvalid;

    assign loaded = 1'b1;
    assign s_axis_load_tready = 1'b0;
  end

  if (LOADABLE != 0) begin : gen_ram
    // One memory per beat of a word: the data goes to all of them, only one takes it.
    localparam int unsigned PARTS = (WIDTH + LOAD_BITS - 1) / LOAD_BITS;
    localparam int unsigned PART_BITS = PARTS > 1 ? $clog2(PARTS) : 1;

    logic [PART_BITS-1:0] part;
    logic [ADDRESS_BITS-1:0] load_address;
    logic fill, last_part;

    assign s_axis_load_tready = !loaded;
    assign fill = s_axis_load_tvalid && !loaded;
    assign last_part = part == PART_BITS'(PARTS - 1);

    always_ff @(posedge clk) begin
      if (fill) begin
        part <= last_part ? '0 : part + 1'b1;
        if (last_part) begin
          load_address <= load_address == last ? '0 : load_address + 1'b1;
          loaded <= load_address == last;
        end
      end
      if (!rst_n) begin
        part <= '0;
        load_address <= '0;
        loaded <= 1'b0;
      end
    end

    for (genvar i = 0; i < PARTS; i++) begin : gen_part
      localparam int unsigned LOW = i * LOAD_BITS;
      localparam int unsigned BITS = WIDTH - LOW < LOAD_BITS ? WIDTH - LOW : LOAD_BITS;

      weight_ram #(
          .WIDTH(BITS),
          .DEPTH(DEPTH),
          .STYLE(STYLE)
      ) u_ram (
          .clk,
          .write_enable (fill && part == PART_BITS'(i)),
          .write_address(load_address),
          .write_data   (s_axis_load_tdata[BITS-1:0]),
          .read_enable  (read),
          .read_address (address),
          .read_data    (word[LOW+:BITS])
      );
    end
  end

endmodule

`default_nettype wire
