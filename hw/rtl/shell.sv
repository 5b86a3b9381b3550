// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// The shell around an accelerator: registers, DMA, and the streams of sentences.
//
// Contract: registers and memory format are those of docs/shell.md. m_axi reads sentences, lengths
// and weights, and writes the result; read and write channels are independent of each other. The
// accelerator has the streams m_axis_residual, m_axis_length, m_axis_weights (if LOAD_BEATS > 0) and
// s_axis_residual; they belong to accelerator_rst_n, which is also low at a reset by register.
// Throughput and latency: 64 bits a cycle in and out.
// Reference: hw/shell/shell.py.
`default_nettype none

module shell #(
    parameter logic [255:0] MODEL_HASH    = '0,      // SHA-256, first byte highest
    parameter int unsigned  ADDRESS_BITS  = 32,      // of memory, 32 to 64
    parameter int unsigned  MAX_BURST     = 256,     // beats, 1 to 256; 16 for AXI3
    parameter int unsigned  BUFFER_WORDS  = 512,     // of each DMA, >= MAX_BURST
    parameter int unsigned  OUTSTANDING   = 8,       // bursts under way, each way
    parameter int unsigned  MAX_SENTENCES = 64,      // sentences under way in the accelerator
    parameter int unsigned  MAX_TOKENS    = 128,     // longest sentence
    parameter int unsigned  HIDDEN        = 128,     // channels of a token
    parameter int unsigned  IN_LANES      = 4,       // channels of a beat of m_axis_residual
    parameter int unsigned  OUT_LANES     = 4,       // channels of a beat of s_axis_residual
    parameter int unsigned  WORD_BITS     = 16,      // of a channel, 1 to 32
    parameter int unsigned  LOAD_BEATS    = 0,       // of m_axis_weights, 0: none
    parameter int unsigned  CLOCK_KHZ     = 100000,  // for the host to know
    localparam int unsigned LENGTH_BITS   = $clog2(MAX_TOKENS + 1)
) (
    input wire logic aclk,
    input wire logic aresetn,

    input  wire logic [11:0] s_axi_awaddr,
    input  wire logic        s_axi_awvalid,
    output wire logic        s_axi_awready,
    input  wire logic [31:0] s_axi_wdata,
    input  wire logic [ 3:0] s_axi_wstrb,
    input  wire logic        s_axi_wvalid,
    output wire logic        s_axi_wready,
    output wire logic [ 1:0] s_axi_bresp,
    output wire logic        s_axi_bvalid,
    input  wire logic        s_axi_bready,
    input  wire logic [11:0] s_axi_araddr,
    input  wire logic        s_axi_arvalid,
    output wire logic        s_axi_arready,
    output wire logic [31:0] s_axi_rdata,
    output wire logic [ 1:0] s_axi_rresp,
    output wire logic        s_axi_rvalid,
    input  wire logic        s_axi_rready,

    output wire logic [ADDRESS_BITS-1:0] m_axi_araddr,
    output wire logic [             7:0] m_axi_arlen,
    output wire logic [             2:0] m_axi_arsize,
    output wire logic [             1:0] m_axi_arburst,
    output wire logic [             3:0] m_axi_arcache,
    output wire logic [             2:0] m_axi_arprot,
    output wire logic                    m_axi_arvalid,
    input  wire logic                    m_axi_arready,
    input  wire logic [            63:0] m_axi_rdata,
    input  wire logic [             1:0] m_axi_rresp,
    input  wire logic                    m_axi_rlast,
    input  wire logic                    m_axi_rvalid,
    output wire logic                    m_axi_rready,
    output wire logic [ADDRESS_BITS-1:0] m_axi_awaddr,
    output wire logic [             7:0] m_axi_awlen,
    output wire logic [             2:0] m_axi_awsize,
    output wire logic [             1:0] m_axi_awburst,
    output wire logic [             3:0] m_axi_awcache,
    output wire logic [             2:0] m_axi_awprot,
    output wire logic                    m_axi_awvalid,
    input  wire logic                    m_axi_awready,
    output wire logic [            63:0] m_axi_wdata,
    output wire logic [             7:0] m_axi_wstrb,
    output wire logic                    m_axi_wlast,
    output wire logic                    m_axi_wvalid,
    input  wire logic                    m_axi_wready,
    input  wire logic [             1:0] m_axi_bresp,
    input  wire logic                    m_axi_bvalid,
    output wire logic                    m_axi_bready,

    output wire logic accelerator_rst_n,

    output wire logic [IN_LANES*WORD_BITS-1:0] m_axis_residual_tdata,
    output wire logic                          m_axis_residual_tvalid,
    input  wire logic                          m_axis_residual_tready,

    output wire logic [LENGTH_BITS-1:0] m_axis_length_tdata,
    output wire logic                   m_axis_length_tvalid,
    input  wire logic                   m_axis_length_tready,

    output wire logic [71:0] m_axis_weights_tdata,
    output wire logic        m_axis_weights_tvalid,
    input  wire logic        m_axis_weights_tready,

    input  wire logic [OUT_LANES*WORD_BITS-1:0] s_axis_residual_tdata,
    input  wire logic                           s_axis_residual_tvalid,
    output wire logic                           s_axis_residual_tready
);

  localparam int unsigned CHANNEL_BITS = WORD_BITS <= 16 ? 16 : 32;
  localparam int unsigned TOKEN_WORDS = HIDDEN * CHANNEL_BITS / 64;
  localparam int unsigned LENGTHS_BURST = MAX_BURST < 8 ? MAX_BURST : 8;
  localparam logic [2:0] WORDS = 3'b011;  // of 8 bytes
  localparam logic [1:0] INCREMENTING = 2'b01;
  localparam logic [3:0] BUFFERABLE = 4'b0011;
  localparam logic [2:0] DATA = 3'b000;

  if (WORD_BITS < 1 || WORD_BITS > 32) begin : gen_check_word_bits
    $fatal(1, "shell: WORD_BITS must be 1 to 32, got %0d", WORD_BITS);
  end
  if (LOAD_BEATS >= 1 << 28) begin : gen_check_load_beats
    $fatal(1, "shell: LOAD_BEATS must be below 2^28, got %0d", LOAD_BEATS);
  end

  wire logic clk = aclk;
  wire logic rst_n = aresetn;

  // Registers.
  logic write, read;
  logic [11:2] write_address, read_address;
  logic [31:0] write_data, read_data;
  logic [3:0] write_strobe;
  logic start, reset, load, first_only;
  logic [ADDRESS_BITS-1:3] input_address, lengths_address, output_address, load_address;
  logic [31:0] input_bytes, sentences, output_bytes;

  // Sequence.
  logic busy, done, loaded, read_error, write_error, length_error, overflow;
  logic data_rst_n, launch, loading, stop, load_finished, lengths_finished;
  logic data_drained, lengths_drained, write_drained, write_empty;
  logic data_failed, lengths_failed, write_failed, length_failed, overflowed;
  logic [31:0] data_failed_at, lengths_failed_at, write_failed_at;
  logic token_in, token_out, sentence_out, input_stalled, output_stalled;
  logic [31:0] sentences_left;
  logic [29:0] output_words, words_packed;

  wire logic all_packed = lengths_finished && sentences_left == 0 && words_packed == output_words;
  wire logic drained = data_drained && lengths_drained && write_drained;
  wire logic finished = drained && (loading ? load_finished : all_packed && write_empty);

  axi_lite_slave #(
      .ADDRESS_BITS(12)
  ) u_bus (
      .*
  );

  shell_registers #(
      .MODEL_HASH  (MODEL_HASH),
      .ADDRESS_BITS(ADDRESS_BITS),
      .MAX_TOKENS  (MAX_TOKENS),
      .HIDDEN      (HIDDEN),
      .WORD_BITS   (WORD_BITS),
      .LOAD_BEATS  (LOAD_BEATS),
      .CLOCK_KHZ   (CLOCK_KHZ)
  ) u_registers (
      .failed        (data_failed || lengths_failed || write_failed),
      .failed_address(write_failed ? write_failed_at
                      : data_failed ? data_failed_at : lengths_failed_at),
      .*
  );

  shell_control #(
      .LOAD_BEATS(LOAD_BEATS)
  ) u_control (
      .read_failed(data_failed || lengths_failed),
      .*
  );

  // Memory to streams.
  logic [1:0][ADDRESS_BITS-1:0] reader_araddr;
  logic [1:0][7:0] reader_arlen;
  logic [1:0] reader_arvalid, reader_arready, reader_rvalid;
  logic [63:0] data_tdata, lengths_tdata;
  logic data_tvalid, data_tready, lengths_tvalid, lengths_tready;
  logic input_tready, weights_tready;
  logic unused_data_rready, unused_lengths_rready;

  axi_read_dma #(
      .ADDRESS_BITS(ADDRESS_BITS),
      .MAX_BURST   (MAX_BURST),
      .BUFFER_WORDS(BUFFER_WORDS)
  ) u_read_data (
      .clk,
      .rst_n        (data_rst_n),
      .start        (launch),
      .start_address(loading ? load_address : input_address),
      .start_words  (loading ? 30'(2 * LOAD_BEATS) : 30'((33'(input_bytes) + 33'd7) >> 3)),
      .stop,
      .drained      (data_drained),
      .error        (data_failed),
      .error_address(data_failed_at),
      .m_axi_araddr (reader_araddr[0]),
      .m_axi_arlen  (reader_arlen[0]),
      .m_axi_arvalid(reader_arvalid[0]),
      .m_axi_arready(reader_arready[0]),
      .m_axi_rdata,
      .m_axi_rresp,
      .m_axi_rvalid (reader_rvalid[0]),
      .m_axi_rready (unused_data_rready),
      .m_axis_tdata (data_tdata),
      .m_axis_tvalid(data_tvalid),
      .m_axis_tready(data_tready)
  );

  axi_read_dma #(
      .ADDRESS_BITS(ADDRESS_BITS),
      .MAX_BURST   (LENGTHS_BURST),
      .BUFFER_WORDS(2 * LENGTHS_BURST + 2)
  ) u_read_lengths (
      .clk,
      .rst_n        (data_rst_n),
      .start        (launch && !loading),
      .start_address(lengths_address),
      .start_words  (30'((34'(sentences) + 34'd3) >> 2)),
      .stop,
      .drained      (lengths_drained),
      .error        (lengths_failed),
      .error_address(lengths_failed_at),
      .m_axi_araddr (reader_araddr[1]),
      .m_axi_arlen  (reader_arlen[1]),
      .m_axi_arvalid(reader_arvalid[1]),
      .m_axi_arready(reader_arready[1]),
      .m_axi_rdata,
      .m_axi_rresp,
      .m_axi_rvalid (reader_rvalid[1]),
      .m_axi_rready (unused_lengths_rready),
      .m_axis_tdata (lengths_tdata),
      .m_axis_tvalid(lengths_tvalid),
      .m_axis_tready(lengths_tready)
  );

  assign m_axi_arsize = WORDS;
  assign m_axi_arburst = INCREMENTING;
  assign m_axi_arcache = BUFFERABLE;
  assign m_axi_arprot = DATA;

  axi_read_arbiter #(
      .ADDRESS_BITS(ADDRESS_BITS),
      .OUTSTANDING (OUTSTANDING)
  ) u_arbiter (
      .clk,
      .rst_n        (data_rst_n),
      .s_axi_araddr (reader_araddr),
      .s_axi_arlen  (reader_arlen),
      .s_axi_arvalid(reader_arvalid),
      .s_axi_arready(reader_arready),
      .s_axi_rvalid (reader_rvalid),
      .m_axi_araddr,
      .m_axi_arlen,
      .m_axi_arvalid,
      .m_axi_arready,
      .m_axi_rlast,
      .m_axi_rvalid,
      .m_axi_rready
  );

  assign data_tready = loading ? weights_tready : input_tready;

  shell_input #(
      .HIDDEN      (HIDDEN),
      .LANES       (IN_LANES),
      .WORD_BITS   (WORD_BITS),
      .CHANNEL_BITS(CHANNEL_BITS)
  ) u_input (
      .clk,
      .rst_n        (data_rst_n),
      .s_axis_tdata (data_tdata),
      .s_axis_tvalid(data_tvalid && !loading),
      .s_axis_tready(input_tready),
      .m_axis_tdata (m_axis_residual_tdata),
      .m_axis_tvalid(m_axis_residual_tvalid),
      .m_axis_tready(m_axis_residual_tready),
      .token        (token_in),
      .stalled      (input_stalled)
  );

  if (LOAD_BEATS > 0) begin : gen_weights
    shell_weights #(
        .LOAD_BEATS(LOAD_BEATS)
    ) u_weights (
        .clk,
        .rst_n        (data_rst_n),
        .s_axis_tdata (data_tdata),
        .s_axis_tvalid(data_tvalid && loading),
        .s_axis_tready(weights_tready),
        .m_axis_tdata (m_axis_weights_tdata),
        .m_axis_tvalid(m_axis_weights_tvalid),
        .m_axis_tready(m_axis_weights_tready),
        .finished     (load_finished)
    );
  end else begin : gen_no_weights
    wire unused = m_axis_weights_tready;
    assign weights_tready = 1'b0;
    assign m_axis_weights_tdata = '0;
    assign m_axis_weights_tvalid = 1'b0;
    assign load_finished = 1'b0;
  end

  // Lengths: to the accelerator, and to the output, which waits for the sentences.
  logic [LENGTH_BITS-1:0] length_tdata, fork_tdata, awaited_tdata;
  logic length_tvalid, length_tready, awaited_tvalid, awaited_tready;
  logic [1:0] fork_tvalid, fork_tready;
  logic [$clog2(MAX_SENTENCES + 1)-1:0] unused_level, unused_high_water;

  shell_lengths #(
      .MAX_TOKENS (MAX_TOKENS),
      .TOKEN_WORDS(TOKEN_WORDS)
  ) u_lengths (
      .clk,
      .rst_n        (data_rst_n),
      .launch       (launch && !loading),
      .sentences,
      .input_bytes,
      .output_bytes,
      .first_only,
      .finished     (lengths_finished),
      .output_words,
      .length_error (length_failed),
      .overflow     (overflowed),
      .s_axis_tdata (lengths_tdata),
      .s_axis_tvalid(lengths_tvalid),
      .s_axis_tready(lengths_tready),
      .m_axis_tdata (length_tdata),
      .m_axis_tvalid(length_tvalid),
      .m_axis_tready(length_tready)
  );

  stream_fork #(
      .WIDTH (LENGTH_BITS),
      .COPIES(2)
  ) u_fork (
      .clk,
      .rst_n        (data_rst_n),
      .s_axis_tdata (length_tdata),
      .s_axis_tvalid(length_tvalid),
      .s_axis_tready(length_tready),
      .m_axis_tdata (fork_tdata),
      .m_axis_tvalid(fork_tvalid),
      .m_axis_tready(fork_tready)
  );

  assign m_axis_length_tdata = fork_tdata;
  assign m_axis_length_tvalid = fork_tvalid[0];
  assign fork_tready[0] = m_axis_length_tready;

  stream_fifo #(
      .WIDTH(LENGTH_BITS),
      .DEPTH(MAX_SENTENCES)
  ) u_awaited (
      .clk,
      .rst_n        (data_rst_n),
      .s_axis_tdata (fork_tdata),
      .s_axis_tvalid(fork_tvalid[1]),
      .s_axis_tready(fork_tready[1]),
      .m_axis_tdata (awaited_tdata),
      .m_axis_tvalid(awaited_tvalid),
      .m_axis_tready(awaited_tready),
      .level        (unused_level),
      .high_water   (unused_high_water)
  );

  // Streams to memory.
  logic [63:0] packed_tdata;
  logic packed_tvalid, packed_tready, result_tready;

  assign s_axis_residual_tready = result_tready;

  shell_output #(
      .MAX_TOKENS  (MAX_TOKENS),
      .HIDDEN      (HIDDEN),
      .LANES       (OUT_LANES),
      .WORD_BITS   (WORD_BITS),
      .CHANNEL_BITS(CHANNEL_BITS)
  ) u_output (
      .clk,
      .rst_n               (data_rst_n),
      .first_only,
      .s_axis_length_tdata (awaited_tdata),
      .s_axis_length_tvalid(awaited_tvalid),
      .s_axis_length_tready(awaited_tready),
      .s_axis_tdata        (s_axis_residual_tdata),
      .s_axis_tvalid       (s_axis_residual_tvalid),
      .s_axis_tready       (result_tready),
      .m_axis_tdata        (packed_tdata),
      .m_axis_tvalid       (packed_tvalid),
      .m_axis_tready       (packed_tready),
      .token               (token_out),
      .sentence            (sentence_out),
      .stalled             (output_stalled)
  );

  axi_write_dma #(
      .ADDRESS_BITS(ADDRESS_BITS),
      .MAX_BURST   (MAX_BURST),
      .BUFFER_WORDS(BUFFER_WORDS),
      .OUTSTANDING (OUTSTANDING)
  ) u_write (
      .clk,
      .rst_n        (data_rst_n),
      .start        (launch && !loading),
      .start_address(output_address),
      .flush        (all_packed),
      .stop,
      .drained      (write_drained),
      .empty        (write_empty),
      .error        (write_failed),
      .error_address(write_failed_at),
      .s_axis_tdata (packed_tdata),
      .s_axis_tvalid(packed_tvalid),
      .s_axis_tready(packed_tready),
      .m_axi_awaddr,
      .m_axi_awlen,
      .m_axi_awvalid,
      .m_axi_awready,
      .m_axi_wdata,
      .m_axi_wlast,
      .m_axi_wvalid,
      .m_axi_wready,
      .m_axi_bresp,
      .m_axi_bvalid,
      .m_axi_bready
  );

  assign m_axi_awsize = WORDS;
  assign m_axi_awburst = INCREMENTING;
  assign m_axi_awcache = BUFFERABLE;
  assign m_axi_awprot = DATA;
  assign m_axi_wstrb = '1;

  always_ff @(posedge clk) begin
    if (launch) begin
      sentences_left <= sentences;
      words_packed   <= '0;
    end
    if (sentence_out) sentences_left <= sentences_left - 1'b1;
    if (packed_tvalid && packed_tready) words_packed <= words_packed + 1'b1;
  end

endmodule

`default_nettype wire
