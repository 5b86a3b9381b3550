// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Reads the lengths of sentences, and checks them and the sizes of the buffers.
//
// Contract: launch begins a run of sentences. s_axis has their lengths, four of 16 bits in a word,
// lowest first; m_axis gives each, once it is known that it is 1 to MAX_TOKENS, that the input has
// the words of all sentences up to it, and exactly those after the last, and that the output buffer
// takes their result: TOKEN_WORDS words a token, or a sentence with first_only. What is not so sets
// length_error or overflow, and no length follows. finished: all have been given; output_words is
// then the length of the result. The inputs of a run stay while it lasts; a reset comes before it.
// Throughput and latency: a sentence every six cycles.
// Reference: hw/shell/shell.py, Shell.token_bytes.
`default_nettype none

module shell_lengths #(
    parameter int unsigned MAX_TOKENS  = 128,  // longest sentence, 1 to 65535
    parameter int unsigned TOKEN_WORDS = 32,   // 64-bit words of a token, 1 to 65535
    localparam int unsigned LENGTH_BITS = $clog2(MAX_TOKENS + 1)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic        launch,
    input  wire logic [31:0] sentences,
    input  wire logic [31:0] input_bytes,
    input  wire logic [31:0] output_bytes,
    input  wire logic        first_only,
    output wire logic        finished,
    output wire logic [29:0] output_words,
    output      logic        length_error,
    output      logic        overflow,

    input  wire logic [63:0] s_axis_tdata,
    input  wire logic        s_axis_tvalid,
    output wire logic        s_axis_tready,

    output wire logic [LENGTH_BITS-1:0] m_axis_tdata,
    output wire logic                   m_axis_tvalid,
    input  wire logic                   m_axis_tready
);

  if (MAX_TOKENS < 1 || MAX_TOKENS > 65535) begin : gen_check_max_tokens
    $fatal(1, "shell_lengths: MAX_TOKENS must be 1 to 65535, got %0d", MAX_TOKENS);
  end
  if (TOKEN_WORDS < 1 || TOKEN_WORDS > 65535) begin : gen_check_token_words
    $fatal(1, "shell_lengths: TOKEN_WORDS must be 1 to 65535, got %0d", TOKEN_WORDS);
  end

  // Below the sum's largest value before the check of a sentence: 2^29 + 2^32.
  localparam int unsigned SUM_BITS = 33;

  typedef enum logic [2:0] {
    IDLE,
    NEXT,    // is there another sentence?
    FETCH,   // its length
    COUNT,   // its words
    SUM,
    CHECK,
    GIVE
  } state_t;

  state_t state;
  logic [15:0] field, length;
  logic field_valid;
  logic [31:0] left;  // sentences, without the one in work
  logic [31:0] words;  // of the sentence
  logic [SUM_BITS-1:0] input_sum, output_sum;  // words of all sentences so far
  logic all_given;

  // No multiplier is worth a DSP here: the constant's ones are few.
  function automatic logic [31:0] times_token_words(input logic [15:0] tokens);
    logic [31:0] sum;
    sum = '0;
    for (int unsigned i = 0; i < 16; i++) begin
      if (((TOKEN_WORDS >> i) & 1) != 0) sum += 32'(tokens) << i;
    end
    return sum;
  endfunction

  wire logic bad = length == 0 || 32'(length) > MAX_TOKENS;
  wire logic too_many = {input_sum, 3'b000} > (SUM_BITS + 3)'(input_bytes);
  wire logic too_few = {input_sum, 3'b000} < (SUM_BITS + 3)'(input_bytes);
  wire logic too_long = {output_sum, 3'b000} > (SUM_BITS + 3)'(output_bytes);

  assign output_words = output_sum[29:0];
  assign finished = all_given;
  assign m_axis_tdata = length[LENGTH_BITS-1:0];
  assign m_axis_tvalid = state == GIVE;

  width_converter #(
      .IN_BITS (64),
      .OUT_BITS(16)
  ) u_fields (
      .clk,
      .rst_n,
      .s_axis_tdata,
      .s_axis_tvalid,
      .s_axis_tready,
      .m_axis_tdata (field),
      .m_axis_tvalid(field_valid),
      .m_axis_tready(state == FETCH)
  );

  always_ff @(posedge clk) begin
    case (state)
      NEXT: begin
        state <= left == 0 ? IDLE : FETCH;
        left <= left - 1'b1;
        // Only of no sentences at all: the last one's check came before.
        length_error <= length_error || (left == 0 && too_few);
        all_given <= left == 0 && !too_few;
      end
      FETCH: begin
        length <= field;
        if (field_valid) state <= COUNT;
      end
      COUNT: begin
        words <= times_token_words(length);
        state <= SUM;
      end
      SUM: begin
        input_sum <= input_sum + SUM_BITS'(words);
        output_sum <= output_sum + SUM_BITS'(first_only ? TOKEN_WORDS : words);
        state <= CHECK;
      end
      CHECK: begin
        length_error <= bad || too_many || (left == 0 && too_few);
        overflow <= !bad && too_long;
        state <= bad || too_many || too_long || (left == 0 && too_few) ? IDLE : GIVE;
      end
      GIVE: if (m_axis_tready) state <= NEXT;
      default: begin
        if (launch) begin
          state <= NEXT;
          left <= sentences;
          input_sum <= '0;
          output_sum <= '0;
        end
      end
    endcase
    if (!rst_n) begin
      state <= IDLE;
      length_error <= 1'b0;
      overflow <= 1'b0;
      all_given <= 1'b0;
    end
  end

endmodule

`default_nettype wire
