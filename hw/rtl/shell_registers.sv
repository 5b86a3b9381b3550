// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// The shell's register file.
//
// Contract: the map of docs/shell.md. A write sets the bytes that its strobe names; a control bit
// is a pulse in the cycle after. Counters count the cycles in which their input is set and the shell
// is busy, until clear. Reading the lower half of a counter of 64 bits keeps its upper half for the
// read of it.
// Throughput and latency: a write and a read per cycle; reads none.
// Reference: hw/pynq/edgebert_board/registers.py.
`default_nettype none

module shell_registers #(
    parameter logic [31:0]  ID           = 32'h45444254,
    parameter logic [31:0]  VERSION      = 32'd1,
    parameter logic [255:0] MODEL_HASH   = '0,   // word 0 highest
    parameter int unsigned  ADDRESS_BITS = 32,   // of memory, 32 to 64
    parameter int unsigned  MAX_TOKENS   = 128,
    parameter int unsigned  HIDDEN       = 128,
    parameter int unsigned  WORD_BITS    = 16,
    parameter int unsigned  LOAD_BEATS   = 0,
    parameter int unsigned  CLOCK_KHZ    = 100000
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic        write,
    input  wire logic [11:2] write_address,
    input  wire logic [31:0] write_data,
    input  wire logic [ 3:0] write_strobe,
    input  wire logic        read,
    input  wire logic [11:2] read_address,
    output      logic [31:0] read_data,

    output      logic                    start,
    output      logic                    reset,
    output      logic                    load,
    output wire logic [ADDRESS_BITS-1:3] input_address,
    output      logic [            31:0] input_bytes,
    output wire logic [ADDRESS_BITS-1:3] lengths_address,
    output      logic [            31:0] sentences,
    output wire logic [ADDRESS_BITS-1:3] output_address,
    output      logic [            31:0] output_bytes,
    output      logic                    first_only,
    output wire logic [ADDRESS_BITS-1:3] load_address,

    input wire logic        busy,
    input wire logic        done,
    input wire logic        loaded,
    input wire logic        read_error,
    input wire logic        write_error,
    input wire logic        length_error,
    input wire logic        overflow,
    input wire logic        input_stalled,
    input wire logic        output_stalled,
    input wire logic        token_in,
    input wire logic        token_out,
    input wire logic        sentence_out,
    input wire logic        failed,
    input wire logic [31:0] failed_address
);

  if (ADDRESS_BITS < 32 || ADDRESS_BITS > 64) begin : gen_check_address_bits
    $fatal(1, "shell_registers: ADDRESS_BITS must be 32 to 64, got %0d", ADDRESS_BITS);
  end

  localparam logic [63:0] ADDRESS_MASK = (ADDRESS_BITS == 64 ? '1 : (64'd1 << ADDRESS_BITS) - 64'd1)
      & ~64'd7;

  // Registers that are written, by their address in words.
  typedef enum logic [9:0] {
    CONTROL         = 10'h010,
    INPUT_ADDRESS   = 10'h012,
    INPUT_BYTES     = 10'h014,
    LENGTHS_ADDRESS = 10'h015,
    SENTENCES       = 10'h017,
    OUTPUT_ADDRESS  = 10'h018,
    OUTPUT_BYTES    = 10'h01a,
    OUTPUT_MODE     = 10'h01b,
    LOAD_ADDRESS    = 10'h01c
  } address_t;

  localparam logic [7:0][31:0] HASH = MODEL_HASH;

  logic clear;
  logic [63:0] input_pointer, lengths_pointer, output_pointer, load_pointer;
  logic [63:0] cycles, input_stalls, output_stalls;
  logic [31:0] cycles_high, input_stalls_high, output_stalls_high;  // as the lower half was read
  logic [31:0] tokens_in, tokens_out, sentences_out, error_address;

  assign input_address = input_pointer[ADDRESS_BITS-1:3];
  assign lengths_address = lengths_pointer[ADDRESS_BITS-1:3];
  assign output_address = output_pointer[ADDRESS_BITS-1:3];
  assign load_address = load_pointer[ADDRESS_BITS-1:3];

  function automatic logic [31:0] merged(input logic [31:0] old, input logic [31:0] data,
                                         input logic [3:0] strobe);
    for (int i = 0; i < 4; i++) merged[8*i+:8] = strobe[i] ? data[8*i+:8] : old[8*i+:8];
  endfunction

  // Bits of a pointer that the address bus has not are never set, and so take no register.
  function automatic logic [63:0] pointed(input logic [63:0] old, input logic high,
                                          input logic [31:0] data, input logic [3:0] strobe);
    logic [63:0] next;
    next = old;
    if (high) next[63:32] = merged(old[63:32], data, strobe);
    else next[31:0] = merged(old[31:0], data, strobe);
    return next & ADDRESS_MASK;
  endfunction

  always_ff @(posedge clk) begin
    {start, reset, clear, load} <= '0;
    if (write) begin
      case (write_address)
        CONTROL: if (write_strobe[0]) {load, clear, reset, start} <= write_data[3:0];
        INPUT_ADDRESS, INPUT_ADDRESS + 10'd1:
        input_pointer <= pointed(input_pointer, write_address[2], write_data, write_strobe);
        INPUT_BYTES: input_bytes <= merged(input_bytes, write_data, write_strobe);
        LENGTHS_ADDRESS, LENGTHS_ADDRESS + 10'd1:
        lengths_pointer <= pointed(lengths_pointer, !write_address[2], write_data, write_strobe);
        SENTENCES: sentences <= merged(sentences, write_data, write_strobe);
        OUTPUT_ADDRESS, OUTPUT_ADDRESS + 10'd1:
        output_pointer <= pointed(output_pointer, write_address[2], write_data, write_strobe);
        OUTPUT_BYTES: output_bytes <= merged(output_bytes, write_data, write_strobe);
        OUTPUT_MODE: if (write_strobe[0]) first_only <= write_data[0];
        LOAD_ADDRESS, LOAD_ADDRESS + 10'd1:
        load_pointer <= pointed(load_pointer, write_address[2], write_data, write_strobe);
        default: ;
      endcase
    end
    if (!rst_n) begin
      {start, reset, clear, load} <= '0;
      input_pointer <= '0;
      lengths_pointer <= '0;
      output_pointer <= '0;
      load_pointer <= '0;
      {input_bytes, sentences, output_bytes, first_only} <= '0;
    end
  end

  always_ff @(posedge clk) begin
    if (busy) begin
      cycles <= cycles + 1'b1;
      input_stalls <= input_stalls + 64'(input_stalled);
      output_stalls <= output_stalls + 64'(output_stalled);
      tokens_in <= tokens_in + 32'(token_in);
      tokens_out <= tokens_out + 32'(token_out);
      sentences_out <= sentences_out + 32'(sentence_out);
      if (failed) error_address <= failed_address;
    end
    if (read) begin
      case (read_address)
        10'h020: cycles_high <= cycles[63:32];
        10'h022: input_stalls_high <= input_stalls[63:32];
        10'h024: output_stalls_high <= output_stalls[63:32];
        default: ;
      endcase
    end
    if (clear || !rst_n) begin
      {cycles, input_stalls, output_stalls} <= '0;
      {cycles_high, input_stalls_high, output_stalls_high} <= '0;
      {tokens_in, tokens_out, sentences_out, error_address} <= '0;
    end
  end

  always_comb begin
    read_data = '0;
    case (read_address)
      10'h000: read_data = ID;
      10'h001: read_data = VERSION;
      10'h002: read_data = HASH[7];
      10'h003: read_data = HASH[6];
      10'h004: read_data = HASH[5];
      10'h005: read_data = HASH[4];
      10'h006: read_data = HASH[3];
      10'h007: read_data = HASH[2];
      10'h008: read_data = HASH[1];
      10'h009: read_data = HASH[0];
      10'h00a: read_data = MAX_TOKENS;
      10'h00b: read_data = HIDDEN;
      10'h00c: read_data = WORD_BITS;
      10'h00d: read_data = LOAD_BEATS;
      10'h00e: read_data = CLOCK_KHZ;
      10'h011: read_data = {20'd0, overflow, length_error, write_error, read_error, 5'd0,
                            loaded, done, busy};
      10'h012: read_data = input_pointer[31:0];
      10'h013: read_data = input_pointer[63:32];
      10'h014: read_data = input_bytes;
      10'h015: read_data = lengths_pointer[31:0];
      10'h016: read_data = lengths_pointer[63:32];
      10'h017: read_data = sentences;
      10'h018: read_data = output_pointer[31:0];
      10'h019: read_data = output_pointer[63:32];
      10'h01a: read_data = output_bytes;
      10'h01b: read_data = 32'(first_only);
      10'h01c: read_data = load_pointer[31:0];
      10'h01d: read_data = load_pointer[63:32];
      10'h020: read_data = cycles[31:0];
      10'h021: read_data = cycles_high;
      10'h022: read_data = input_stalls[31:0];
      10'h023: read_data = input_stalls_high;
      10'h024: read_data = output_stalls[31:0];
      10'h025: read_data = output_stalls_high;
      10'h026: read_data = tokens_in;
      10'h027: read_data = tokens_out;
      10'h028: read_data = sentences_out;
      10'h029: read_data = error_address;
      default: ;
    endcase
  end

endmodule

`default_nettype wire
