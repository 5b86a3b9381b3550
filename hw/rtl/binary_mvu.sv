// Copyright (c) 2026 edgebert contributors
// SPDX-License-Identifier: Apache-2.0
//
// Binary matrix-vector unit: a static matrix of {-1,+1} times tokens of bits.
//
// Contract: for every token x of MW bits, y_c = sum_i w_ci x_i over the MH channels c, with a bit
// of x meaning {-1,+1} or {0,1}. s_axis: MW / SIMD beats a token; m_axis: MH / PE beats a token,
// tokens in order. RAW 0: a bit a channel, 1 iff y_c >= t_c. RAW 1 (x bipolar) and 2 (x of {0,1}):
// y_c itself, OUT_BITS two's complement bits a channel.
//   A lane counts m = number of i whose bits w_ci and x_i are equal, so y = 2 m - MW for bipolar x
//   and y = m - (number of w_ci = -1) for {0,1}. All constants, the threshold too, go into the
//   value that the count starts from, so that no adder and no comparator follow:
//     RAW 0: the stored weights are inverted, the lane counts mismatches, and its sign is the bit.
//     RAW 1: starts at -ceil(MW / 2), and y = {count, MW odd}.
//     RAW 2: starts at -(number of w_ci = -1), and y = count.
// Weight memory (WEIGHT_FILE, or s_axis_weights if LOADABLE: see weight_memory.sv): (MH / PE) *
// (MW / SIMD) words. A word holds the parity codes of PE * SIMD weights, lane 0 lowest, and above
// them a slice of the starting values of the *next* PE channels; the words of the last PE channels
// come first. hw/kernels/mvu.py makes it.
// Throughput and latency: up to TOKENS tokens that have come share every weight word and take
// (MH / PE) * (MW / SIMD) cycles, without a gap to the next ones. Work starts with the tokens that
// are complete; none waits for a later one. After a reset it starts MW / SIMD + 1 cycles later, or
// so long after the weights. Exact cycles: hw/kernels/mvu.py, BinaryMvu.cycles. s_axis_tready and
// m_axis are functions of registers.
// Reference: hw/reference.py, integer_product, then bipolar or binary.
`default_nettype none

module binary_mvu #(
    parameter int unsigned MW                = 64,  // inputs, 2 to 65536
    parameter int unsigned MH                = 64,  // channels, >= 1
    parameter int unsigned PE                = 8,   // channels at once, divides MH
    parameter int unsigned SIMD              = 64,  // inputs at once, divides MW
    parameter int unsigned TOKENS            = 1,   // tokens at once, <= MH / PE and <= MW / SIMD
    parameter int unsigned RAW               = 0,   // 0: thresholds, 1, 2: sums of {-1,+1}, {0,1}
    parameter              WEIGHT_FILE       = "",  // memory file, if LOADABLE is 0
    parameter int unsigned WEIGHT_MEMORY     = 0,   // 0: by size, 1: LUTs, 2: block RAM,
                                                    // 3: URAM, which must be LOADABLE
    parameter int unsigned LOADABLE          = 0,   // 1: weights come from s_axis_weights
    parameter int unsigned LOAD_BITS         = 72,  // bits of a beat of s_axis_weights, >= 1
    parameter int unsigned ACTIVATION_MEMORY = 0,   // 0: LUTs, 1: block RAM
    parameter int unsigned BEHAVIOURAL       = 0,   // 1: lanes as a plain description
    parameter int unsigned BANKS             = 1,   // 2, 0: two banks of weights, or one, filled
                                                    // by the load bus (load_pkg.sv)
    parameter int unsigned LOAD_BASE         = 0,   // index of the first beat on it
    parameter int unsigned OUT_CYCLES        = 0,   // in which m_axis takes a token, if more than
                                                    // its beats; room for results meanwhile
    localparam int unsigned BUS_BITS = load_pkg::bus_bits(BANKS, LOAD_BITS),
    localparam int unsigned OUT_BITS = RAW == 0 ? 1 : $clog2(MW + 1) + 1
) (
    input wire logic clk,
    input wire logic rst_n,

    input  wire logic [SIMD-1:0] s_axis_tdata,
    input  wire logic            s_axis_tvalid,
    output wire logic            s_axis_tready,

    input  wire logic [LOAD_BITS-1:0] s_axis_weights_tdata,
    input  wire logic                 s_axis_weights_tvalid,
    output wire logic                 s_axis_weights_tready,

    input wire logic [BUS_BITS-1:0] load = '0,

    output wire logic [PE*OUT_BITS-1:0] m_axis_tdata,
    output wire logic                   m_axis_tvalid,
    input  wire logic                   m_axis_tready
);

  localparam int unsigned SF = MW / SIMD;  // synapse folds: beats of an input token
  localparam int unsigned NF = MH / PE;  // neuron folds: beats of an output token

  if (MW < 2 || MW > 65536) begin : gen_check_mw
    $fatal(1, "binary_mvu: MW must be 2 to 65536, got %0d", MW);
  end
  if (SIMD < 1 || MW % SIMD != 0) begin : gen_check_simd
    $fatal(1, "binary_mvu: SIMD must divide MW = %0d, got %0d", MW, SIMD);
  end
  if (MH < 1) begin : gen_check_mh
    $fatal(1, "binary_mvu: MH must be at least 1, got %0d", MH);
  end
  if (PE < 1 || MH % PE != 0) begin : gen_check_pe
    $fatal(1, "binary_mvu: PE must divide MH = %0d, got %0d", MH, PE);
  end
  if (TOKENS < 1 || (TOKENS > 1 && (TOKENS > NF || TOKENS > SF))) begin : gen_check_tokens
    $fatal(1, "binary_mvu: TOKENS must be 1 to min(MH / PE, MW / SIMD), got %0d", TOKENS);
  end
  if (RAW > 2) begin : gen_check_raw
    $fatal(1, "binary_mvu: RAW must be 0 to 2, got %0d", RAW);
  end
  if (ACTIVATION_MEMORY > 1) begin : gen_check_activation_memory
    $fatal(1, "binary_mvu: ACTIVATION_MEMORY must be 0 or 1, got %0d", ACTIVATION_MEMORY);
  end

  // Range of the count: thresholds lie in [-MW, MW + 1], so it starts in [-(MW + 1), 0].
  localparam int unsigned ACC_BITS = RAW == 1 ? $clog2(MW / 2 + 1) + 1 : $clog2(MW + 1) + 1;
  localparam int unsigned LATENCY = popcount_pkg::lane_latency(SIMD);
  localparam int unsigned WEIGHT_BITS = PE * SIMD;
  localparam int unsigned SLICE_BITS = (PE * ACC_BITS + SF - 1) / SF;
  localparam int unsigned START_BITS = SF * SLICE_BITS;
  localparam int unsigned FOLD_BITS = SF > 1 ? $clog2(SF) : 1;
  localparam int unsigned NEURON_BITS = NF > 1 ? $clog2(NF) : 1;
  localparam bit [FOLD_BITS-1:0] LAST_FOLD = FOLD_BITS'(SF - 1);
  localparam bit [NEURON_BITS-1:0] LAST_NEURON = NEURON_BITS'(NF - 1);
  // The next tokens come while one group is in work, if NF * SF cycles suffice for them.
  localparam int unsigned SLOTS = NF > TOKENS ? 2 : 4;

  logic enable;  // all that follows the token buffers stands still without it

  // ---- Tokens that come: token n goes to buffer n % TOKENS.

  logic [SIMD-1:0] arriving;
  logic [TOKENS-1:0] addressed, ready, waiting;
  logic [FOLD_BITS-1:0] write_fold;
  logic take;

  activation_encoder #(
      .N(SIMD)
  ) u_encoder (
      .bits(s_axis_tdata),
      .code(arriving)
  );

  assign s_axis_tready = |(addressed & ready);
  assign take = s_axis_tvalid && s_axis_tready;

  always_ff @(posedge clk) begin
    if (take) write_fold <= write_fold == LAST_FOLD ? '0 : write_fold + 1'b1;
    if (!rst_n) write_fold <= '0;
  end

  mvu_turn #(
      .COUNT(TOKENS)
  ) u_arrival_turn (
      .clk,
      .rst_n,
      .step(take && write_fold == LAST_FOLD),
      .turn(addressed)
  );

  // ---- Folds. After a reset the words of the last neuron fold are read once, without a token, for
  // the starting values of the first.

  logic [WEIGHT_BITS+SLICE_BITS-1:0] word;
  logic [FOLD_BITS-1:0] fold;
  logic [NEURON_BITS-1:0] neuron;
  logic [TOKENS-1:0] active, start;  // token buffers whose token is in work, goes into work
  logic word_valid, running, step, last_fold, pass_end, group_end;

  weight_memory #(
      .WIDTH    (WEIGHT_BITS + SLICE_BITS),
      .DEPTH    (NF * SF),
      .FILE     (WEIGHT_FILE),
      .STYLE    (WEIGHT_MEMORY),
      .LOADABLE (LOADABLE),
      .LOAD_BITS(LOAD_BITS),
      .BANKS    (BANKS),
      .LOAD_BASE(LOAD_BASE)
  ) u_weights (
      .clk,
      .rst_n,
      .s_axis_load_tdata (s_axis_weights_tdata),
      .s_axis_load_tvalid(s_axis_weights_tvalid),
      .s_axis_load_tready(s_axis_weights_tready),
      .load,
      .m_axis_tdata      (word),
      .m_axis_tvalid     (word_valid),
      .m_axis_tready     (enable && running)
  );

  assign last_fold = fold == LAST_FOLD;
  assign pass_end = last_fold && neuron == LAST_NEURON;
  assign step = running && word_valid;
  assign group_end = enable && (!running || (step && pass_end));
  assign start = {TOKENS{group_end}} & waiting;

  always_ff @(posedge clk) begin
    if (enable && step) begin
      fold <= last_fold ? '0 : fold + 1'b1;
      if (last_fold) neuron <= neuron == LAST_NEURON ? '0 : neuron + 1'b1;
    end
    if (group_end) begin
      active  <= waiting;
      running <= |waiting;
    end
    if (!rst_n) begin
      fold <= '0;
      neuron <= LAST_NEURON;
      active <= '0;
      running <= 1'b1;
    end
  end

  // ---- Operands.

  logic [WEIGHT_BITS-1:0] weights;
  logic [SLICE_BITS-1:0] slice;
  logic [START_BITS-1:0] starts;  // of the neuron fold whose first operands are there
  logic valid, first;
  logic [TOKENS-1:0] due[LATENCY+1];  // results: with the operands, and so many cycles later

  always_ff @(posedge clk) begin
    if (enable) begin
      {slice, weights} <= word;
      first <= fold == 0;
      valid <= step;
      if (valid) starts <= START_BITS'({slice, starts} >> SLICE_BITS);
      due[0] <= {TOKENS{step && last_fold}} & active;
      for (int i = 1; i <= LATENCY; i++) due[i] <= due[i-1];
    end
    if (!rst_n) begin
      valid <= 1'b0;
      for (int i = 0; i <= LATENCY; i++) due[i] <= '0;
    end
  end

  // ---- Lanes.

  logic [TOKENS-1:0][PE*OUT_BITS-1:0] results;

  for (genvar t = 0; t < TOKENS; t++) begin : gen_token
    logic [SIMD-1:0] activations;

    mvu_token_buffer #(
        .WIDTH(SIMD),
        .FOLDS(SF),
        .SLOTS(SLOTS),
        .BLOCK(ACTIVATION_MEMORY)
    ) u_buffer (
        .clk,
        .rst_n,
        .write     (s_axis_tvalid && addressed[t]),
        .write_fold,
        .write_code(arriving),
        .ready     (ready[t]),
        .enable,
        .start     (start[t]),
        .read_fold (fold),
        .code      (activations),
        .waiting   (waiting[t])
    );

    for (genvar p = 0; p < PE; p++) begin : gen_lane
      logic signed [ACC_BITS-1:0] count;

      binary_lane #(
          .SIMD       (SIMD),
          .ACC_BITS   (ACC_BITS),
          .BEHAVIOURAL(BEHAVIOURAL)
      ) u_lane (
          .clk,
          .enable,
          .weight_code    (weights[p*SIMD+:SIMD]),
          .activation_code(activations),
          .first,
          .initial_value  (starts[p*ACC_BITS+:ACC_BITS]),
          .accumulator    (count)
      );

      if (RAW == 0) begin : gen_threshold
        assign results[t][p] = count[ACC_BITS-1];
        wire unused = &count;
      end else if (RAW == 1) begin : gen_bipolar
        assign results[t][p*OUT_BITS+:OUT_BITS] = {count, 1'(MW % 2)};
      end else begin : gen_binary
        assign results[t][p*OUT_BITS+:OUT_BITS] = count;
      end
    end
  end

  // ---- Results.

  mvu_output #(
      .WIDTH     (PE * OUT_BITS),
      .TOKENS    (TOKENS),
      .SF        (SF),
      .NF        (NF),
      .OUT_CYCLES(OUT_CYCLES)
  ) u_output (
      .clk,
      .rst_n,
      .results,
      .due(due[LATENCY]),
      .enable,
      .m_axis_tdata,
      .m_axis_tvalid,
      .m_axis_tready
  );

endmodule

`default_nettype wire
