// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Head reorder: a sentence from the order of its tokens to the order of its heads, or back.
//
// Contract: a token has HEADS heads of BEATS beats. With n tokens (a beat of s_axis_length, 1 to
// MAX_TOKENS, one per sentence), INVERSE = 0 takes a sentence as (token, head, beat), the last
// index running fastest, and gives it as (head, token, beat); INVERSE = 1 takes (head, token, beat)
// and gives (token, head, beat). The length is taken with the sentence's last beat.
// Throughput and latency: a beat per cycle, also across sentences of one length; a sentence leaves
// when all of it has come, its first beat two cycles after its last beat came, while the
// next one enters. m_axis is a register; no ready depends on m_axis_tready in the same cycle.
// Memory: 2 * MAX_TOKENS * HEADS * BEATS words of WIDTH bits; block RAM above 64 words and 4,096
// bits, or as RAM_STYLE says.
// Reference: hw/reference.py, split_heads and merge_heads.
`default_nettype none

module head_reorder #(
    parameter int unsigned WIDTH = 8,        // bits of tdata, >= 1
    parameter int unsigned HEADS = 2,        // heads of a token, >= 1
    parameter int unsigned BEATS = 1,        // beats of a head of a token, >= 1
    parameter int unsigned MAX_TOKENS = 16,  // longest sentence, >= 1
    parameter int unsigned INVERSE = 0,      // 0: to head-major, 1: to token-major
    parameter int unsigned RAM_STYLE = 0,    // 0: by size, 1: LUTs, 2: block RAM
    localparam int unsigned LENGTH_BITS = $clog2(MAX_TOKENS + 1)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [LENGTH_BITS-1:0] s_axis_length_tdata,
    input  wire logic                   s_axis_length_tvalid,
    output wire logic                   s_axis_length_tready,

    input  wire logic [WIDTH-1:0] s_axis_tdata,
    input  wire logic             s_axis_tvalid,
    output wire logic             s_axis_tready,

    output wire logic [WIDTH-1:0] m_axis_tdata,
    output wire logic             m_axis_tvalid,
    input  wire logic             m_axis_tready
);

  if (WIDTH < 1) begin : gen_check_width
    $fatal(1, "head_reorder: WIDTH must be at least 1, got %0d", WIDTH);
  end
  if (HEADS < 1) begin : gen_check_heads
    $fatal(1, "head_reorder: HEADS must be at least 1, got %0d", HEADS);
  end
  if (BEATS < 1) begin : gen_check_beats
    $fatal(1, "head_reorder: BEATS must be at least 1, got %0d", BEATS);
  end
  if (MAX_TOKENS < 1) begin : gen_check_max_tokens
    $fatal(1, "head_reorder: MAX_TOKENS must be at least 1, got %0d", MAX_TOKENS);
  end
  if (INVERSE > 1) begin : gen_check_inverse
    $fatal(1, "head_reorder: INVERSE must be 0 or 1, got %0d", INVERSE);
  end
  if (RAM_STYLE > 2) begin : gen_check_ram_style
    $fatal(1, "head_reorder: RAM_STYLE must be 0 to 2, got %0d", RAM_STYLE);
  end

  localparam int unsigned TOKEN_BEATS = HEADS * BEATS;
  localparam int unsigned BANK = MAX_TOKENS * TOKEN_BEATS;
  localparam int unsigned WORDS = 2 * BANK;
  localparam int unsigned ADDRESS_BITS = $clog2(WORDS);
  localparam bit BLOCK = RAM_STYLE == 2 || (RAM_STYLE == 0 && WORDS > 64 && WORDS * WIDTH > 4096);

  // Sizes of the loops that a read runs through: rows of columns of BEATS beats, where a row is a
  // head (a token if INVERSE) and the input was written column by column.
  localparam int unsigned MAX_ROWS = INVERSE != 0 ? MAX_TOKENS : HEADS;
  localparam int unsigned MAX_COLUMNS = INVERSE != 0 ? HEADS : MAX_TOKENS;
  localparam int unsigned TOKEN_COUNT_BITS = TOKEN_BEATS > 1 ? $clog2(TOKEN_BEATS) : 1;
  localparam int unsigned BEAT_BITS = BEATS > 1 ? $clog2(BEATS) : 1;
  localparam int unsigned ROW_BITS = $clog2(MAX_ROWS + 1);
  localparam int unsigned COLUMN_BITS = $clog2(MAX_COLUMNS + 1);

  typedef logic [ADDRESS_BITS-1:0] address_t;

  function automatic address_t base(input logic bank);
    return bank ? address_t'(BANK) : '0;
  endfunction

  logic [1:0] full;  // of each bank: a whole sentence waits in it or is being read
  logic [1:0][LENGTH_BITS-1:0] length;  // its tokens

  // Writing: beats in their order.
  logic write, write_bank, last_write, last_of_token;
  address_t write_address;
  logic [TOKEN_COUNT_BITS-1:0] token_beat;
  logic [LENGTH_BITS-1:0] token;

  assign s_axis_tready = s_axis_length_tvalid && !full[write_bank];
  assign s_axis_length_tready = s_axis_tvalid && last_write && !full[write_bank];
  assign write = s_axis_tvalid && s_axis_tready;
  assign last_of_token = token_beat == TOKEN_COUNT_BITS'(TOKEN_BEATS - 1);
  assign last_write = last_of_token && token + 1'b1 == s_axis_length_tdata;

  // Reading: word (row, column, beat) lies at column * stride + row * BEATS + beat of its bank.
  logic read, read_bank, valid, last_beat, last_column, last_row;
  address_t read_address, row_address, stride;
  logic [BEAT_BITS-1:0] beat;
  logic [COLUMN_BITS-1:0] column;
  logic [ROW_BITS-1:0] row;

  assign read = full[read_bank] && (!valid || m_axis_tready);
  assign last_beat = beat == BEAT_BITS'(BEATS - 1);
  if (INVERSE != 0) begin : gen_to_tokens
    assign stride = address_t'(length[read_bank]) * address_t'(BEATS);
    assign last_column = column == COLUMN_BITS'(HEADS - 1);
    assign last_row = row + 1'b1 == length[read_bank];
  end else begin : gen_to_heads
    assign stride = address_t'(TOKEN_BEATS);
    assign last_column = column + 1'b1 == length[read_bank];
    assign last_row = row == ROW_BITS'(HEADS - 1);
  end
  assign m_axis_tvalid = valid;

  two_port_ram #(
      .WIDTH(WIDTH),
      .DEPTH(WORDS),
      .BLOCK(32'(BLOCK))
  ) u_ram (
      .clk,
      .write_enable (write),
      .write_address,
      .write_data   (s_axis_tdata),
      .read_enable  (read),
      .read_address,
      .read_data    (m_axis_tdata)
  );

  always_ff @(posedge clk) begin
    if (write) begin
      token_beat <= last_of_token ? '0 : token_beat + 1'b1;
      write_address <= write_address + 1'b1;
      if (last_of_token) token <= token + 1'b1;
      if (last_write) begin
        token <= '0;
        full[write_bank] <= 1'b1;
        length[write_bank] <= s_axis_length_tdata;
        write_bank <= !write_bank;
        write_address <= base(!write_bank);
      end
    end

    if (!valid || m_axis_tready) valid <= full[read_bank];
    if (read) begin
      beat <= last_beat ? '0 : beat + 1'b1;
      read_address <= read_address + 1'b1;
      if (last_beat) begin
        // From the last beat of a column to the first of the next.
        read_address <= read_address + stride - address_t'(BEATS - 1);
        column <= column + 1'b1;
        if (last_column) begin
          read_address <= row_address + address_t'(BEATS);
          row_address <= row_address + address_t'(BEATS);
          column <= '0;
          row <= row + 1'b1;
          if (last_row) begin
            read_address <= base(!read_bank);
            row_address <= base(!read_bank);
            row <= '0;
            full[read_bank] <= 1'b0;
            read_bank <= !read_bank;
          end
        end
      end
    end

    if (!rst_n) begin
      full <= '0;
      write_bank <= 1'b0;
      write_address <= '0;
      token_beat <= '0;
      token <= '0;
      valid <= 1'b0;
      read_bank <= 1'b0;
      read_address <= '0;
      row_address <= '0;
      beat <= '0;
      column <= '0;
      row <= '0;
    end
  end

endmodule

`default_nettype wire
