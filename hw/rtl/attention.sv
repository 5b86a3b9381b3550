// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Binary attention of a layer: one engine, time-shared by heads and tokens.
//
// Contract: for every sentence, s_axis_length has a beat with its number of tokens N, 1 to
// MAX_TOKENS, and s_axis_query, s_axis_key and s_axis_value have the bits of its tokens (bit 1 is
// +1, head h has channels D h ... D h + D - 1), H / IN_BITS beats a token.
// Streams need not keep step; keys and values of a sentence are taken after its length.
// m_axis has, in the same layout with OUT_BITS, for token i and channel c of head h
//   bit = 1 iff sum_j p_hij v_jc >= t_c, with the scores s_hij = sum_d q_id k_jd of head h and
//   SPS = 0: p_hij = 1 iff E[(max_j s - s_hij) / 2] * 2**k > T_h * sum_j E[(max_j s - s_hij) / 2]
//   SPS = 1: p_hij = 1 iff s_hij >= lambda_h.
// RELATIVE = R > 0 adds 2 b_h[clip(j - i, -R, R) + R] to a score, b being -D to D, and differences
// beyond E have its last entry.
// Memory files (hw.kernels.attention.BinaryAttention.memories): b + D, E and T, or lambda as a
// number of matching bits (with b, plus D), and t + 1. BANKED 1: they come by the load bus
// (load_pkg.sv) instead, in the order b + D (RELATIVE), E (softmax), T or lambda, t + 1.
// Throughput and latency: a row (token, head) takes max(ceil(N / KEYS) * D / SIMD, D / CHANNELS,
// SLOT_LEAST) cycles, no cycle is lost between rows and sentences while inputs are there; a token
// of values enters in H / CHANNELS cycles. BANKS sentences are held; docs/attention.md.
// Reference: hw.reference.run_layer, from query, key and value.output to output.input.
`default_nettype none

module attention #(
    parameter int unsigned MAX_TOKENS = 64,        // tokens of the longest sentence, >= 1
    parameter int unsigned HEADS = 4,              // >= 1
    parameter int unsigned HEAD_WIDTH = 64,        // D, channels of a head, >= 2
    parameter int unsigned KEYS = 1,               // keys scored at once, 1 to MAX_TOKENS
    parameter int unsigned SIMD = 64,              // bits of a score per cycle, divides HEAD_WIDTH
    parameter int unsigned CHANNELS = 1,           // context channels per cycle, divides IN_BITS
    parameter int unsigned IN_BITS = 16,           // bits of an input beat, divides SIMD
    parameter int unsigned OUT_BITS = 16,          // of an output beat, divides H
    parameter int unsigned BANKS = 2,              // sentences held, a power of two >= 2
    parameter int unsigned SPS = 0,                // 1: thresholds in place of the softmax
    parameter int unsigned RELATIVE = 0,           // R, largest distance with a bias of its own
    parameter int unsigned EXP_BITS = 12,          // E is 0 to 2**EXP_BITS, 1 to 24
    parameter int unsigned PROBABILITY_BITS = 16,  // k, T is -1 to 2**k, 1 to 24
    parameter string RELATIVE_FILE = "",           // b + D (RELATIVE)
    parameter string EXP_FILE = "",                // D + 1 words (softmax)
    parameter string PROBABILITY_FILE = "",        // HEADS words: T, or matching bits (sps)
    parameter string CONTEXT_FILE = "",            // thresholds of the context
    parameter int unsigned BANKED = 0,             // 1: two banks of b, E, T or lambda, and t
    parameter int unsigned LOAD_BITS = 72,         // bits of a beat of the load bus, >= 32
    parameter int unsigned LOAD_BASE = 0,          // index of the first beat
    localparam int unsigned BUS_BITS = load_pkg::bus_bits(1 + BANKED, LOAD_BITS),
    localparam int unsigned LENGTH_BITS = $clog2(MAX_TOKENS + 1)
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [IN_BITS-1:0] s_axis_query_tdata,
    input  wire logic               s_axis_query_tvalid,
    output wire logic               s_axis_query_tready,

    input  wire logic [IN_BITS-1:0] s_axis_key_tdata,
    input  wire logic               s_axis_key_tvalid,
    output wire logic               s_axis_key_tready,

    input  wire logic [IN_BITS-1:0] s_axis_value_tdata,
    input  wire logic               s_axis_value_tvalid,
    output wire logic               s_axis_value_tready,

    input  wire logic [LENGTH_BITS-1:0] s_axis_length_tdata,
    input  wire logic                   s_axis_length_tvalid,
    output wire logic                   s_axis_length_tready,

    input wire logic [BUS_BITS-1:0] load = '0,

    output wire logic [OUT_BITS-1:0] m_axis_tdata,
    output wire logic                m_axis_tvalid,
    input  wire logic                m_axis_tready
);

  localparam int unsigned GROUPS = (MAX_TOKENS + KEYS - 1) / KEYS;
  localparam int unsigned FOLDS = HEAD_WIDTH / SIMD;
  localparam int unsigned STEPS = HEAD_WIDTH / CHANNELS;
  localparam int unsigned MATCH_BITS = $clog2(HEAD_WIDTH + 1);
  localparam int unsigned LARGEST = RELATIVE != 0 ? 3 * HEAD_WIDTH : HEAD_WIDTH;  // with b + D
  localparam int unsigned COUNT_BITS = $clog2(LARGEST + 1);
  localparam int unsigned TOKEN_BITS = MAX_TOKENS > 1 ? $clog2(MAX_TOKENS) : 1;
  localparam int unsigned GROUP_BITS = GROUPS > 1 ? $clog2(GROUPS) : 1;
  localparam int unsigned LANE_BITS = KEYS > 1 ? $clog2(KEYS) : 1;
  localparam int unsigned HEAD_BITS = HEADS > 1 ? $clog2(HEADS) : 1;
  localparam int unsigned FOLD_BITS = FOLDS > 1 ? $clog2(FOLDS) : 1;
  localparam int unsigned BANK_BITS = $clog2(BANKS);
  localparam int unsigned VALUE_STEP_BITS = STEPS > 1 ? $clog2(STEPS) : 1;

  // Enabled edges from the address of a key word to its matches, to what they are with a bias, and
  // to its probabilities.
  localparam int unsigned MATCH_DELAY = 1 + popcount_pkg::lane_latency(SIMD);
  localparam int unsigned SCORE_DELAY = MATCH_DELAY + (RELATIVE != 0 ? 1 : 0);
  localparam int unsigned ROW_DELAY = SCORE_DELAY + (SPS != 0 ? 0 : 2);
  localparam int unsigned LAG = SPS != 0 ? 1 : 4;  // slots from scores to context

  // The product takes k + 1 steps, from the fourth edge of a slot on; and what a slot's stages are
  // told changes while the slot before drains, which must not take longer than a slot.
  localparam int unsigned PRODUCT_CYCLES = SPS != 0 ? 0 : PROBABILITY_BITS + 5;
  localparam int unsigned DRAIN_CYCLES = ROW_DELAY + 2;
  localparam int unsigned SLOT_LEAST =
      PRODUCT_CYCLES > DRAIN_CYCLES ? PRODUCT_CYCLES : DRAIN_CYCLES;
  localparam int unsigned SLOT = STEPS > SLOT_LEAST ? STEPS : SLOT_LEAST;
  localparam int unsigned STEP_BITS = $clog2(SLOT);

  if (MAX_TOKENS < 1) begin : gen_check_max_tokens
    $fatal(1, "attention: MAX_TOKENS must be at least 1, got %0d", MAX_TOKENS);
  end
  if (HEADS < 1) begin : gen_check_heads
    $fatal(1, "attention: HEADS must be at least 1, got %0d", HEADS);
  end
  if (HEAD_WIDTH < 2) begin : gen_check_head_width
    $fatal(1, "attention: HEAD_WIDTH must be at least 2, got %0d", HEAD_WIDTH);
  end
  if (KEYS < 1 || KEYS > MAX_TOKENS) begin : gen_check_keys
    $fatal(1, "attention: KEYS must be 1 to MAX_TOKENS, got %0d", KEYS);
  end
  if (SIMD < 1 || HEAD_WIDTH % SIMD != 0) begin : gen_check_simd
    $fatal(1, "attention: SIMD must divide HEAD_WIDTH, got %0d", SIMD);
  end
  if (IN_BITS < 1 || SIMD % IN_BITS != 0) begin : gen_check_in_bits
    $fatal(1, "attention: IN_BITS must divide SIMD, got %0d", IN_BITS);
  end
  if (CHANNELS < 1 || IN_BITS % CHANNELS != 0) begin : gen_check_channels
    $fatal(1, "attention: CHANNELS must divide IN_BITS, got %0d", CHANNELS);
  end
  if (OUT_BITS < 1 || OUT_BITS % CHANNELS != 0 || HEADS * HEAD_WIDTH % OUT_BITS != 0)
  begin : gen_check_out_bits
    $fatal(1, "attention: OUT_BITS must divide H and be a multiple of CHANNELS, got %0d", OUT_BITS);
  end
  if (BANKS < 2 || (BANKS & (BANKS - 1)) != 0) begin : gen_check_banks
    $fatal(1, "attention: BANKS must be a power of two, at least 2, got %0d", BANKS);
  end
  if (SPS > 1) begin : gen_check_sps
    $fatal(1, "attention: SPS must be 0 or 1, got %0d", SPS);
  end
  if (EXP_BITS < 1 || EXP_BITS > 24) begin : gen_check_exp_bits
    $fatal(1, "attention: EXP_BITS must be 1 to 24, got %0d", EXP_BITS);
  end
  if (BANKED > 1) begin : gen_check_banked
    $fatal(1, "attention: BANKED must be 0 or 1, got %0d", BANKED);
  end
  if (BANKED != 0 && LOAD_BITS < 32) begin : gen_check_load_bits
    $fatal(1, "attention: LOAD_BITS must be at least 32, got %0d", LOAD_BITS);
  end
  if (PROBABILITY_BITS < 1 || PROBABILITY_BITS > 24) begin : gen_check_probability_bits
    $fatal(1, "attention: PROBABILITY_BITS must be 1 to 24, got %0d", PROBABILITY_BITS);
  end

  // An entry of b, of E, of T or lambda is a beat of the load bus.
  localparam int unsigned EXP_BASE =
      LOAD_BASE + (RELATIVE != 0 ? (2 * RELATIVE + 1) << $clog2(HEADS) : 0);
  localparam int unsigned PROBABILITY_BASE = EXP_BASE + (SPS != 0 ? 0 : HEAD_WIDTH + 1);
  localparam int unsigned CONTEXT_BASE = PROBABILITY_BASE + HEADS;

  wire logic enable;  // of all that follows the rows' order, so that the output can hold it

  // Sentences
  logic load_begin, loading, key_done, value_done, ready_valid, ready_take, release_bank;
  logic [TOKEN_BITS-1:0] load_last, ready_last;
  logic [GROUP_BITS-1:0] load_group, ready_group;
  logic [LANE_BITS-1:0] load_lane, ready_lane;
  logic [BANK_BITS-1:0] load_bank, ready_bank;

  attention_banks #(
      .MAX_TOKENS(MAX_TOKENS),
      .KEYS      (KEYS),
      .BANKS     (BANKS)
  ) u_banks (
      .load_done(key_done && value_done),
      .*
  );

  // Order of work
  logic start, key_tick, fold_ends, step_tick, row_valid, row_last, query_valid, query_take;
  logic [GROUP_BITS-1:0] group;
  logic [FOLD_BITS-1:0] fold, query_fold;
  logic [KEYS-1:0] key_valid;
  logic [STEP_BITS-1:0] step;
  logic [TOKEN_BITS-1:0] row_token;
  logic [HEAD_BITS-1:0] row_head;
  logic [BANK_BITS-1:0] row_bank;

  attention_rows #(
      .MAX_TOKENS(MAX_TOKENS),
      .HEADS     (HEADS),
      .KEYS      (KEYS),
      .FOLDS     (FOLDS),
      .BANKS     (BANKS),
      .SLOT      (SLOT),
      .LAG       (LAG),
      .HOLD      (SPS != 0 ? 0 : 2)
  ) u_rows (
      .*
  );

  // Scores
  logic [HEAD_WIDTH-1:0] query_code;
  logic [KEYS*SIMD-1:0] key_code;
  logic [KEYS*MATCH_BITS-1:0] match_count;
  logic [KEYS*COUNT_BITS-1:0] count;  // with the bias
  logic first;

  attention_query #(
      .HEAD_WIDTH(HEAD_WIDTH),
      .SIMD      (SIMD),
      .IN_BITS   (IN_BITS),
      .DEPTH     (MAX_TOKENS * HEADS * HEAD_WIDTH / IN_BITS)
  ) u_query (
      .clk,
      .rst_n,
      .s_axis_tdata (s_axis_query_tdata),
      .s_axis_tvalid(s_axis_query_tvalid),
      .s_axis_tready(s_axis_query_tready),
      .valid        (query_valid),
      .take         (query_take),
      .code         (query_code)
  );

  attention_key #(
      .MAX_TOKENS(MAX_TOKENS),
      .HEADS     (HEADS),
      .HEAD_WIDTH(HEAD_WIDTH),
      .KEYS      (KEYS),
      .SIMD      (SIMD),
      .IN_BITS   (IN_BITS),
      .BANKS     (BANKS)
  ) u_key (
      .clk,
      .rst_n,
      .s_axis_tdata (s_axis_key_tdata),
      .s_axis_tvalid(s_axis_key_tvalid),
      .s_axis_tready(s_axis_key_tready),
      .load_begin,
      .loading,
      .load_last,
      .load_bank,
      .done         (key_done),
      .group        (load_group),
      .lane         (load_lane),
      .read_enable  (enable),
      .read_bank    (row_bank),
      .read_head    (row_head),
      .read_group   (group),
      .read_fold    (fold),
      .read_code    (key_code)
  );

  always_ff @(posedge clk) begin
    if (enable) begin
      query_fold <= fold;
      first <= fold == 0;
    end
  end

  attention_score #(
      .HEAD_WIDTH(HEAD_WIDTH),
      .KEYS      (KEYS),
      .SIMD      (SIMD)
  ) u_score (
      .clk,
      .enable,
      .first,
      .query_code(query_code[query_fold*SIMD+:SIMD]),
      .key_code,
      .match_count
  );

  if (RELATIVE != 0) begin : gen_relative
    attention_relative #(
        .MAX_TOKENS(MAX_TOKENS),
        .HEADS     (HEADS),
        .HEAD_WIDTH(HEAD_WIDTH),
        .KEYS      (KEYS),
        .RELATIVE  (RELATIVE),
        .DELAY     (MATCH_DELAY),
        .BIAS_FILE (RELATIVE_FILE),
        .BANKED    (BANKED),
        .LOAD_BITS (LOAD_BITS),
        .LOAD_BASE (LOAD_BASE)
    ) u_relative (
        .clk,
        .rst_n,
        .load,
        .enable,
        .head (row_head),
        .token(row_token),
        .group,
        .match_count,
        .count
    );
  end else begin : gen_plain
    wire logic unused = ^row_token;
    assign count = match_count;
  end

  // What goes along with a key word, up to its counts.
  logic score_start, score_tick;
  logic [GROUP_BITS-1:0] score_group;
  logic [KEYS-1:0] score_valid;

  attention_delay #(
      .WIDTH (2 + GROUP_BITS + KEYS),
      .CYCLES(SCORE_DELAY)
  ) u_score_delay (
      .clk,
      .rst_n,
      .enable,
      .d({start, key_tick && fold_ends, group, key_valid & {KEYS{key_tick && fold_ends}}}),
      .q({score_start, score_tick, score_group, score_valid})
  );

  // Steps go along, too, to the place where rows of probabilities are handed over.
  logic row_step_tick;
  logic [STEP_BITS-1:0] row_step;

  attention_delay #(
      .WIDTH (1 + STEP_BITS),
      .CYCLES(ROW_DELAY)
  ) u_step_delay (
      .clk,
      .rst_n,
      .enable,
      .d({step_tick, step}),
      .q({row_step_tick, row_step})
  );

  // Which row each slot works on: stage 0 is the one whose scores leave attention_score.
  logic change;
  logic [LAG:0] stage_valid, stage_last;
  logic [HEAD_BITS-1:0] stage_head[LAG+1];
  logic [BANK_BITS-1:0] stage_bank[LAG+1];

  attention_delay #(
      .WIDTH (1),
      .CYCLES(ROW_DELAY - 1)
  ) u_change_delay (
      .clk,
      .rst_n,
      .enable,
      .d(start),
      .q(change)
  );

  always_ff @(posedge clk) begin
    if (enable && change) begin
      stage_valid <= {stage_valid[LAG-1:0], row_valid};
      stage_last <= {stage_last[LAG-1:0], row_last};
      stage_head[0] <= row_head;
      stage_bank[0] <= row_bank;
      for (int i = 1; i <= LAG; i++) begin
        stage_head[i] <= stage_head[i-1];
        stage_bank[i] <= stage_bank[i-1];
      end
    end
    if (!rst_n) stage_valid <= '0;
  end

  // Probabilities
  logic probability_tick, probability_start;
  logic [KEYS-1:0] probability;

  if (SPS != 0) begin : gen_sps
    localparam int unsigned THRESHOLD_BITS = $clog2(LARGEST + 2);  // LARGEST + 1: never
    wire logic [THRESHOLD_BITS-1:0] threshold;
    logic unused;

    if (BANKED != 0) begin : gen_banks
      banked_table #(
          .WIDTH    (THRESHOLD_BITS),
          .DEPTH    (HEADS),
          .LOAD_BITS(LOAD_BITS),
          .LOAD_BASE(PROBABILITY_BASE)
      ) u_thresholds (
          .clk,
          .rst_n,
          .load,
          .address(stage_head[0]),
          .word   (threshold)
      );
    end else begin : gen_bank
      logic [THRESHOLD_BITS-1:0] thresholds[HEADS];

      initial $readmemh(PROBABILITY_FILE, thresholds);
      assign threshold = thresholds[stage_head[0]];
    end
    assign unused = ^score_group;
    assign probability_tick = score_tick;
    assign probability_start = score_start;
    for (genvar l = 0; l < KEYS; l++) begin : gen_compare
      assign probability[l] = score_valid[l]
          && THRESHOLD_BITS'(count[l*COUNT_BITS+:COUNT_BITS]) >= threshold;
    end
  end else begin : gen_softmax
    logic product_tick;
    logic [STEP_BITS-1:0] product_step;

    attention_delay #(
        .WIDTH (1 + STEP_BITS),
        .CYCLES(2)
    ) u_product_delay (
        .clk,
        .rst_n,
        .enable,
        .d({row_step_tick, row_step}),
        .q({product_tick, product_step})
    );

    attention_softmax #(
        .HEADS           (HEADS),
        .HEAD_WIDTH      (HEAD_WIDTH),
        .LARGEST         (LARGEST),
        .GROUPS          (GROUPS),
        .KEYS            (KEYS),
        .EXP_BITS        (EXP_BITS),
        .PROBABILITY_BITS(PROBABILITY_BITS),
        .STEP_BITS       (STEP_BITS),
        .EXP_FILE        (EXP_FILE),
        .THRESHOLD_FILE  (PROBABILITY_FILE),
        .BANKED          (BANKED),
        .LOAD_BITS       (LOAD_BITS),
        .LOAD_BASE       (EXP_BASE)
    ) u_softmax (
        .clk,
        .rst_n,
        .load,
        .enable,
        .start      (score_start),
        .tick       (score_tick),
        .group      (score_group),
        .key_valid  (score_valid),
        .match_count(count),
        .step_tick  (product_tick),
        .step       (product_step),
        .head       (stage_head[2]),
        .probability,
        .probability_tick,
        .probability_start
    );
  end

  // Context
  logic [CHANNELS*MAX_TOKENS-1:0] values;
  logic [CHANNELS-1:0] bits;
  logic bits_valid;
  wire logic [VALUE_STEP_BITS-1:0] value_step = VALUE_STEP_BITS'(row_step);
  wire logic value_tick = row_step_tick && stage_valid[LAG]
      && (STEP_BITS + 1)'(row_step) < (STEP_BITS + 1)'(STEPS);

  assign release_bank =
      enable && value_tick && row_step == STEP_BITS'(STEPS - 1) && stage_last[LAG];

  attention_value #(
      .MAX_TOKENS(MAX_TOKENS),
      .HEADS     (HEADS),
      .HEAD_WIDTH(HEAD_WIDTH),
      .CHANNELS  (CHANNELS),
      .IN_BITS   (IN_BITS),
      .BANKS     (BANKS)
  ) u_value (
      .clk,
      .rst_n,
      .s_axis_tdata (s_axis_value_tdata),
      .s_axis_tvalid(s_axis_value_tvalid),
      .s_axis_tready(s_axis_value_tready),
      .load_begin,
      .loading,
      .load_last,
      .load_bank,
      .done         (value_done),
      .read_enable  (enable),
      .read_bank    (stage_bank[LAG]),
      .read_head    (stage_head[LAG]),
      .read_step    (value_step),
      .read_bits    (values)
  );

  attention_context #(
      .MAX_TOKENS    (MAX_TOKENS),
      .KEYS          (KEYS),
      .HEADS         (HEADS),
      .STEPS         (STEPS),
      .CHANNELS      (CHANNELS),
      .THRESHOLD_FILE(CONTEXT_FILE),
      .BANKED        (BANKED),
      .LOAD_BITS     (LOAD_BITS),
      .LOAD_BASE     (CONTEXT_BASE)
  ) u_context (
      .clk,
      .rst_n,
      .load,
      .enable,
      .start    (probability_start),
      .tick     (probability_tick),
      .probability,
      .step_tick(value_tick),
      .step     (value_step),
      .head     (stage_head[LAG]),
      .values,
      .bits_valid,
      .bits
  );

  attention_output #(
      .CHANNELS(CHANNELS),
      .OUT_BITS(OUT_BITS)
  ) u_output (
      .*
  );

endmodule

`default_nettype wire
